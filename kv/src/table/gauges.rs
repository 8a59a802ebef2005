//! What a table tells of itself.

proto::counters! {
    /// The gauges of a table. Unlike other counters they also fall.
    TableGauges {
        /// Records held.
        records,
        /// Bytes that the cap on memory counts for them.
        record_bytes,
        /// Buckets of the index; 0 of a table that has none of its own.
        buckets,
    }
}
