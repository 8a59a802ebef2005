//! The client's end of the handshake: HELLO until a cookie comes, OPEN until a session.

use crate::limits::{HANDSHAKE_RETRY_NS, HANDSHAKE_RETRY_NS_MAX, MTU_BYTES_MIN, WINDOW_MAX};
use crate::pack;
use crate::unpack::{self, Malformed};
use crate::wire::{Accept, Cookie, Header, Hello, Kind, Open, Reason, client_nonce};

/// What the server granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Id of the session.
    pub session: u64,
    /// Names this life of the server.
    pub incarnation: u64,
    /// Largest datagram, both ways.
    pub mtu_bytes: usize,
    /// Slots.
    pub window: usize,
    /// Request datagrams that may be outstanding at first.
    pub credit: u16,
    /// Workers of the server, on consecutive ports.
    pub workers: u16,
    /// Which of them this session is with.
    pub worker: u16,
}

/// What a datagram did to the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing, or one more step: go on.
    GoOn,
    /// The session is open.
    Done(Granted),
    /// The server will not have us.
    Refused(Reason),
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Hello,
    Open(Cookie),
}

/// A handshake under way.
#[derive(Clone, Debug)]
pub struct Handshake {
    client_id: [u8; 16],
    mtu_bytes: usize,
    window: usize,
    stage: Stage,
    attempts: u32,
    retry_at_ns: u64,
    give_up_at_ns: u64,
}

impl Handshake {
    /// `client_id` is random. The first datagram is due at once.
    #[must_use]
    pub fn new(
        now_ns: u64,
        timeout_ns: u64,
        client_id: [u8; 16],
        mtu_bytes: usize,
        window: usize,
    ) -> Self {
        Self {
            client_id,
            mtu_bytes,
            window,
            stage: Stage::Hello,
            attempts: 0,
            retry_at_ns: now_ns,
            give_up_at_ns: now_ns.saturating_add(timeout_ns),
        }
    }

    /// When something is due: a datagram, or giving up.
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        self.retry_at_ns.min(self.give_up_at_ns)
    }

    /// Whether the server did not answer in time.
    #[must_use]
    pub const fn has_failed(&self, now_ns: u64) -> bool {
        now_ns >= self.give_up_at_ns
    }

    /// Writes the datagram that is due, if one is.
    pub fn poll_transmit(&mut self, now_ns: u64, buffer: &mut Vec<u8>) -> bool {
        if now_ns < self.retry_at_ns {
            return false;
        }
        let wait_ns = HANDSHAKE_RETRY_NS << self.attempts.min(16);
        self.retry_at_ns = now_ns + wait_ns.min(HANDSHAKE_RETRY_NS_MAX);
        self.attempts += 1;
        let client_id = self.client_id;
        let nonce = client_nonce(&client_id);
        // Both are padded to the MTU: the path carries such datagrams, or no session opens.
        match self.stage {
            Stage::Hello => {
                let header = Header::new(Kind::Hello, nonce, 0);
                pack::control(buffer, header, &Hello { client_id }, self.mtu_bytes);
            }
            Stage::Open(Cookie { issued_at_ns, mac, .. }) => {
                let open = Open {
                    client_id,
                    issued_at_ns,
                    mac,
                    mtu_bytes: self.mtu_bytes as u32,
                    window: self.window as u32,
                };
                let header = Header::new(Kind::Open, nonce, 0);
                pack::control(buffer, header, &open, self.mtu_bytes);
            }
        }
        true
    }

    /// Takes a datagram whose header was read; what is not about this handshake does
    /// nothing.
    pub fn handle(
        &mut self,
        now_ns: u64,
        kind: Kind,
        header: &Header,
        datagram: &[u8],
    ) -> Result<Progress, Malformed> {
        if header.session != client_nonce(&self.client_id) {
            return Ok(Progress::GoOn);
        }
        match (kind, self.stage) {
            (Kind::Cookie, Stage::Hello) => {
                let cookie: Cookie = unpack::body(datagram)?;
                if cookie.client_id == self.client_id {
                    self.enter(now_ns, Stage::Open(cookie));
                }
                Ok(Progress::GoOn)
            }
            (Kind::Accept, Stage::Open(_)) => {
                let accept: Accept = unpack::body(datagram)?;
                if accept.client_id != self.client_id {
                    return Ok(Progress::GoOn);
                }
                self.granted(header, &accept).map(Progress::Done)
            }
            (Kind::Refuse, stage) => match (unpack::reason(header)?, stage) {
                // The cookie grew old on the way, or the server started again.
                (Reason::Cookie, Stage::Open(_)) => {
                    self.enter(now_ns, Stage::Hello);
                    Ok(Progress::GoOn)
                }
                (Reason::Cookie | Reason::UnknownSession | Reason::SequenceTaken, _) => {
                    Ok(Progress::GoOn)
                }
                (reason, _) => Ok(Progress::Refused(reason)),
            },
            _ => Ok(Progress::GoOn),
        }
    }

    fn enter(&mut self, now_ns: u64, stage: Stage) {
        self.stage = stage;
        self.attempts = 0;
        self.retry_at_ns = now_ns;
    }

    fn granted(&self, header: &Header, accept: &Accept) -> Result<Granted, Malformed> {
        let mtu_bytes = accept.mtu_bytes as usize;
        let window = accept.window as usize;
        let is_sound = (MTU_BYTES_MIN..=self.mtu_bytes).contains(&mtu_bytes)
            && window.is_power_of_two()
            && window <= self.window.min(WINDOW_MAX)
            && accept.worker < accept.workers;
        if !is_sound {
            return Err(Malformed::Field);
        }
        Ok(Granted {
            session: header.sequence,
            incarnation: accept.incarnation,
            mtu_bytes,
            window,
            credit: header.credit,
            workers: accept.workers,
            worker: accept.worker,
        })
    }
}
