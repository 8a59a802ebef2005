//! Which servers the store has.

use std::env::{self, VarError};
use std::net::SocketAddr;

use client::{check_servers, resolve};

use crate::flags::{SERVER_DEFAULT, SERVERS_VARIABLE};

/// The servers that the flag names, or else the environment, or else the one of this machine.
pub(crate) fn find(flag: Option<&[String]>) -> Result<Vec<SocketAddr>, String> {
    let (source, list) = match (flag, env::var(SERVERS_VARIABLE)) {
        (Some(names), _) => ("--servers", names.join(",")),
        (None, Ok(list)) if !list.is_empty() => (SERVERS_VARIABLE, list),
        (None, Err(VarError::NotUnicode(_))) => {
            return Err(format!("{SERVERS_VARIABLE} is no UTF-8"));
        }
        (None, _) => ("the default", SERVER_DEFAULT.to_owned()),
    };
    let servers = resolve(&list).and_then(|servers| check_servers(&servers).map(|()| servers));
    servers.map_err(|error| format!("{source}: {error}"))
}
