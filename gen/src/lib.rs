//! To come.

pub mod record;
pub mod workload;
pub mod zipf;
