//! Which servers the store has.

use std::net::SocketAddr;

use host::servers::{check_family, resolve};

use crate::flags::{SERVER_DEFAULT, SERVERS_VARIABLE};

/// The servers that the flag names, or else the environment, or else the one of this machine.
pub(crate) fn find(flag: Option<&[String]>) -> Result<Vec<SocketAddr>, String> {
    if let Some(names) = flag {
        return resolve_all("--servers", names);
    }
    match std::env::var(SERVERS_VARIABLE) {
        Ok(list) if !list.is_empty() => {
            resolve_all(SERVERS_VARIABLE, &list.split(',').collect::<Vec<_>>())
        }
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{SERVERS_VARIABLE} is no UTF-8")),
        _ => resolve_all("the default", &[SERVER_DEFAULT]),
    }
}

fn resolve_all(source: &str, names: &[impl AsRef<str>]) -> Result<Vec<SocketAddr>, String> {
    let servers = resolve(source, names);
    let servers = servers.and_then(|servers| check_family(source, &servers).map(|()| servers));
    servers.map_err(|error| format!("{error:#}"))
}
