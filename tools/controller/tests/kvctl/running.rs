//! Runs `kvctl` with bytes for stdin, and takes bytes from stdout.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, kill_process};
use testkit::DEADLINE;
use testkit::process::Signal;
use testkit::server::Server;

pub(crate) const KVCTL: &str = env!("CARGO_BIN_EXE_kvctl");

/// What a run left.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// What it printed, if that is a text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.stdout).expect("it printed text")
    }

    /// It ended so, and said nothing on stderr.
    pub(crate) fn assert_quiet(&self, status: i32) {
        assert_eq!((self.status, self.stderr.as_str()), (Some(status), ""), "{self:?}");
    }

    /// It ended so, and said this on stderr.
    pub(crate) fn assert_says(&self, status: i32, reason: &str) {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.stderr.contains(reason), "'{reason}' is not in '{}'", self.stderr);
    }
}

/// `kvctl` with these arguments, with a clean environment.
pub(crate) fn command(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(KVCTL);
    command.args(arguments).env_remove("KV_SERVERS").stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn kvctl(arguments: &[impl AsRef<OsStr>]) -> Ended {
    finish(command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()), b"")
}

/// Runs it to its end with something in stdin.
pub(crate) fn kvctl_with(arguments: &[impl AsRef<OsStr>], stdin: &[u8]) -> Ended {
    let mut command = command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(&mut command, stdin)
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command, stdin: &[u8]) -> Ended {
    let mut child = command.spawn().expect("kvctl was built");
    let writer = child.stdin.take().map(|mut pipe| {
        let stdin = stdin.to_vec();
        // It may end before it has read all.
        thread::spawn(move || drop(pipe.write_all(&stdin)))
    });
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let status = wait(&mut child);
    let read = |from: Option<Receiver<Vec<u8>>>| {
        from.map_or(Vec::new(), |from| from.recv_timeout(DEADLINE).expect("it has ended"))
    };
    if let Some(writer) = writer {
        writer.join().expect("it does not panic");
    }
    let stderr = String::from_utf8(read(stderr)).expect("messages are text");
    Ended { status, stdout: read(stdout), stderr }
}

fn read_all(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Its exit status; 128 and the signal if one ended it.
fn wait(child: &mut Child) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.code().or(status.signal().map(|signal| 128 + signal));
        }
        if began.elapsed() > DEADLINE {
            let _ = child.kill();
            panic!("still running after {DEADLINE:?}");
        }
        thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// A `kvctl` that is told commands while it runs.
pub(crate) struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Talk {
    pub(crate) fn start(arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut command = command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kvctl was built");
        let (sender, lines) = channel();
        let from: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is a pipe")),
            Box::new(child.stderr.take().expect("it is a pipe")),
        ];
        for from in from {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(from).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        let stdin = child.stdin.take();
        Self { child, stdin, lines }
    }

    /// Says a line to it.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it is open");
        writeln!(stdin, "{line}").expect("it reads");
    }

    /// The next line that it prints, on either output.
    pub(crate) fn hear(&mut self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("it prints a line")
    }

    /// The next line that is such a one; the others are passed over.
    pub(crate) fn hear_one(&mut self, is_such: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let line = self.hear();
            if is_such(&line) {
                return line;
            }
            assert!(began.elapsed() < DEADLINE, "none such comes; the last is '{line}'");
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it was not waited for yet");
    }

    /// Closes its stdin; returns its status and the lines that were left.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        self.stdin = None;
        let status = wait(&mut self.child);
        let left = std::iter::from_fn(|| self.lines.recv_timeout(DEADLINE).ok()).collect();
        (status, left)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until it is so.
pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "it does not come to that");
    }
}

/// A server, and the flag that names it.
pub(crate) fn server(arguments: &[&str]) -> (Server, String) {
    let server = Server::start(KVCTL, arguments);
    let flag = format!("--servers={}", server.address);
    (server, flag)
}
