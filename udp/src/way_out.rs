//! The way out: whose burst goes now, whose waits, and whose is dropped.
//!
//! Addresses with a session share a send buffer by the rule of [`crate::send_buffer`], and
//! wait in an [`crate::outbox`] when there is no room. Answers to strangers have a send
//! buffer of their own, or a quarter of the one of all, and never wait: a stranger that is
//! there asks again.

use proto::limits::{DATAGRAM_OVERHEAD_BYTES, STRANGERS_SHARE};
use proto::planted::{Fault, is_planted};
use proto::transmit::{Account, Transmit};

use crate::counters::TransportCounters;
use crate::outbox::{Dropped, Outbox, Room};
use crate::send_buffer::SendBuffer;

/// What sends at once, or not at all.
pub trait Sink {
    /// Sends a burst; returns what there was no room for. What cannot be sent for another
    /// reason is counted, and lost as on any network.
    fn send<'a>(
        &mut self,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> Option<Transmit<'a>>;

    /// Bytes that it holds and the device has not taken yet, as the kernel counts them.
    fn held_bytes(&self) -> usize;

    /// Bytes that it may hold.
    fn buffer_bytes(&self) -> usize;
}

/// A sink and its account.
#[derive(Debug)]
struct Lane<S> {
    sink: S,
    buffer: SendBuffer,
}

/// The way out of one socket address.
#[derive(Debug)]
pub struct WayOut<S> {
    sessions: Lane<S>,
    strangers: Option<Lane<S>>,
    outbox: Outbox,
}

impl<S: Sink> Lane<S> {
    fn new(sink: S) -> Self {
        let buffer = SendBuffer::new(sink.buffer_bytes());
        Self { sink, buffer }
    }

    /// Sends what may be sent of a burst now; returns what is left of it.
    #[inline]
    fn send<'a>(
        &mut self,
        now_ns: u64,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> (Option<Transmit<'a>>, Room) {
        let Self { sink, buffer } = self;
        let address = burst.path.remote.ip();
        let mut left = Some(burst);
        while let Some(burst) = left {
            let charged_bytes = burst.bytes.len() + DATAGRAM_OVERHEAD_BYTES;
            let admitted = buffer.admits(now_ns, address, charged_bytes, || sink.held_bytes());
            let (now, later) = match admitted {
                0 => return (left, Room::Left),
                _ if admitted == charged_bytes => (burst, None),
                part => burst.split_at(part),
            };
            let unsent = sink.send(now, counters);
            let sent_bytes = now.bytes.len() - unsent.map_or(0, |unsent| unsent.bytes.len());
            let charged_bytes = sent_bytes + DATAGRAM_OVERHEAD_BYTES;
            buffer.sent(now_ns, address, charged_bytes, || sink.held_bytes());
            if unsent.is_some() {
                counters.send_blocked += 1;
                let bytes = &burst.bytes[sent_bytes..];
                return (Some(Transmit { bytes, ..burst }), Room::None);
            }
            left = later;
        }
        (None, Room::Left)
    }
}

impl<S: Sink> WayOut<S> {
    /// A way out that has sent nothing. Strangers are sent to by the sink of the sessions.
    pub fn new(sessions: S) -> Self {
        Self { sessions: Lane::new(sessions), strangers: None, outbox: Outbox::default() }
    }

    /// Gives strangers a sink of their own.
    pub fn part_strangers(&mut self, sink: S) {
        self.strangers = Some(Lane::new(sink));
    }

    /// What the sessions send by.
    pub const fn sink(&self) -> &S {
        &self.sessions.sink
    }

    /// The same.
    pub const fn sink_mut(&mut self) -> &mut S {
        &mut self.sessions.sink
    }

    /// All sinks: that of the sessions first, then that of the strangers, if it is another.
    pub fn sinks_mut(&mut self) -> impl Iterator<Item = &mut S> {
        std::iter::once(&mut self.sessions).chain(&mut self.strangers).map(|lane| &mut lane.sink)
    }

    /// Datagrams that wait for room.
    pub fn waiting_datagrams(&self) -> u64 {
        self.outbox.datagrams()
    }

    /// Whether bursts wait for room.
    #[inline]
    pub fn has_backlog(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends a burst, keeps it, or drops and counts it.
    #[inline]
    pub fn send(&mut self, now_ns: u64, burst: Transmit<'_>, counters: &mut TransportCounters) {
        if burst.account == Account::Stranger {
            return self.answer_stranger(now_ns, burst, counters);
        }
        if self.has_backlog() && self.outbox.holds(burst.path.remote.ip()) {
            return self.keep(now_ns, burst, counters);
        }
        if let (Some(left), _) = self.sessions.send(now_ns, burst, counters) {
            self.keep(now_ns, left, counters);
        }
    }

    /// Sends what waits, as far as there is room.
    #[inline]
    pub fn flush(&mut self, now_ns: u64, counters: &mut TransportCounters) -> usize {
        if self.outbox.is_empty() { 0 } else { self.flush_outbox(now_ns, counters) }
    }

    #[cold]
    fn flush_outbox(&mut self, now_ns: u64, counters: &mut TransportCounters) -> usize {
        let Self { sessions, outbox, .. } = self;
        let (sent, dropped) = outbox.flush(now_ns, |burst| sessions.send(now_ns, burst, counters));
        counters.datagrams_unsent += counted(dropped);
        sent
    }

    #[cold]
    fn keep(&mut self, now_ns: u64, burst: Transmit<'_>, counters: &mut TransportCounters) {
        counters.bursts_queued += 1;
        counters.datagrams_unsent += counted(self.outbox.push(now_ns, burst));
    }

    fn answer_stranger(
        &mut self,
        now_ns: u64,
        burst: Transmit<'_>,
        counters: &mut TransportCounters,
    ) {
        let Self { sessions, strangers, .. } = self;
        let left = match strangers {
            Some(lane) => lane.send(now_ns, burst, counters).0,
            None => {
                let Lane { sink, buffer } = sessions;
                let is_free = buffer.holds_less_than_one_in(STRANGERS_SHARE, || sink.held_bytes());
                if is_free { sessions.send(now_ns, burst, counters).0 } else { Some(burst) }
            }
        };
        counters.strangers_unsent += counted(left.map_or(0, |left| left.segments() as Dropped));
    }
}

/// What is dropped is counted.
fn counted(dropped: Dropped) -> u64 {
    if is_planted(Fault::UnsentUncounted) { 0 } else { dropped }
}

#[cfg(test)]
mod tests {
    use proto::limits::{QUEUE_BYTES_PER_ADDRESS_MAX, QUEUE_NS_MAX};
    use proto::transmit::Path;

