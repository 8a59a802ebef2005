//! Answers packed into datagrams, and datagrams into bursts.
//!
//! The answers of all requests that one session sent together go into the same stream of
//! datagrams, cut to equal sizes, because only equal sizes ride one GSO send.

use std::collections::VecDeque;

use crate::limits::{BURST_BYTES_MAX, SEGMENTS_PER_BURST_MAX, SPARE_BUFFERS_MAX};
use crate::pack;
use crate::transmit::{Account, Flush, Path, Transmit};
use crate::wire::{HEADER_BYTES, Header, Kind, REPLY_ENTRY_BYTES, Status};

/// Where answers go, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The way to the client.
    pub path: Path,
    /// Its session; no two of one server have the same.
    pub session: u64,
    /// Largest datagram of the session.
    pub mtu_bytes: usize,
    /// Request datagrams that the session may have outstanding.
    pub credit: u16,
    /// The `attempt` of the request.
    pub attempt: u8,
}

/// Datagrams for one address.
#[derive(Debug)]
struct Burst {
    path: Path,
    account: Account,
    segment_bytes: usize,
    bytes: Vec<u8>,
}

/// The burst that answers are added to.
#[derive(Debug)]
struct OpenBurst {
    destination: Destination,
    bytes: Vec<u8>,
    segments: usize,
    /// Where the open segment starts, its base sequence and attempt, and its entries so far.
    segment_at: usize,
    base: u64,
    attempt: u8,
    entries: u16,
}

/// Everything that a server has to send.
#[derive(Debug, Default)]
pub struct Replies {
    full: VecDeque<Burst>,
    open: Option<OpenBurst>,
    /// The one that was handed out last; its memory is used again.
    sending: Option<Burst>,
    spare: Vec<Vec<u8>>,
}

impl Replies {
    /// Adds one answer. Answers to one session stay in their order; a change of session
    /// starts a new burst.
    #[inline]
    pub fn answer(
        &mut self,
        destination: &Destination,
        sequence: u64,
        index: u16,
        status: Status,
        version: u64,
        value: &[u8],
    ) {
        let entry_bytes = REPLY_ENTRY_BYTES + value.len();
        assert!(
            HEADER_BYTES + entry_bytes <= destination.mtu_bytes,
            "callers answer with a status what does not fit"
        );
        let delta = self.make_room(destination, sequence, entry_bytes);
        let open = self.open.as_mut().expect("made room in it");
        pack::reply_entry(&mut open.bytes, delta, index, status, version, value);
        open.entries += 1;
    }

    /// Adds a datagram that is no reply, made by `write`.
    pub fn control(&mut self, path: Path, account: Account, write: impl FnOnce(&mut Vec<u8>)) {
        self.close_burst();
        let mut bytes = self.spare.pop().unwrap_or_default();
        write(&mut bytes);
        assert!(!bytes.is_empty());
        self.full.push_back(Burst { path, account, segment_bytes: bytes.len(), bytes });
    }

    /// The next burst to send.
    pub fn poll_transmit(&mut self, flush: Flush) -> Option<Transmit<'_>> {
        if let Some(sent) = self.sending.take()
            && self.spare.len() < SPARE_BUFFERS_MAX
        {
            self.spare.push(sent.bytes);
        }
        let next = match self.full.pop_front() {
            None if flush == Flush::All => self.end_burst(),
            next => next,
        };
        let burst = self.sending.insert(next?);
        let Burst { path, account, segment_bytes, bytes } = burst;
        Some(Transmit { path: *path, account: *account, bytes, segment_bytes: *segment_bytes })
    }

    /// Makes sure that an open segment has room for an entry of a request, and returns how
    /// far the request's sequence is from the segment's.
    #[inline]
    fn make_room(&mut self, destination: &Destination, sequence: u64, entry_bytes: usize) -> i16 {
        if let Some(open) = &mut self.open {
            if open.destination.session == destination.session {
                let used_bytes = open.bytes.len() - open.segment_at;
                let delta = i16::try_from(sequence.wrapping_sub(open.base).cast_signed());
                if let Ok(delta) = delta
                    && open.attempt == destination.attempt
                    && used_bytes + entry_bytes <= destination.mtu_bytes
                {
                    return delta;
                }
                if open.has_room_for_segment() {
                    open.close_segment(true);
                    open.open_segment(sequence, destination.attempt);
                    return 0;
                }
            }
            self.close_burst();
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        let mut open = OpenBurst {
            destination: *destination,
            bytes,
            segments: 0,
            segment_at: 0,
            base: 0,
            attempt: 0,
            entries: 0,
        };
        open.open_segment(sequence, destination.attempt);
        self.open = Some(open);
        0
    }

    fn close_burst(&mut self) {
        if let Some(burst) = self.end_burst() {
            self.full.push_back(burst);
        }
    }

    #[inline]
    fn end_burst(&mut self) -> Option<Burst> {
        let mut open = self.open.take()?;
        open.close_segment(false);
        Some(Burst {
            path: open.destination.path,
            account: Account::Session,
            segment_bytes: open.destination.mtu_bytes,
            bytes: open.bytes,
        })
    }
}

