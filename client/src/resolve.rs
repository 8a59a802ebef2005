//! Names of servers, as people write them.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};

use crate::error::Error;

/// The addresses of a list of servers that is written as `HOST:PORT,HOST:PORT`, in its order.
/// Host names are looked up, which may block for seconds. Of a host with both, an IPv4 address is
/// taken before one of IPv6.
///
/// ```
/// let servers = client::resolve("127.0.0.1:7400, localhost:7500")?;
/// assert_eq!(servers, ["127.0.0.1:7400".parse().unwrap(), "127.0.0.1:7500".parse().unwrap()]);
/// # Ok::<(), client::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidConfig`] for what is not of this form, and [`Error::Io`] for a name that the
/// system cannot look up.
pub fn resolve(servers: &str) -> Result<Vec<SocketAddr>, Error> {
    servers.split(',').map(|server| resolve_one(server.trim())).collect()
}

fn resolve_one(server: &str) -> Result<SocketAddr, Error> {
    let addresses = server.to_socket_addrs().map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => {
            let text = format!("'{server}' is no HOST:PORT, such as 127.0.0.1:7400");
            Error::InvalidConfig(text)
        }
        kind => Error::Io { kind, text: format!("cannot look up '{server}': {error}") },
    })?;
    addresses
        .min_by_key(SocketAddr::is_ipv6)
        .ok_or_else(|| Error::InvalidConfig(format!("the host of '{server}' has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(servers: &str) -> String {
        match resolve(servers) {
            Err(Error::InvalidConfig(text)) => text,
            other => panic!("'{servers}': {other:?}"),
        }
    }

    #[test]
    fn the_addresses_are_in_the_order_of_the_list() {
        let servers = resolve("127.0.0.2:2,[::1]:3 , 127.0.0.1:1").unwrap();
        let expected = ["127.0.0.2:2", "[::1]:3", "127.0.0.1:1"].map(|text| text.parse().unwrap());
        assert_eq!(servers, expected);
    }

    #[test]
    fn what_is_no_host_and_port_is_named() {
        for (servers, named) in [("", "''"), ("localhost", "'localhost'"), ("127.0.0.1:1,", "''")] {
            let text = refusal(servers);
            assert!(text.contains(named), "{text}");
        }
        assert!(refusal("127.0.0.1:70000").contains("'127.0.0.1:70000'"));
    }

    #[test]
    fn a_name_that_nobody_knows_is_the_systems_failure() {
        let Err(Error::Io { text, .. }) = resolve("no-such-host.invalid:7400") else {
            panic!("it has no address")
        };
        assert!(text.contains("'no-such-host.invalid:7400'"), "{text}");
    }
}
