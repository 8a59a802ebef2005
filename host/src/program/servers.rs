//! The servers that a user names.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, Result, bail, ensure};

/// The addresses of servers that are named as HOST:PORT, each once. Errors say that `source`,
/// such as `--servers`, names them.
pub fn resolve(source: &str, names: &[impl AsRef<str>]) -> Result<Vec<SocketAddr>> {
    let servers = names.iter().map(|name| address(name.as_ref())).collect::<Result<Vec<_>>>()?;
    for (index, server) in servers.iter().enumerate() {
        ensure!(
            !servers[..index].contains(server),
            "{source} names {server} twice: each server holds a share of its own"
        );
    }
    Ok(servers)
}

/// Refuses servers that one socket cannot speak with.
pub fn check_family(source: &str, servers: &[SocketAddr]) -> Result<()> {
    ensure!(
        servers.iter().all(|server| server.is_ipv4() == servers[0].is_ipv4()),
        "{source} mixes IPv4 and IPv6 addresses: one socket speaks one of them"
    );
    Ok(())
}

fn address(name: &str) -> Result<SocketAddr> {
    let name = name.trim();
    let addresses = name.to_socket_addrs().with_context(|| {
        format!("cannot resolve the server '{name}' (expected HOST:PORT, such as 127.0.0.1:7400)")
    })?;
    // A name with both is asked by IPv4 first, which `kv` binds unless told otherwise.
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    match addresses.first() {
        Some(address) if address.port() > 0 => Ok(*address),
        Some(_) => bail!("the server '{name}' has port 0: give the port that it listens on"),
        None => bail!("the server '{name}' has no address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_once_and_in_one_family() {
        let resolve = |names: &[&str]| resolve("--servers", names).map_err(|e| e.to_string());
        let two = resolve(&["127.0.0.1:1", " localhost:2"]).unwrap();
        assert_eq!(two, ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
        assert!(resolve(&["127.0.0.1:1", "127.0.0.1:1"]).unwrap_err().contains("twice"));
        let mixed = resolve(&["127.0.0.1:1", "[::1]:1"]).unwrap();
        assert!(check_family("--servers", &mixed).is_err_and(|e| e.to_string().contains("mixes")));
        check_family("--servers", &two).unwrap();
        for wrong in ["", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000"] {
            assert!(resolve(&[wrong]).unwrap_err().contains("server"), "{wrong}");
        }
    }
}
