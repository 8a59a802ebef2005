//! One who has no business with the servers: whatever it sends, nothing may open or execute.

use proto::pack;
use proto::wire::{Header, Hello, Kind, Open};

use crate::random::Random;

/// Datagrams that it remembers.
const OVERHEARD_MAX: u64 = 64;

/// It sees a datagram of somebody else to a server, cookies and sessions and all.
pub fn overhear(random: &mut Random, overheard: &mut Vec<Vec<u8>>, bytes: &[u8]) {
    if (overheard.len() as u64) < OVERHEARD_MAX {
        overheard.push(bytes.to_vec());
    } else {
        overheard[random.below(OVERHEARD_MAX) as usize] = bytes.to_vec();
    }
}

/// The next datagram that it sends.
pub fn datagram(
    random: &mut Random,
    mtu_bytes: usize,
    now_ns: u64,
    overheard: &[Vec<u8>],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    match random.below(8) {
        0 => {
            let hello = Hello { client_id: random.bytes_16() };
            pack::control(&mut bytes, Header::new(Kind::Hello, 0, 0), &hello, mtu_bytes);
        }
        1 | 2 => {
            // A cookie that it made up, as new as can be.
            let open = Open {
                client_id: random.bytes_16(),
                issued_at_ns: now_ns,
                mac: random.bytes_16(),
                mtu_bytes: mtu_bytes as u32,
                window: 16,
            };
            let nonce = proto::wire::client_nonce(&open.client_id);
            pack::control(&mut bytes, Header::new(Kind::Open, nonce, 0), &open, mtu_bytes);
        }
        3 => {
            let session = random.next_u64() << 16 | random.below(4);
            let kind = random.pick(&[Kind::Request, Kind::Close]);
            pack::bare(&mut bytes, Header::new(kind, session, random.between(1, 300)));
        }
        4..7 if !overheard.is_empty() => {
            bytes = overheard[random.below(overheard.len() as u64) as usize].clone();
        }
        _ => {
            let length = random.below(mtu_bytes as u64);
            bytes = (0..length).map(|_| random.next_u64() as u8).collect();
        }
    }
    bytes
}
