//! What can go wrong at a time of its own.

/// Whom something befalls. What else there is to draw of it is drawn from their source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Generators, and servers.
    Generators,
    /// Applications.
    Applications,
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug)]
pub enum Mishap {
    /// A link carries nothing in one direction, or in both, until the time given.
    Cut {
        /// Whose link.
        whom: Whom,
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
    Restart {
        /// Who drew it.
        whom: Whom,
    },
    /// A process's clock jumps ahead.
    ClockJump {
        /// Whose.
        whom: Whom,
    },
    /// One hostile datagram.
    Hostile,
    /// One who hoards sessions opens more.
    Hoard,
    /// All of this ends.
    Heal,
}
