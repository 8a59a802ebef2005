//! What [`Fault::LostSessionResent`] does to the traffic of a session.
//!
//! [`Fault::LostSessionResent`]: crate::planted::Fault::LostSessionResent

use super::{FLAG_MUTATIONS_ONLY, Flight, HEADER_BYTES, Header, Kind};
use crate::pack;
use crate::wire::RequestEntry;

impl<T: Copy> Flight<T> {
    /// The request datagrams whose mutations are not answered.
    pub(crate) fn unanswered_mutations(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let sent = self.inflight.sent().map(|index| self.inflight.slot(index));
        sent.filter(|slot| slot.mutations_waiting > 0).map(|slot| slot.datagram().to_vec())
    }

    /// Puts the mutations of another session's request into `buffer`, as a new request of
    /// this session that nobody waits for. Returns whether there was a slot for it.
    pub(crate) fn resend(&mut self, datagram: &[u8], buffer: &mut Vec<u8>) -> bool {
        let Some(index) = self.inflight.take() else { return false };
        let sequence = self.inflight.slot(index).sequence;
        self.inflight.release(index);
        let mut header = Header::new(Kind::Request, self.granted.session, sequence);
        header.entries = entries(datagram);
        header.flags = FLAG_MUTATIONS_ONLY;
        buffer.clear();
        buffer.extend_from_slice(datagram);
        pack::seal(buffer, header);
        true
    }
}

fn entries(datagram: &[u8]) -> u16 {
    let mut at = HEADER_BYTES;
    let mut entries = 0;
    while let Some(bytes) = datagram.get(at..at + size_of::<RequestEntry>()) {
        let entry: RequestEntry = bytemuck::pod_read_unaligned(bytes);
        at += bytes.len() + usize::from(entry.key_bytes) + entry.value_bytes as usize;
        entries += 1;
    }
    entries
}
