//! Applications over the client library: machines that call for records with deadlines, some
//! through a near cache, and open their sessions again now and then.

pub mod application;
pub mod carried;
pub mod checks;
pub mod draws;
pub mod ledger;

pub use application::{Application, application};
pub use carried::Carried;
pub use draws::ApplicationConfig;
pub use ledger::Ledger;
