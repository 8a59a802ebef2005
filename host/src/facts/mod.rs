//! Facts of the machine: [`machine`] reads those that stay, [`sample`] those that change while
//! a process runs, [`memory_limit`] how much memory it may have. They are told in the [formats](crate::formats) of a run.

pub mod machine;
pub mod memory_limit;
pub mod sample;
