//! Which store a run drives, and in which protocol.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};

use super::frame::FRAME_BYTES;
use super::keys::{DIGITS, MEMCACHED_KEY_BYTES_MAX};
use super::memcached_udp::set_bytes;
use super::{BATCH_MAX, VALUE_BYTES_MAX};
use crate::flags::Flags;

/// How another store is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// memcached's text protocol over TCP, GETs in multi-gets.
    Memcached,
    /// The same over UDP.
    MemcachedUdp,
    /// RESP over TCP, pipelined GETs.
    Redis,
    /// RESP over TCP, GETs in MGETs.
    RedisMget,
}

impl Protocol {
    const ALL: [Self; 4] = [Self::Memcached, Self::MemcachedUdp, Self::Redis, Self::RedisMget];

    /// What URLs of it begin with.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Memcached => "memcached",
            Self::MemcachedUdp => "memcached+udp",
            Self::Redis => "redis",
            Self::RedisMget => "redis+mget",
        }
    }

    /// What to do about a store that is not there.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Memcached => "start it ('memcached -p PORT'), or name another --target",
            Self::MemcachedUdp => {
                "start it with UDP ('memcached -U PORT'), or name another --target"
            }
            Self::Redis | Self::RedisMget => {
                "start it ('redis-server --port PORT'), or name another --target"
            }
        }
    }
}

/// A store's URL: `SCHEME://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// None is our own store's.
    pub protocol: Option<Protocol>,
    /// HOST:PORT.
    pub address: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let known = || {
            let baselines = Protocol::ALL.map(Protocol::scheme).join("://, ");
            format!("expected a URL such as redis://127.0.0.1:6379, of kv://, {baselines}://")
        };
        let (scheme, address) = url.trim().split_once("://").ok_or_else(known)?;
        let protocol = match scheme {
            "kv" => None,
            _ => {
                let mut all = Protocol::ALL.into_iter();
                Some(all.find(|protocol| protocol.scheme() == scheme).ok_or_else(known)?)
            }
        };
        let address = address.strip_suffix('/').unwrap_or(address).to_owned();
        Ok(Self { protocol, address })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.protocol.map_or("kv", Protocol::scheme);
        write!(formatter, "{scheme}://{}", self.address)
    }
}

/// What is known of the stores beyond the plan.
#[derive(Clone, Debug)]
pub struct Baselines {
    /// How they are spoken to.
    pub protocol: Protocol,
    /// Their URLs, in the order of the plan's servers.
    pub names: Vec<String>,
    /// Largest datagram of a request, over UDP.
    pub mtu_bytes: usize,
}

impl Baselines {
    /// The stores that the flags name, if they are other than our own. The errors say what
    /// to do.
    pub fn new(flags: &Flags) -> Result<Option<Self>> {
        let Some(protocol) = protocol(flags)? else {
            ensure!(
                flags.connections.is_none(),
                "--connections is for other stores (--target): kv has a session with each worker"
            );
            return Ok(None);
        };
        refuse_flags_without_meaning(flags, protocol)?;
        let batch = flags.batch();
        ensure!(batch <= BATCH_MAX, "--batch {batch}: for other stores it is at most {BATCH_MAX}");
        let (key_size, value_size) = (flags.key_size, flags.value_size);
        ensure!(
            key_size >= DIGITS,
            "--key-size {key_size}: keys of other stores are text of at least {DIGITS} bytes"
        );
        let is_memcached = matches!(protocol, Protocol::Memcached | Protocol::MemcachedUdp);
        ensure!(
            !is_memcached || key_size <= MEMCACHED_KEY_BYTES_MAX,
            "--key-size {key_size}: memcached's keys have at most {MEMCACHED_KEY_BYTES_MAX} bytes"
        );
        ensure!(
            value_size <= VALUE_BYTES_MAX,
            "--value-size {value_size}: for other stores it is at most {VALUE_BYTES_MAX}"
        );
        let mtu_bytes = usize::from(flags.mtu());
        let datagram_bytes = FRAME_BYTES + set_bytes(key_size, value_size);
        ensure!(
            protocol != Protocol::MemcachedUdp || datagram_bytes <= mtu_bytes,
            "--value-size {value_size}: its PUT takes a datagram of {datagram_bytes} bytes, and \
             --mtu is {mtu_bytes}"
        );
        let names = flags.target.iter().map(Target::to_string).collect();
        Ok(Some(Self { protocol, names, mtu_bytes }))
    }
}

/// The protocol of all targets; none for our own store.
fn protocol(flags: &Flags) -> Result<Option<Protocol>> {
    let protocol = flags.target.first().and_then(|target| target.protocol);
    if let Some(other) = flags.target.iter().find(|target| target.protocol != protocol) {
        bail!("--target mixes '{}' and '{other}': name stores of one kind", flags.target[0]);
    }
    Ok(protocol)
}

fn refuse_flags_without_meaning(flags: &Flags, protocol: Protocol) -> Result<()> {
    let is_udp = protocol == Protocol::MemcachedUdp;
    let given = [
        ("--order", flags.order.is_some()),
        ("--window", flags.window.is_some()),
        ("--drop-pct", flags.drop_pct > 0.0),
        ("--mtu", flags.mtu.is_some() && !is_udp),
        ("--history", flags.history.is_some()),
        ("--streams", flags.streams.is_some()),
        ("--batch-mtu", flags.batch_mtu.is_some()),
    ];
    let without_meaning = given.iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag);
    without_meaning.map_or(Ok(()), |flag| {
        let hint = if *flag == "--streams" { " (see --connections and --batch)" } else { "" };
        Err(anyhow::anyhow!("{flag} has no meaning for {}://{hint}", protocol.scheme()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_protocol_and_an_address() {
        let parse =
            |url: &str| url.parse::<Target>().map(|target| (target.protocol, target.address));
        let here = || "127.0.0.1:1".to_owned();
        assert_eq!(parse("kv://127.0.0.1:1"), Ok((None, here())));
        for protocol in Protocol::ALL {
            let url = format!("{}://127.0.0.1:1", protocol.scheme());
            assert_eq!(parse(&url), Ok((Some(protocol), here())));
            assert_eq!(parse(&format!("{url}/")), Ok((Some(protocol), here())));
            assert_eq!(url.parse::<Target>().unwrap().to_string(), url);
        }
        for wrong in ["", "127.0.0.1:1", "http://127.0.0.1:1", "redis:/127.0.0.1:1", "REDIS://a:1"]
        {
            let reason = parse(wrong).unwrap_err();
            assert!(reason.contains("memcached+udp://, redis://, redis+mget://"), "{reason}");
        }
    }
}
