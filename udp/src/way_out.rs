//! The way out: whose burst goes now, whose waits, and whose is dropped.
//!
//! Addresses with a session share a send buffer by the rule of `send_buffer`, and
//! wait in an `outbox` when there is no room. Answers to strangers have a send
//! buffer of their own, or a quarter of the one of all, and never wait: a stranger that is
//! there asks again.

use proto::limits::STRANGERS_SHARE;
use proto::planted::{Fault, is_planted};
use proto::transmit::{Account, Transmit};

use crate::counters::TransportCounters;
use crate::outbox::{Dropped, Outbox, Room};
use crate::send_buffer::{Admission, SendBuffer, Shares};

/// What sends at once, or not at all.
pub trait Sink {
    /// Sends a burst; returns what there was no room for. What cannot be sent for another
    /// reason is counted, and lost as on any network.
    fn send<'a>(
        &mut self,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> Option<Transmit<'a>>;

    /// The same, and tells whether what was sent got through to the device's queue, and does
    /// not wait for a neighbour to answer.
    fn send_watched<'a>(
        &mut self,
        burst: Transmit<'a>,
        counters: &mut TransportCounters,
    ) -> (Option<Transmit<'a>>, bool);

    /// At most so many bytes a burst takes of the buffer.
    fn charged_bytes(&self, burst: &Transmit<'_>) -> usize;

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
    /// Whether the last send found any room. While there is none, everybody waits for his turn.
    room: Room,
}

impl<S: Sink> Lane<S> {
    fn new(sink: S, shares: Shares) -> Self {
        let buffer = SendBuffer::new(sink.buffer_bytes(), shares);
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
            let bytes = sink.charged_bytes(&burst);
            let first = burst.split_at(0).0;
            let datagram_bytes = sink.charged_bytes(&first);
            let look = || sink.held_bytes();
            let admission = buffer.admits(now_ns, address, bytes, datagram_bytes, look);
            let admitted = match admission {
                Admission::Free(admitted) | Admission::Watched(admitted) => admitted,
                Admission::Nothing => return (left, Room::Left),
            };
            let (now, later) =
                if admitted >= bytes { (burst, None) } else { burst.split_at(admitted) };
            let is_watched = matches!(admission, Admission::Watched(_));
            let (unsent, got_through) = match is_watched {
                false => (sink.send(now, counters), true),
                true => sink.send_watched(now, counters),
            };
            let sent_bytes = now.bytes.len() - unsent.map_or(0, |unsent| unsent.bytes.len());
            if sent_bytes > 0 {
                let sent = Transmit { bytes: &now.bytes[..sent_bytes], ..now };
                let charged_bytes = sink.charged_bytes(&sent);
                match is_watched {
                    false => buffer.sent(charged_bytes),
                    true => buffer.sent_watched(now_ns, address, charged_bytes, got_through),
                }
            }
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
        Self {
            sessions: Lane::new(sessions, Shares::SESSIONS),
            strangers: None,
            outbox: Outbox::default(),
            room: Room::Left,
        }
    }

    /// Gives strangers a sink of their own.
    pub fn part_strangers(&mut self, sink: S) {
        self.strangers = Some(Lane::new(sink, Shares::STRANGERS));
    }

    /// What the sessions send by.
    pub const fn sink(&self) -> &S {
        &self.sessions.sink
    }

    /// The same.
    pub const fn sink_mut(&mut self) -> &mut S {
        &mut self.sessions.sink
    }

    /// All sinks, for a simulation that drives them: that of the sessions first, then that of the strangers, if it is another.
    pub fn sinks_mut(&mut self) -> impl Iterator<Item = &mut S> {
        std::iter::once(&mut self.sessions).chain(&mut self.strangers).map(|lane| &mut lane.sink)
    }

    /// Whether they wait until the sink has any room at all.
    pub fn is_full(&self) -> bool {
        self.has_backlog() && self.room == Room::None
    }

    /// Datagrams that wait for room: for a simulation that counts them.
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
        if self.has_backlog()
            && (self.room == Room::None || self.outbox.holds(burst.path.remote.ip()))
        {
            return self.keep(now_ns, burst, counters);
        }
        let (left, room) = self.sessions.send(now_ns, burst, counters);
        self.room = room;
        if let Some(left) = left {
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
        let (sent, dropped, room) =
            outbox.flush(now_ns, |burst| sessions.send(now_ns, burst, counters));
        self.room = room;
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

    /// Holds what it is given until it is emptied. Nobody is at an address that ends in 66.
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

        fn send_watched<'a>(
            &mut self,
            burst: Transmit<'a>,
            counters: &mut TransportCounters,
        ) -> (Option<Transmit<'a>>, bool) {
            let is_there = burst.path.remote.ip() != std::net::IpAddr::from([10, 0, 0, 66]);
            (self.send(burst, counters), is_there)
        }

        fn charged_bytes(&self, burst: &Transmit<'_>) -> usize {
            burst.bytes.len()
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
    fn on_a_busy_link_everybody_has_his_turn() {
        let (mut way_out, mut counters) = way_out();
        let bytes = vec![0; 20_000];
        // Four addresses always have something to send, and the device takes a little a round.
        for round in 0..2_000 {
            way_out.sink_mut().held_bytes = way_out.sink().held_bytes.saturating_sub(10_000);
            way_out.flush(round, &mut counters);
            for last in 1..=4 {
                way_out.send(round, burst(last, Account::Session, &bytes), &mut counters);
            }
        }
        let sent_to = |last| -> usize {
            let sent = way_out.sink().sent.iter().filter(|(to, _)| *to == last);
            sent.map(|(_, length)| length).sum()
        };
        let sent: Vec<usize> = (1..=4).map(sent_to).collect();
        let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
        assert!(least * 10 >= most * 8, "{sent:?}");
    }

    #[test]
    fn one_that_is_not_there_keeps_nobody_from_sending() {
        let (mut way_out, mut counters) = way_out();
        for round in 0..1_000 {
            way_out.flush(round, &mut counters);
            way_out.send(round, burst(66, Account::Session, &[0; 9_000]), &mut counters);
            let before_bytes = way_out.sink().held_bytes;
            way_out.send(round, burst(1, Account::Session, &[0; 9_000]), &mut counters);
            way_out.sink_mut().held_bytes = before_bytes;
        }
        let sent = way_out.sink().sent.iter().filter(|(to, _)| *to == 1);
        assert_eq!(sent.map(|(_, length)| length).sum::<usize>(), 9_000_000);
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
