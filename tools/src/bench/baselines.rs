//! Other stores, as they are measured: one worker, no disk, on this machine only.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::processes::{ChildProcess, StopSignal, following, on_path};
use super::servers::{READY, RunningServer, version};

/// Another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Baseline {
    /// memcached, over TCP and UDP at once.
    Memcached,
    /// Redis.
    Redis,
    /// Valkey, which speaks as Redis does.
    Valkey,
}

impl Baseline {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memcached => "memcached",
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }

    /// Its program, which is also the name of Debian's package.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Memcached => "memcached",
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }

    /// Where its program is.
    #[must_use]
    pub fn find(self) -> Option<PathBuf> {
        on_path(self.program())
    }

    /// What to do when it is not there.
    #[must_use]
    pub fn absent(self) -> String {
        format!("{} is not installed: apt-get install {}", self.name(), self.program())
    }

    /// Starts it on one core, with room for records that take `record_bytes` together, and
    /// waits until it answers.
    pub fn start(
        self,
        program: &Path,
        core: usize,
        record_bytes: u64,
        folder: &Path,
        stop: &StopSignal,
    ) -> Result<RunningServer> {
        let port = free_port().context("no port is free")?;
        let mut command = following(program);
        command.args(self.arguments(port, record_bytes));
        // Whatever it writes without being told goes to a folder that is ours.
        command.current_dir(folder);
        let log = folder.join(format!("{}.log", self.name()));
        let mut process = ChildProcess::start(self.name(), command, &log, Some(core))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        process.wait_for(stop, READY, || self.answers(address).then_some(()))?;
        let version = version(program, "--version").unwrap_or_default();
        RunningServer::new(process, address.to_string(), version)
    }

    fn arguments(self, port: u16, record_bytes: u64) -> Vec<String> {
        let port = port.to_string();
        match self {
            Self::Memcached => {
                // Slabs waste up to a quarter, and each item has a header of some 50 bytes.
                let megabytes = ((2 * record_bytes) >> 20) + 256;
                let mut arguments =
                    vec!["-l", "127.0.0.1", "-p", &port, "-U", &port, "-t", "1", "-c", "4096"];
                let megabytes = megabytes.to_string();
                // An error is better than records that are evicted unseen.
                arguments.extend(["-m", &megabytes, "-M"]);
                if rustix::process::geteuid().is_root() {
                    arguments.extend(["-u", "root"]);
                }
                arguments.into_iter().map(str::to_owned).collect()
            }
            Self::Redis | Self::Valkey => [
                ["--bind", "127.0.0.1"],
                ["--port", &port],
                ["--save", ""],
                ["--appendonly", "no"],
                ["--daemonize", "no"],
                ["--io-threads", "1"],
                ["--maxmemory", "0"],
            ]
            .as_flattened()
            .iter()
            .map(|&argument| argument.to_owned())
            .collect(),
        }
    }

    /// Asks for a sign of life.
    fn answers(self, address: SocketAddr) -> bool {
        const PATIENCE: Duration = Duration::from_secs(1);
        let (question, answer) = match self {
            Self::Memcached => ("version\r\n", "VERSION"),
            Self::Redis | Self::Valkey => ("PING\r\n", "+PONG"),
        };
        let ask = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(question.as_bytes())?;
            let mut told = vec![0; answer.len()];
            stream.read_exact(&mut told)?;
            Ok(told)
        };
        ask().is_ok_and(|told| told == answer.as_bytes())
    }
}

/// A port that is free for TCP and UDP. Another program may take it before ours does; then
/// ours does not start, and says so.
fn free_port() -> std::io::Result<u16> {
    const ATTEMPTS: u32 = 64;
    let mut last_error = None;
    for _ in 0..ATTEMPTS {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = tcp.local_addr()?;
        match UdpSocket::bind(address) {
            Ok(_) => return Ok(address.port()),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.expect("it was tried"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_absent_is_told_with_what_to_do() {
        assert_eq!(
            Baseline::Memcached.absent(),
            "memcached is not installed: apt-get install memcached"
        );
        assert_eq!(
            Baseline::Redis.absent(),
            "redis is not installed: apt-get install redis-server"
        );
    }

    #[test]
    fn what_listens_but_is_another_program_does_not_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"-ERR what\r\n");
        });
        assert!(!Baseline::Redis.answers(address));
        thread.join().unwrap();
        assert!(!Baseline::Redis.answers(address), "nobody listens any more");
    }
}
