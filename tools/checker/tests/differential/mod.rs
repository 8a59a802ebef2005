//! A definition of linearizability that is too slow for anything but small histories, and what
//! makes small histories to try it on.

pub(crate) mod clusters;
pub(crate) mod compare;
pub(crate) mod enumerate;
pub(crate) mod generate;
pub(crate) mod naive;
pub(crate) mod notation;
pub(crate) mod oracle;
pub(crate) mod stale;
