//! Lists of servers: as people write them, and whether a client can use them.

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

/// Whether a client can connect to such a list of servers: there is one, all are of one family
/// of addresses, as one socket speaks, and each passes [`check_addresses`]. Connecting checks the
/// same.
///
/// ```
/// let servers = client::resolve("127.0.0.1:7400,[::1]:7400")?;
/// let error = client::check_servers(&servers).unwrap_err();
/// assert!(error.to_string().ends_with("use IPv4 or IPv6"));
/// # Ok::<(), client::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidConfig`] says what is wrong, and with which server.
pub fn check_servers(servers: &[SocketAddr]) -> Result<(), Error> {
    let Some(first) = servers.first() else {
        return Err(Error::InvalidConfig("the list of servers is empty".to_owned()));
    };
    if let Some(other) = servers.iter().find(|other| other.is_ipv4() != first.is_ipv4()) {
        let text = format!("{first} and {other} are of two families: use IPv4 or IPv6");
        return Err(Error::InvalidConfig(text));
    }
    check_addresses(servers)
}

/// Whether each server of a list has a port, and is there once: each holds a share of the keys
/// of its own.
///
/// ```
/// let servers = client::resolve("127.0.0.1:7400,localhost:7400")?;
/// let error = client::check_addresses(&servers).unwrap_err();
/// assert!(error.to_string().ends_with("127.0.0.1:7400 is in the list of servers twice"));
/// # Ok::<(), client::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidConfig`] says what is wrong, and with which server.
pub fn check_addresses(servers: &[SocketAddr]) -> Result<(), Error> {
    for (place, server) in servers.iter().enumerate() {
        if server.port() == 0 {
            let text = format!("{server} has port 0: give the port that the server listens on");
            return Err(Error::InvalidConfig(text));
        }
        if servers[..place].contains(server) {
            let text = format!("{server} is in the list of servers twice");
            return Err(Error::InvalidConfig(text));
        }
    }
    Ok(())
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

    #[test]
    fn servers_have_a_port_and_are_there_once_and_in_one_family() {
        let check = |servers: &str| check_servers(&resolve(servers).unwrap());
        check("127.0.0.1:1,127.0.0.2:1,127.0.0.1:2").unwrap();
        for (servers, why) in [
            ("127.0.0.1:1,127.0.0.1:0", "127.0.0.1:0 has port 0"),
            ("127.0.0.1:1,127.0.0.1:2,127.0.0.1:1", "127.0.0.1:1 is in the list"),
            ("127.0.0.1:1,127.0.0.1:2,[::1]:1", "127.0.0.1:1 and [::1]:1"),
        ] {
            let Err(Error::InvalidConfig(text)) = check(servers) else { panic!("{servers}") };
            assert!(text.starts_with(why), "{text}");
        }
        assert!(check_servers(&[]).is_err());
        check_addresses(&resolve("127.0.0.1:1,[::1]:1").unwrap()).unwrap();
    }
}
