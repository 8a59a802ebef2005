//! Programs that run while we measure, and never outlive us.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How often to look at what we wait for: seldom, for a core may be measured meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Whether SIGINT or SIGTERM told us to end.
#[derive(Clone, Debug)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// Listens to the signals from now on.
    pub fn on_signals() -> Result<Self> {
        Ok(Self(host::signals::stop_flag()?))
    }

    /// Whether to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error once we shall end: everything that is under way unwinds with it.
    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(Interrupted.into()) } else { Ok(()) }
    }

    /// Waits until `look` has something.
    pub fn wait_for<T>(&self, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        loop {
            self.check()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// A signal told us to end.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// A program under way; killed when it is dropped.
#[derive(Debug)]
pub struct ChildProcess {
    name: String,
    child: Child,
    log: PathBuf,
}

impl ChildProcess {
    /// Starts a program whose outputs go to the file `log`; on one core, if it is named.
    pub fn start(
        name: &str,
        mut command: Command,
        log: &Path,
        core: Option<usize>,
    ) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = spawn(&mut command, core);
        let child = child.with_context(|| {
            format!("cannot start {name} ({})", command.get_program().to_string_lossy())
        })?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until `look` has something, which it never will once the program has ended.
    pub fn wait_for<T>(
        &mut self,
        stop: &StopSignal,
        within: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + within;
        stop.wait_for(|| {
            if let Some(found) = look() {
                return Ok(Some(found));
            }
            if let Some(status) = self.ended()? {
                bail!("{} ended ({status}): {}", self.name, self.last_line());
            }
            if Instant::now() > deadline {
                bail!("{} was not ready after {} s", self.name, within.as_secs());
            }
            Ok(None)
        })
    }

    /// What it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        fs::read(&self.log)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last line that it printed: of a program that failed, the reason.
    #[must_use]
    pub fn last_line(&self) -> String {
        let printed = self.printed();
        let last = printed.lines().map(str::trim).rfind(|line| !line.is_empty());
        last.unwrap_or("it printed nothing").to_owned()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Both fail if it has ended already, and that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program inherits the cores of the thread that starts it.
fn spawn(command: &mut Command, core: Option<usize>) -> io::Result<Child> {
    let Some(core) = core else { return command.spawn() };
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only)?;
    let child = command.spawn();
    sched_setaffinity(None, &before)?;
    child
}

/// A command for a program that has no flag to follow its parent's end: util-linux has it
/// killed then, where it is installed. Without, only our own orderly end ends it.
#[must_use]
pub fn following(program: &Path) -> Command {
    let Some(setpriv) = on_path("setpriv") else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// The program of that name on the search path.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The program of ours of that name, unless another is given.
pub fn ours(name: &str, given: Option<&Path>) -> Result<PathBuf> {
    let program = match given {
        Some(given) => given.to_owned(),
        None => std::env::current_exe()?.with_file_name(name),
    };
    if !program.is_file() {
        bail!(
            "{} was not found: build it with 'cargo build --release', or name another with --{name}",
            program.display()
        );
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn never() -> StopSignal {
        StopSignal(Arc::new(AtomicBool::new(false)))
    }

    #[test]
    fn a_program_that_ends_before_it_is_ready_tells_why() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut process =
            ChildProcess::start("thing", shell("echo first; echo why; exit 3"), &log, None)
                .unwrap();
        let waited = process.wait_for(&never(), Duration::from_secs(60), || None::<()>);
        let told = waited.unwrap_err().to_string();
        assert!(told.starts_with("thing ended") && told.ends_with(": why"), "{told}");
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let process =
            ChildProcess::start("sleep", shell("sleep 600"), &folder.path().join("log"), None)
                .unwrap();
        let pid = process.pid();
        assert!(host::sample::process_use(pid).is_ok());
        drop(process);
        assert!(host::sample::process_use(pid).is_err());
    }

    #[test]
    fn a_program_runs_on_its_core_and_we_on_ours() {
        let folder = tempfile::tempdir().unwrap();
        let core = *udp::pin::allowed_cores().last().unwrap();
        let before = sched_getaffinity(None).unwrap();
        let script = shell("grep Cpus_allowed_list /proc/self/status");
        let mut process =
            ChildProcess::start("grep", script, &folder.path().join("log"), Some(core)).unwrap();
        never().wait_for(|| process.ended()).unwrap();
        assert_eq!(process.last_line(), format!("Cpus_allowed_list:\t{core}"));
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }

    #[test]
    fn what_is_waited_for_ends_with_a_signal() {
        let stop = StopSignal(Arc::new(AtomicBool::new(true)));
        let waited = stop.wait_for(|| Ok(None::<()>)).unwrap_err();
        assert!(waited.is::<Interrupted>());
    }
}
