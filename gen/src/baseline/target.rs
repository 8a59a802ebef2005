//! The name of a store: its protocol and its address.

use std::fmt;
use std::str::FromStr;

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
