//! What `--metrics` shows over HTTP, by a thread of its own.
//!
//! `http` takes connections, within bounds (`connections`), and gives out `pages`: figures
//! (`families`, in the format that `accept` says) and whether the server is healthy (`health`).

mod accept;
mod connections;
mod families;
mod health;
mod http;
mod pages;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::Builder;

use anyhow::{Context as _, Result, anyhow};

use crate::observed::Observed;
use pages::Pages;

pub use families::Facts;

/// Below that of the workers: where cores are short, metrics wait and datagrams do not.
const NICE: i32 = 10;

/// An address that was taken.
#[derive(Debug)]
pub struct Metrics {
    listener: TcpListener,
    address: SocketAddr,
}

impl Metrics {
    /// Takes an address.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let bind = || {
            let listener = TcpListener::bind(address)?;
            http::bound_buffers(&listener);
            listener.set_nonblocking(true)?;
            Ok(Self { address: listener.local_addr()?, listener })
        };
        bind().map_err(|error| cannot_bind(address, &error))
    }

    /// Answers there from now on, and returns where. The thread ends with the process: nobody
    /// waits for who is connected.
    pub fn serve(
        self,
        observed: Arc<Observed>,
        facts: Facts,
        stop: Arc<AtomicBool>,
    ) -> Result<SocketAddr> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context("--metrics: cannot wait for connections")?;
        let Self { listener, address } = self;
        let pages = Arc::new(Pages::new(observed, facts, stop));
        let run = move || {
            // Of this thread alone; a kernel that refuses leaves it as it is.
            let _ = rustix::process::setpriority_process(None, NICE);
            runtime.block_on(http::serve(listener, pages));
        };
        Builder::new().name("metrics".to_owned()).spawn(run)?;
        Ok(address)
    }
}

fn cannot_bind(address: SocketAddr, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::AddrInUse => {
            anyhow!("--metrics: {address} is in use: choose another port, or 0")
        }
        ErrorKind::AddrNotAvailable => {
            anyhow!("--metrics: {} is not an address of this machine", address.ip())
        }
        ErrorKind::PermissionDenied => {
            anyhow!("--metrics: port {} may not be bound without privileges", address.port())
        }
        _ => anyhow!("--metrics: cannot bind {address}: {error}"),
    }
}
