//! The client's end of the handshake: HELLO until a cookie comes, OPEN until a session.
//!
//! Its datagrams are as long as those of the session will be, so that a session opens only where
//! they arrive. If none is answered, smaller ones are sent beside them. Each size has a client
//! id of its own, so that a cookie tells which of them came through.

use crate::limits::{
    HANDSHAKE_RETRY_NS, HANDSHAKE_RETRY_NS_MAX, HELLOS_OF_FULL_SIZE, MTU_BYTES_MIN, MTU_STEPS,
    OPENS_OF_A_SIZE, WINDOW_MAX,
};
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
    /// With the step that the cookie came to.
    Open(Cookie, usize),
}

/// A handshake under way.
#[derive(Clone, Debug)]
pub struct Handshake {
    client_id: [u8; 16],
    /// The client's own MTU, and the least that it takes a session with.
    mtu_bytes: usize,
    mtu_bytes_min: usize,
    window: usize,
    stage: Stage,
    /// The largest size that is tried, as its step down from the client's own.
    largest: usize,
    /// A smaller HELLO that is to go out with the one that has gone.
    beside: Option<usize>,
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
        mtu_bytes_min: usize,
        window: usize,
    ) -> Self {
        Self {
            client_id,
            mtu_bytes,
            mtu_bytes_min,
            window,
            stage: Stage::Hello,
            largest: 0,
            beside: None,
            attempts: 0,
            retry_at_ns: now_ns,
            give_up_at_ns: now_ns.saturating_add(timeout_ns),
        }
    }

    /// When something is due: a datagram, or giving up.
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        if self.beside.is_some() { 0 } else { self.retry_at_ns.min(self.give_up_at_ns) }
    }

    /// The sizes that are tried, from the client's own down.
    fn sizes(&self) -> impl Iterator<Item = usize> + use<> {
        let Self { mtu_bytes, mtu_bytes_min, .. } = *self;
        let smaller = move |bytes: &usize| (mtu_bytes_min..mtu_bytes).contains(bytes);
        std::iter::once(mtu_bytes).chain(MTU_STEPS.into_iter().filter(smaller))
    }

    fn size(&self, step: usize) -> usize {
        self.sizes().nth(step).unwrap_or(self.mtu_bytes)
    }

    /// The client's id for a size. The nonce, which is its first half, is the same for all.
    const fn id(&self, step: usize) -> [u8; 16] {
        let mut id = self.client_id;
        id[15] ^= step as u8;
        id
    }

    /// Whether the server did not answer in time.
    #[must_use]
    pub const fn has_failed(&self, now_ns: u64) -> bool {
        now_ns >= self.give_up_at_ns
    }

    /// Writes the datagram that is due, if one is.
    pub fn poll_transmit(&mut self, now_ns: u64, buffer: &mut Vec<u8>) -> bool {
        if let Some(step) = self.beside.take() {
            self.write_hello(step, buffer);
            return true;
        }
        if now_ns < self.retry_at_ns {
            return false;
        }
        if let Stage::Open(_, step) = self.stage
            && self.attempts == OPENS_OF_A_SIZE
            && step + 1 < self.sizes().count()
        {
            // Cookies came back, and nothing of that size does.
            self.enter(now_ns, Stage::Hello);
            self.largest = step + 1;
        }
        let wait_ns = HANDSHAKE_RETRY_NS << self.attempts.min(16);
        self.retry_at_ns = now_ns + wait_ns.min(HANDSHAKE_RETRY_NS_MAX);
        match self.stage {
            Stage::Hello => {
                self.beside = self.smaller();
                self.write_hello(self.largest, buffer);
            }
            Stage::Open(Cookie { client_id, issued_at_ns, mac }, step) => {
                let mtu_bytes = self.size(step);
                let window = self.window as u32;
                let open =
                    Open { client_id, issued_at_ns, mac, mtu_bytes: mtu_bytes as u32, window };
                let header = Header::new(Kind::Open, client_nonce(&client_id), 0);
                pack::control(buffer, header, &open, mtu_bytes);
            }
        }
        self.attempts += 1;
        true
    }

    /// The smaller size whose turn it is, if the largest was not answered for some time.
    fn smaller(&self) -> Option<usize> {
        let count = self.sizes().count() - self.largest - 1;
        let turn = self.attempts.checked_sub(HELLOS_OF_FULL_SIZE)? as usize;
        (count > 0).then(|| self.largest + 1 + turn % count)
    }

    fn write_hello(&self, step: usize, buffer: &mut Vec<u8>) {
        let client_id = self.id(step);
        let header = Header::new(Kind::Hello, client_nonce(&client_id), 0);
        pack::control(buffer, header, &Hello { client_id }, self.size(step));
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
                let steps = self.largest..self.sizes().count();
                if let Some(step) = steps.into_iter().find(|&s| self.id(s) == cookie.client_id) {
                    self.enter(now_ns, Stage::Open(cookie, step));
                }
                Ok(Progress::GoOn)
            }
            (Kind::Accept, Stage::Open(cookie, step)) => {
                let accept: Accept = unpack::body(datagram)?;
                if accept.client_id != cookie.client_id {
                    return Ok(Progress::GoOn);
                }
                self.granted(header, &accept, self.size(step)).map(Progress::Done)
            }
            (Kind::Refuse, stage) => match (unpack::reason(header)?, stage) {
                // The cookie grew old on the way, or the server started again.
                (Reason::Cookie, Stage::Open(..)) => {
                    self.largest = 0;
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
        self.beside = None;
        self.attempts = 0;
        self.retry_at_ns = now_ns;
    }

    fn granted(
        &self,
        header: &Header,
        accept: &Accept,
        mtu_bytes_max: usize,
    ) -> Result<Granted, Malformed> {
        let mtu_bytes = accept.mtu_bytes as usize;
        let window = accept.window as usize;
        let is_sound = (MTU_BYTES_MIN..=mtu_bytes_max).contains(&mtu_bytes)
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
