//! A program that runs beside the test, and never outlives it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, PipeReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::fcntl_getpipe_size;
use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// How often to look whether a process has ended, once it has closed its outputs.
const LOOK: Duration = Duration::from_millis(2);

/// Held while a program starts: until it runs, it has all open files of the test.
static SPAWNING: Mutex<()> = Mutex::new(());

/// Looks which ports are free, while no program starts that would keep what was opened for the
/// look.
pub fn while_none_starts<R>(look: impl FnOnce() -> R) -> R {
    let _spawning = SPAWNING.lock();
    look()
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Stdout,
    Stderr,
}

/// Where what a program writes goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// To the test, line by line.
    Lines,
    /// To a disk that is full.
    Full,
    /// Into a pipe whose reader is gone.
    Closed,
    /// Into a pipe that is full, and whose reader does not read.
    Unread,
}

impl Sink {
    /// Where the program writes, and what has to be held open for it.
    fn open(self) -> io::Result<(Stdio, Option<PipeReader>)> {
        Ok(match self {
            Self::Lines => (Stdio::piped(), None),
            Self::Full => (OpenOptions::new().write(true).open("/dev/full")?.into(), None),
            Self::Closed => (io::pipe()?.1.into(), None),
            Self::Unread => {
                let (reader, mut writer) = io::pipe()?;
                writer.write_all(&vec![0; fcntl_getpipe_size(&writer)?])?;
                (writer.into(), Some(reader))
            }
        })
    }
}

/// A program under way; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The pipes that nobody reads.
    _unread: [Option<PipeReader>; 2],
    lines: Receiver<(Output, String)>,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// What a program left.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// Its lines on stdout.
    pub stdout: Vec<String>,
    /// Its lines on stderr.
    pub stderr: Vec<String>,
}

