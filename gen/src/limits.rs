//! The limits of a generator; `baseline` has those of other stores, `zipf` that of records.

/// Most streams of a generator.
pub const STREAMS_MAX: u64 = 1 << 20;
/// Most threads of a generator.
pub const THREADS_MAX: u64 = 256;
/// Most GETs of one stream that may be outstanding together.
pub const BATCH_MAX: u64 = 1 << 20;
/// Longest time that a flag takes: eleven days.
pub const SECONDS_MAX: f64 = 1e6;

/// Answers of the near cache in one turn of a stream; then it is ready again, behind others.
pub const HITS_PER_TURN_MAX: u32 = 64;
/// Answers of the near cache in one round.
pub const HITS_PER_ROUND_MAX: u32 = 1024;
