//! What can go wrong at a time of its own.

/// Something that happens at a time.
#[derive(Clone, Copy, Debug)]
pub enum Mishap {
    /// A link carries nothing in one direction, or in both, until the time given.
    Cut {
        /// When it carries again.
        until_ns: u64,
    },
    /// Somebody whose address a machine sends to answers ARP no more, until the time given.
    Silence {
        /// When it answers again.
        until_ns: u64,
    },
    /// A process stops until the time given.
    Pause {
        /// Which.
        process: usize,
        /// When it goes on.
        until_ns: u64,
    },
    /// A server is killed and starts again.
    Restart,
    /// A process's clock jumps ahead.
    ClockJump,
    /// One hostile datagram.
    Hostile,
    /// All of this ends.
    Heal,
}
