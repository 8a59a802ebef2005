//! The frames of memcached's datagrams, and messages of several.
//!
//! Each datagram begins with 8 bytes, big-endian: the request's number, the datagram's
//! place among those of its message, how many these are, and 0.

use std::ops::Range;

/// Bytes before the text of a datagram.
pub const FRAME_BYTES: usize = 8;
/// Most datagrams of a message: the answer to what one datagram asks for has far fewer.
const PARTS_MAX: usize = 1 << 14;

/// What a datagram begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The request's number.
    pub request: u16,
    /// The datagram's place in its message.
    pub part: usize,
    /// Datagrams of the message.
    pub parts: usize,
}

impl Frame {
    /// What a request begins with; it has one part.
    #[must_use]
    pub fn request(request: u16) -> [u8; FRAME_BYTES] {
        let [high, low] = request.to_be_bytes();
        [high, low, 0, 0, 0, 1, 0, 0]
    }

    /// The frame and the text of a datagram; none if it is no datagram of memcached's.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<(Self, &[u8])> {
        let (frame, text) = datagram.split_first_chunk::<FRAME_BYTES>()?;
        let [a, b, c, d, e, f, _, _] = *frame;
        let [request, part, parts] = [[a, b], [c, d], [e, f]].map(u16::from_be_bytes);
        let frame = Self { request, part: part.into(), parts: parts.into() };
        (frame.part < frame.parts && frame.parts <= PARTS_MAX).then_some((frame, text))
    }
}

/// A message that arrives in parts.
#[derive(Debug, Default)]
pub struct Assembly {
    bytes: Vec<u8>,
    /// Where in `bytes` each part is, if it has come.
    parts: Vec<Option<Range<usize>>>,
    arrived: usize,
}

impl Assembly {
    /// Bytes of the parts that have come.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what has come.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.parts.clear();
        self.arrived = 0;
    }

    /// Takes a part. One that is there already, or that is of another number of parts,
    /// begins another message under the same number.
    pub fn take(&mut self, frame: &Frame, text: &[u8]) {
        if self.parts.len() != frame.parts || self.parts[frame.part].is_some() {
            self.clear();
            self.parts.resize(frame.parts, None);
        }
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(text);
        self.parts[frame.part] = Some(begin..self.bytes.len());
        self.arrived += 1;
    }

    /// Moves the whole message into `whole`, once nothing is missing.
    #[must_use]
    pub fn finish(&mut self, whole: &mut Vec<u8>) -> bool {
        if self.arrived < self.parts.len() {
            return false;
        }
        whole.clear();
        for part in self.parts.iter().flatten() {
            whole.extend_from_slice(&self.bytes[part.clone()]);
        }
        self.clear();
        true
    }
}