    use super::*;

    /// Holds what it is given until it is emptied.
    #[derive(Debug, Default)]
    struct Device {
        held_bytes: usize,
        sent: Vec<(u8, usize)>,
    }

    const BUFFER_BYTES: usize = 100_000;

    impl Sink for Device {
        fn send<'a>(
            &mut self,
            burst: Transmit<'a>,
            _: &mut TransportCounters,
        ) -> Option<Transmit<'a>> {
            if self.held_bytes >= BUFFER_BYTES {
                return Some(burst);
            }
            let std::net::IpAddr::V4(ip) = burst.path.remote.ip() else { unreachable!() };
            self.sent.push((ip.octets()[3], burst.bytes.len()));
            self.held_bytes += burst.bytes.len();
            None
        }

        fn held_bytes(&self) -> usize {
            self.held_bytes
        }

        fn buffer_bytes(&self) -> usize {
            BUFFER_BYTES
        }
    }

    fn burst(last: u8, account: Account, bytes: &[u8]) -> Transmit<'_> {
        let path = Path::to(([10, 0, 0, last], 1).into());
        Transmit { path, account, bytes, segment_bytes: 1000 }
    }

    fn way_out() -> (WayOut<Device>, TransportCounters) {
        (WayOut::new(Device::default()), TransportCounters::default())
    }

    #[test]
    fn what_has_no_room_waits_and_goes_out_in_its_order() {
        let (mut way_out, mut counters) = way_out();
        for length in [40_000, 40_001, 40_002, 40_003] {
            way_out.send(0, burst(1, Account::Session, &vec![0; length]), &mut counters);
        }
        assert!(way_out.has_backlog());
        while way_out.has_backlog() {
            way_out.sink_mut().held_bytes = 0;
            way_out.flush(0, &mut counters);
        }
        let sent: usize = way_out.sink().sent.iter().map(|(_, length)| length).sum();
        assert_eq!(sent, 160_006);
        assert_eq!((counters.datagrams_unsent, counters.send_errors), (0, 0));
        assert!(counters.bursts_queued > 0);
    }

    #[test]
    fn every_datagram_that_does_not_go_out_is_counted() {
        let (mut way_out, mut counters) = way_out();
        way_out.sink_mut().held_bytes = BUFFER_BYTES;
        let bytes = vec![0; 50_500];
        let mut given = 0;
        while given < 3 * QUEUE_BYTES_PER_ADDRESS_MAX {
            way_out.send(0, burst(1, Account::Session, &bytes), &mut counters);
            given += bytes.len();
        }
        assert!(counters.datagrams_unsent > 0);
        while way_out.has_backlog() {
            way_out.flush(QUEUE_NS_MAX + 1, &mut counters);
        }
        let given_datagrams = (given / bytes.len()) * 51;
        let sent = way_out.sink().sent.iter().map(|(_, length)| length.div_ceil(1000));
        assert_eq!(counters.datagrams_unsent as usize + sent.sum::<usize>(), given_datagrams);
    }

    #[test]
    fn strangers_have_a_quarter_and_never_wait() {
        let (mut way_out, mut counters) = way_out();
        for _ in 0..100 {
            way_out.send(0, burst(66, Account::Stranger, &[0; 1000]), &mut counters);
        }
        assert!(way_out.sink().held_bytes <= BUFFER_BYTES / STRANGERS_SHARE + 1000);
        let sent = way_out.sink().sent.len() as u64;
        assert_eq!((sent + counters.strangers_unsent, way_out.has_backlog()), (100, false));
        way_out.send(0, burst(1, Account::Session, &[0; 1000]), &mut counters);
        assert_eq!(way_out.sink().sent.last(), Some(&(1, 1000)), "others have the rest");
    }

    #[test]
    fn strangers_with_a_sink_of_their_own_take_nothing_from_the_others() {
        let (mut way_out, mut counters) = way_out();
        way_out.part_strangers(Device::default());
        way_out.sink_mut().held_bytes = BUFFER_BYTES;
        way_out.send(0, burst(1, Account::Session, &[0; 1000]), &mut counters);
        assert!(way_out.has_backlog());
        way_out.send(0, burst(7, Account::Stranger, &[0; 50]), &mut counters);
        let strangers = way_out.sinks_mut().last().expect("it was given");
        assert_eq!(strangers.sent, [(7, 50)], "a full buffer silences no handshake");
        assert_eq!(counters.strangers_unsent, 0);
    }
}
