//! What an operation is known by while it is outstanding.

use crate::limits::STREAMS_MAX;

/// Whose an operation is, its place in the history, and when it began: two whole words.
///
/// A session copies it into a slot and back again. Made of smaller stores, it could not be
/// forwarded from the store buffer to the loads that copy it, and each copy would stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The stream below, the place in the history above.
    stream_and_place: u64,
    /// The time below, and in the top bit whether it is a PUT.
    put_and_start: u64,
}

const _: () = assert!(size_of::<Token>() == 16);

/// Who asked for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A stream, by its place among the thread's.
    Stream(u32),
    /// The load phase.
    Load,
    /// The thread itself, which asks for a worker's counters.
    Counters,
}

const LOAD: u32 = u32::MAX;
const COUNTERS: u32 = u32::MAX - 1;
/// The place in the history of an operation that it does not keep.
const NO_PLACE: u32 = u32::MAX;
const PUT: u64 = 1 << 63;

const _: () = assert!(STREAMS_MAX < COUNTERS as u64);

impl Token {
    /// Of an operation whose latency counts from `started_ns`.
    #[must_use]
    #[inline]
    pub const fn new(
        origin: Origin,
        is_put: bool,
        history_place: Option<u32>,
        started_ns: u64,
    ) -> Self {
        debug_assert!(started_ns < PUT, "a clock starts near 0");
        let stream = match origin {
            Origin::Stream(stream) => stream,
            Origin::Load => LOAD,
            Origin::Counters => COUNTERS,
        };
        let place = match history_place {
            Some(place) => place,
            None => NO_PLACE,
        };
        Self {
            stream_and_place: stream as u64 | (place as u64) << 32,
            put_and_start: started_ns | (is_put as u64) << 63,
        }
    }

    /// Who asked for it.
    #[must_use]
    #[inline]
    pub const fn origin(self) -> Origin {
        match self.client() {
            LOAD => Origin::Load,
            COUNTERS => Origin::Counters,
            stream => Origin::Stream(stream),
        }
    }

    /// The number that a history gives to who asked for it.
    #[must_use]
    #[inline]
    pub const fn client(self) -> u32 {
        self.stream_and_place as u32
    }

    /// Its place in the history, if that keeps it.
    #[must_use]
    #[inline]
    pub const fn history_place(self) -> Option<u32> {
        match (self.stream_and_place >> 32) as u32 {
            NO_PLACE => None,
            place => Some(place),
        }
    }

    /// Whether it is a PUT.
    #[must_use]
    #[inline]
    pub const fn is_put(self) -> bool {
        self.put_and_start & PUT != 0
    }

    /// When its latency began to count.
    #[must_use]
    #[inline]
    pub const fn started_ns(self) -> u64 {
        self.put_and_start & !PUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_what_it_was_made_of() {
        let origins = [0, 1, 0x1234_5678, COUNTERS - 1].map(Origin::Stream);
        for origin in origins.into_iter().chain([Origin::Load, Origin::Counters]) {
            for place in [None, Some(0), Some(1), Some(0x8765_4321), Some(NO_PLACE - 1)] {
                for is_put in [false, true] {
                    for started_ns in [0, 1, u64::from(u32::MAX), 1 << 62, PUT - 1] {
                        let token = Token::new(origin, is_put, place, started_ns);
                        assert_eq!(token.origin(), origin);
                        assert_eq!(token.history_place(), place);
                        assert_eq!((token.is_put(), token.started_ns()), (is_put, started_ns));
                    }
                }
            }
        }
    }
}