impl OpenBurst {
    fn has_room_for_segment(&self) -> bool {
        self.segments < SEGMENTS_PER_BURST_MAX
            && (self.segments + 1) * self.destination.mtu_bytes <= BURST_BYTES_MAX
    }

    fn open_segment(&mut self, sequence: u64, attempt: u8) {
        self.segment_at = self.bytes.len();
        debug_assert_eq!(self.segment_at, self.segments * self.destination.mtu_bytes);
        self.bytes.resize(self.segment_at + HEADER_BYTES, 0);
        self.base = sequence;
        self.attempt = attempt;
        self.entries = 0;
        self.segments += 1;
    }

    /// Ends the open segment; one that is followed by another is padded to the full size.
    fn close_segment(&mut self, pad: bool) {
        assert!(self.entries > 0, "no segment goes out empty");
        if pad {
            self.bytes.resize(self.segment_at + self.destination.mtu_bytes, 0);
        }
        let mut header = Header::new(Kind::Reply, self.destination.session, self.base);
        header.entries = self.entries;
        header.credit = self.destination.credit;
        header.attempt = self.attempt;
        pack::seal(&mut self.bytes[self.segment_at..], header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack;

    fn destination(session: u64) -> Destination {
        Destination {
            path: Path::to("127.0.0.1:9".parse().unwrap()),
            session,
            mtu_bytes: 1472,
            credit: 9,
            attempt: 0,
        }
    }

    fn bursts(replies: &mut Replies, flush: Flush) -> Vec<(usize, Vec<Vec<u8>>)> {
        let mut bursts = Vec::new();
        while let Some(transmit) = replies.poll_transmit(flush) {
            let datagrams = transmit.datagrams().map(<[u8]>::to_vec).collect();
            bursts.push((transmit.segment_bytes, datagrams));
        }
        bursts
    }

    #[test]
    fn a_burst_is_of_equal_datagrams_that_each_stand_alone() {
        let mut replies = Replies::default();
        for index in 0..25 {
            replies.answer(&destination(1), 70, index, Status::Ok, 5, &[3; 128]);
        }
        assert!(bursts(&mut replies, Flush::Full).is_empty(), "it is not full yet");
        let bursts = bursts(&mut replies, Flush::All);
        assert_eq!(bursts.len(), 1);
        let (_, datagrams) = &bursts[0];
        let sizes: Vec<_> = datagrams.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1472, 1472, 32 + 5 * 144]);
        let mut indexes = Vec::new();
        for datagram in datagrams {
            let (kind, header) = unpack::header(datagram).unwrap();
            assert_eq!((kind, header.session, header.credit), (Kind::Reply, 1, 9));
            for answer in unpack::replies(datagram, &header) {
                let answer = answer.unwrap();
                assert_eq!((answer.sequence, answer.version), (70, 5));
                assert_eq!(answer.value, [3; 128]);
                indexes.push(answer.index);
            }
        }
        assert_eq!(indexes, (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_burst_goes_out_before_the_rest_is_there() {
        let mut replies = Replies::default();
        // 44 datagrams of 1472 bytes are what 65,507 bytes hold; the next entry overflows.
        for index in 0..441 {
            replies.answer(&destination(1), 1, index, Status::Ok, 1, &[0; 128]);
        }
        let full = bursts(&mut replies, Flush::Full);
        assert_eq!(full.len(), 1);
        assert_eq!(full[0].1.len(), 44);
        assert_eq!(bursts(&mut replies, Flush::All)[0].1.len(), 1);
    }

    #[test]
    fn requests_of_one_session_share_datagrams_and_sessions_do_not() {
        let mut replies = Replies::default();
        replies.answer(&destination(1), 64, 0, Status::Ok, 1, &[]);
        replies.answer(&destination(1), 1, 0, Status::NotFound, 0, &[]);
        replies.answer(&destination(2), 64, 0, Status::Ok, 1, &[]);
        let bursts = bursts(&mut replies, Flush::All);
        assert_eq!(bursts.len(), 2);
        let (_, header) = unpack::header(&bursts[0].1[0]).unwrap();
        let sequences: Vec<_> = unpack::replies(&bursts[0].1[0], &header)
            .map(|answer| answer.unwrap().sequence)
            .collect();
        assert_eq!(sequences, [64, 1]);
    }

    #[test]
    fn a_sequence_too_far_away_starts_another_datagram() {
        let mut replies = Replies::default();
        replies.answer(&destination(1), 1, 0, Status::Ok, 1, &[]);
        replies.answer(&destination(1), 1 << 40, 0, Status::Ok, 1, &[]);
        let bursts = bursts(&mut replies, Flush::All);
        assert_eq!(bursts[0].1.len(), 2);
        let (_, header) = unpack::header(&bursts[0].1[1]).unwrap();
        let answer = unpack::replies(&bursts[0].1[1], &header).next().unwrap().unwrap();
        assert_eq!(answer.sequence, 1 << 40);
    }
}
