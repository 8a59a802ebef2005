//! Tables that all workers of a server share.
//!
//! A table is asked through [`proto::store::Store`], by groups of keys, so that one that
//! can overlap its cache misses does.

mod memory;
mod papaya_table;

pub use memory::{Memory, RECORD_OVERHEAD_BYTES};
pub use papaya_table::PapayaTable;
