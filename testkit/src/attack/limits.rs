//! Every bound of an attacker. No flag raises them.

use std::time::Duration;

use proto::limits::SESSIONS_PER_WORKER_MAX;

/// Datagrams a second.
pub const RATE_MAX: u32 = 20_000_000;
/// How long an attack goes on.
pub const TIME_MAX: Duration = Duration::from_secs(600);
/// Datagrams in one system call: what the kernel takes in a burst of GSO.
pub const BURST_MAX: usize = 64;
/// Sessions that are held.
pub const SESSIONS_MAX: usize = SESSIONS_PER_WORKER_MAX;
/// How long a handshake may take.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
