//! The baselines that the flags name, once it is known that the protocol can do what the
//! flags ask for.

use anyhow::{Result, bail, ensure};
use proto::limits::MTU_BYTES_DEFAULT;

use super::frame::FRAME_BYTES;
use super::keys::{DIGITS, MEMCACHED_KEY_BYTES_MAX};
use super::memcached::set_bytes;
use super::target::{Protocol, Target};
use super::{BATCH_MAX, VALUE_BYTES_MAX};
use crate::flags::Flags;

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
        let mtu_bytes = flags.mtu.map_or(MTU_BYTES_DEFAULT, usize::from);
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
        ("--cache", flags.cache.is_some()),
        ("--streams", flags.streams.is_some()),
        ("--batch-mtu", flags.batch_mtu.is_some()),
    ];
    let without_meaning = given.iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag);
    without_meaning.map_or(Ok(()), |flag| {
        let hint = if *flag == "--streams" { " (see --connections and --batch)" } else { "" };
        Err(anyhow::anyhow!("{flag} has no meaning for {}://{hint}", protocol.scheme()))
    })
}
