//! What [`Fault::LostSessionResent`] does to the traffic of a session: nothing, without the
//! feature `planted-faults`.
//!
//! [`Fault::LostSessionResent`]: crate::planted::Fault::LostSessionResent

#[cfg(not(feature = "planted-faults"))]
mod hooks {
    use std::net::SocketAddr;

    use crate::flight::Flight;

    impl<T: Copy> Flight<T> {
        /// Keeps what this session leaves unanswered: never.
        #[inline]
        pub(crate) fn plant_lost(&self, _server: SocketAddr) {}

        /// Sends what a lost session left: never.
        #[inline]
        pub(crate) fn resend_lost(&mut self, _server: SocketAddr, _buffer: &mut Vec<u8>) -> bool {
            false
        }
    }
}

#[cfg(feature = "planted-faults")]
mod hooks {
    use std::net::SocketAddr;

    use crate::flight::Flight;
    use crate::pack;
    use crate::planted::{Fault, is_planted, keep_lost, take_lost};
    use crate::wire::{FLAG_MUTATIONS_ONLY, HEADER_BYTES, Header, Kind, RequestEntry};

    impl<T: Copy> Flight<T> {
        /// Keeps the requests whose mutations are not answered, for the next session with
        /// the server.
        pub(crate) fn plant_lost(&self, server: SocketAddr) {
            if is_planted(Fault::LostSessionResent) {
                let sent = self.inflight.sent().map(|index| self.inflight.slot(index));
                let unanswered = sent.filter(|slot| slot.mutations_waiting > 0);
                keep_lost(server, unanswered.map(|slot| slot.datagram().to_vec()));
            }
        }

        /// Puts the mutations of a lost session's request into `buffer`, as a new request of
        /// this session that nobody waits for. Returns whether there was one, and a slot for
        /// it.
        pub(crate) fn resend_lost(&mut self, server: SocketAddr, buffer: &mut Vec<u8>) -> bool {
            let Some(datagram) = take_lost(server) else { return false };
            let Some(index) = self.inflight.take() else { return false };
            let sequence = self.inflight.slot(index).sequence;
            self.inflight.release(index);
            let mut header = Header::new(Kind::Request, self.granted.session, sequence);
            header.entries = entries(&datagram);
            header.flags = FLAG_MUTATIONS_ONLY;
            buffer.clear();
            buffer.extend_from_slice(&datagram);
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
}
