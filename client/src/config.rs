//! What a client is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use proto::client::ClientConfig;
use proto::limits::{
    ANSWER_TIMEOUT_NS, MTU_BYTES_MAX, MTU_BYTES_MIN, WINDOW_DEFAULT, mtu_bytes_default,
};
use udp::socket::BUFFER_BYTES_DEFAULT;

use crate::error::{Error, timeout_ns};
use crate::limits::{CONNECT_TIMEOUT_DEFAULT, TIMEOUT_DEFAULT};
use crate::near_cache::CacheConfig;
use crate::servers::check_servers;

/// How a client connects and calls. The defaults are right for servers in one datacenter.
///
/// ```
/// use std::time::Duration;
/// use client::{CacheConfig, Config};
///
/// let config = Config::default()
///     .with_timeout(Duration::from_millis(50))
///     .with_connect_timeout(Duration::from_secs(1))
///     .with_mtu_bytes(8972) // jumbo frames, if the servers have them too
///     .with_socket_buffer_bytes(4 << 20)
///     .with_cache(CacheConfig::new(100_000, Duration::from_millis(100)));
/// assert_eq!(config.timeout, Duration::from_millis(50));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How long a call may take; 1 s by default, an hour at most.
    pub timeout: Duration,
    /// How long connecting may take; 5 s by default.
    pub connect_timeout: Duration,
    /// Bytes of UDP payload in the largest datagram, from 576 to 8972; by default what Ethernet
    /// carries: 1472 over IPv4, 1452 over IPv6.
    pub mtu_bytes: Option<usize>,
    /// What the kernel is asked for as each of the socket's two buffers, in bytes as it counts;
    /// 16 MiB by default. It grants no more than `net.core.rmem_max` and `wmem_max` allow.
    pub socket_buffer_bytes: usize,
    /// The near cache; none by default.
    pub cache: Option<CacheConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: TIMEOUT_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            mtu_bytes: None,
            socket_buffer_bytes: BUFFER_BYTES_DEFAULT,
            cache: None,
        }
    }
}

impl Config {
    /// With this longest time of a call.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With this longest time of connecting.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// With this largest datagram, in bytes of UDP payload.
    #[must_use]
    pub const fn with_mtu_bytes(mut self, bytes: usize) -> Self {
        self.mtu_bytes = Some(bytes);
        self
    }

    /// With these buffers of the socket, in bytes each.
    #[must_use]
    pub const fn with_socket_buffer_bytes(mut self, bytes: usize) -> Self {
        self.socket_buffer_bytes = bytes;
        self
    }

    /// With a near cache.
    #[must_use]
    pub const fn with_cache(mut self, cache: CacheConfig) -> Self {
        self.cache = Some(cache);
        self
    }

    /// What its sessions are told, with a socket whose receive buffer holds so many bytes.
    pub(crate) fn of_sessions(&self, server: SocketAddr, receive_bytes: usize) -> ClientConfig {
        let mtu_bytes = self.mtu_bytes.unwrap_or_else(|| mtu_bytes_default(server.ip()));
        ClientConfig {
            mtu_bytes,
            mtu_bytes_min: MTU_BYTES_MIN,
            window: WINDOW_DEFAULT,
            reply_bytes_max: receive_bytes,
            handshake_timeout_ns: timeout_ns(self.connect_timeout),
            answer_timeout_ns: ANSWER_TIMEOUT_NS,
        }
    }

    /// Whether these can be connected to.
    pub(crate) fn check(&self, servers: &[SocketAddr]) -> Result<(), Error> {
        check_servers(servers)?;
        match self.mtu_bytes {
            Some(bytes) if !(MTU_BYTES_MIN..=MTU_BYTES_MAX).contains(&bytes) => {
                Err(Error::InvalidConfig(format!(
                    "an MTU has {MTU_BYTES_MIN} to {MTU_BYTES_MAX} bytes, not {bytes}"
                )))
            }
            _ => Ok(()),
        }
    }
}
