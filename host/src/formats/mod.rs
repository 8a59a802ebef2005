//! Formats of the files that a run leaves in its folder. Programs write them, `tools` reads
//! them, and `docs/RESULTS.md` describes them for everybody else.

pub mod report;