impl Process {
    /// Starts a program.
    #[must_use]
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        Self::start_into(program, arguments, Sink::Lines, Sink::Lines)
    }

    /// Starts a program whose outputs go elsewhere.
    #[must_use]
    pub fn start_into(program: &Path, arguments: &[&str], stdout: Sink, stderr: Sink) -> Self {
        Self::spawn(program, arguments, Stdio::null(), stdout, stderr)
    }

    /// Starts a program that reads from the test.
    #[must_use]
    pub fn start_fed(program: &Path, arguments: &[&str]) -> (Self, ChildStdin) {
        let mut process = Self::spawn(program, arguments, Stdio::piped(), Sink::Lines, Sink::Lines);
        let stdin = process.child.stdin.take().expect("it is a pipe");
        (process, stdin)
    }

    fn spawn(program: &Path, arguments: &[&str], stdin: Stdio, stdout: Sink, stderr: Sink) -> Self {
        let (stdout, unread_stdout) = stdout.open().expect("a place for stdout");
        let (stderr, unread_stderr) = stderr.open().expect("a place for stderr");
        let spawning = SPAWNING.lock();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        drop(spawning);
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            read_lines(stdout, Output::Stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            read_lines(stderr, Output::Stderr, sender);
        }
        let _unread = [unread_stdout, unread_stderr];
        Self { child, _unread, lines, stdout: Vec::new(), stderr: Vec::new() }
    }

    /// Waits for a line that begins with `beginning`, on either output.
    pub fn wait_for_line(&mut self, beginning: &str, within: Duration) -> String {
        let deadline = Instant::now() + within;
        loop {
            match self.next_line(deadline) {
                Ok(line) if line.starts_with(beginning) => return line,
                Ok(_) => {}
                Err(error) => panic!("no line '{beginning}': {error}, so far {self:?}"),
            }
        }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal. Who is told to stop has stopped when this returns.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it was not waited for yet");
        let deadline = Instant::now() + crate::DEADLINE;
        while signal == Signal::STOP && !self.has_stopped() {
            assert!(Instant::now() < deadline, "it does not stop: {self:?}");
            thread::sleep(LOOK);
        }
    }

    /// Whether each of its threads has stopped, or it has ended.
    fn has_stopped(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid())) else { return true };
        threads.flatten().all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state follows the name, which stands in parentheses.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']))
        })
    }

    /// Waits until the program has ended.
    #[must_use]
    pub fn wait(mut self, within: Duration) -> Ended {
        let status = self.wait_for_end(within);
        Ended {
            status,
            stdout: std::mem::take(&mut self.stdout),
            stderr: std::mem::take(&mut self.stderr),
        }
    }

    /// Waits until the program has ended, and returns its status; none if a signal ended it.
    pub fn wait_for_end(&mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        loop {
            match self.next_line(deadline) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("still running after {within:?}: {self:?}")
                }
            }
        }
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still running after {within:?}: {self:?}");
            thread::sleep(LOOK);
        }
    }

    fn next_line(&mut self, deadline: Instant) -> Result<String, RecvTimeoutError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let (output, line) = self.lines.recv_timeout(left)?;
        match output {
            Output::Stdout => self.stdout.push(line.clone()),
            Output::Stderr => self.stderr.push(line.clone()),
        }
        Ok(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it has ended already, and that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
#[must_use]
pub fn run(program: &Path, arguments: &[&str]) -> Ended {
    Process::start(program, arguments).wait(crate::DEADLINE)
}

/// Runs a program to its end with its outputs elsewhere.
#[must_use]
pub fn run_into(program: &Path, arguments: &[&str], stdout: Sink, stderr: Sink) -> Ended {
    Process::start_into(program, arguments, stdout, stderr).wait(crate::DEADLINE)
}

impl Ended {
    /// Requires that the program refused to start, and said why in one line.
    pub fn assert_refused(&self, reason: &str) {
        assert_eq!(self.status, Some(2), "{self:?}");
        assert_eq!(self.stderr.len(), 1, "one line tells why: {self:?}");
        assert!(self.stderr[0].contains(reason), "'{reason}' is not in '{}'", self.stderr[0]);
    }

    /// The last line on stdout.
    #[must_use]
    pub fn last_line(&self) -> &str {
        self.stdout.last().unwrap_or_else(|| panic!("it printed nothing: {self:?}"))
    }

    /// What `gen` says that it achieved.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        let line = self.last_line();
        let number = line.strip_prefix("throughput ").and_then(|rest| rest.strip_suffix(" ops/s"));
        let number = number.unwrap_or_else(|| panic!("'{line}' is no throughput: {self:?}"));
        number.parse().unwrap_or_else(|error| panic!("'{line}': {error}"))
    }
}

/// Where programs of the workspace are, as one of them: for tests of a package that has none,
/// and for examples in documentation, which run elsewhere.
///
/// # Panics
/// If this crate was not built where Cargo puts what it builds.
#[must_use]
pub fn any_program() -> String {
    // Cargo builds in PROFILE/build/PACKAGE/out.
    let folder = Path::new(env!("OUT_DIR")).ancestors().nth(3).expect("a folder of a profile");
    folder.join("any").to_str().expect("a path in UTF-8").to_owned()
}

/// The program of that name beside another of the workspace's. Cargo builds only the
/// programs of the packages under test; another's is built here if it is not there, and
/// taken as it is if it is: `cargo test --workspace` has it up to date.
#[must_use]
pub fn beside(program: &str, name: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONE_AT_A_TIME.lock();
    let folder = Path::new(program).parent().expect("it is in a folder");
    let wanted = folder.join(name);
    if !wanted.exists() {
        build(folder, name);
    }
    wanted
}

fn build(folder: &Path, name: &str) {
    let profile = match folder.file_name().and_then(|profile| profile.to_str()) {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => panic!("{} is named after no profile", folder.display()),
    };
    let target = folder.parent().expect("a target folder holds it");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", name, "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "cannot build {name}");
}

fn read_lines(from: impl Read + Send + 'static, output: Output, to: Sender<(Output, String)>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // Nobody listens any more once the process was dropped.
            if to.send((output, line)).is_err() {
                return;
            }
        }
    });
}
