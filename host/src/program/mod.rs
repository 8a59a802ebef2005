//! What every program does in the same way: [`flags`] turns a wrong flag into one line,
//! [`output`] prints, [`signals`] turns SIGINT and SIGTERM into a flag to end, [`time`] tells
//! the time of day.

pub mod flags;
pub mod output;
pub mod signals;
pub mod time;
