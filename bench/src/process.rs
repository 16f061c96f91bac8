//! The one place that starts processes.
//!
//! Every child is started through this executable's hidden `guard` command: it asks the kernel for
//! a SIGKILL when its parent dies, binds itself to a core when told to, and then becomes the
//! program (`exec`), so pid and output are the program's own. A [`Process`] that is dropped is
//! killed and reaped. Signals go to pids this file started, never to names.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::{self, DeadlineError};

/// A program about to be started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    folder: Option<PathBuf>,
    core: Option<usize>,
}

impl Program {
    /// The program at `path`, or found by that name in `PATH`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            folder: None,
            core: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Runs in `folder`.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs on core `core` only; `None` leaves the choice to the kernel.
    #[must_use]
    pub fn on_core(mut self, core: Option<usize>) -> Self {
        self.core = core;
        self
    }

    /// The command line, for reports.
    #[must_use]
    pub fn line(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        let words = std::iter::once(name).chain(self.args.iter().map(OsString::as_os_str));
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// Starts it; its output goes to `NAME.out` and `NAME.err` in `output`.
    ///
    /// # Errors
    /// When the files cannot be made or the program cannot be started.
    pub fn spawn(&self, output: &Path, name: &str) -> Result<Process, ProcessError> {
        let fail = |source| ProcessError::Start {
            program: self.line(),
            source,
        };
        let (stdout, stderr) = (
            output.join(format!("{name}.out")),
            output.join(format!("{name}.err")),
        );
        let out = File::create(&stdout).map_err(fail)?;
        let err = File::create(&stderr).map_err(fail)?;
        let mut command = self.guarded().map_err(fail)?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        Ok(Process {
            child: command.spawn().map_err(fail)?,
            name: name.to_owned(),
            stdout,
            stderr,
        })
    }

    /// Runs it to its end and returns what it printed.
    ///
    /// # Errors
    /// When it cannot be started or does not end with success.
    pub fn capture(&self) -> Result<String, ProcessError> {
        let mut command = Command::new(&self.path);
        command.args(&self.args).stdin(Stdio::null());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let output = command.output().map_err(|source| ProcessError::Start {
            program: self.line(),
            source,
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(ProcessError::Failed {
            name: self.line(),
            status: output.status,
            said: tail(&String::from_utf8_lossy(&output.stderr)),
        })
    }

    /// Runs it to its end with this process's own terminal.
    ///
    /// # Errors
    /// When it cannot be started or does not end with success.
    pub fn pass_through(&self) -> Result<(), ProcessError> {
        let fail = |source| ProcessError::Start {
            program: self.line(),
            source,
        };
        let status = self.guarded().map_err(fail)?.status().map_err(fail)?;
        if status.success() {
            return Ok(());
        }
        Err(ProcessError::Failed {
            name: self.line(),
            status,
            said: "its output is above".to_owned(),
        })
    }

    fn guarded(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(GUARD).arg(std::process::id().to_string());
        command.arg(self.core.map_or("any".to_owned(), |core| core.to_string()));
        command.arg(&self.path).args(&self.args);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        forget_cargo(&mut command);
        // The test harness has no `guard` command.
        if cfg!(test) {
            command = Command::new(&self.path);
            command.args(&self.args);
        }
        Ok(command)
    }
}

/// Takes from `command` what an outer cargo says of this package: a cargo inside would build anew
/// whatever looks at it in a build script, such as ring and all that depends on it.
fn forget_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") && !KEPT.iter().any(|kept| name == *kept) {
            command.env_remove(name);
        }
    }
}

/// Variables of cargo that are the user's own and not about a package.
const KEPT: &[&str] = &[
    "CARGO_HOME",
    "CARGO_INCREMENTAL",
    "CARGO_NET_OFFLINE",
    "CARGO_TERM_COLOR",
];

/// A process that was started here; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Removes the files of its output, once all that matters has been read from them.
    pub fn discard_output(&self) {
        // What cannot be removed is only left over.
        let _ = fs::remove_file(&self.stdout);
        let _ = fs::remove_file(&self.stderr);
    }

    /// Waits until `probe` finds something in what the process has printed.
    ///
    /// # Errors
    /// When the process ends before, or the time is over.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        within: Duration,
        probe: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ProcessError> {
        let found = deadline::wait_until(what, within, || {
            if let Some(found) = probe(&self.stdout()) {
                return Some(Ok(found));
            }
            match self.child.try_wait() {
                Ok(Some(status)) => Some(Err(status)),
                _ => None,
            }
        });
        match found {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(status)) => Err(self.failed(status)),
            Err(late) => Err(self.late(late)),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time, or not with success.
    pub fn finish(&mut self, within: Duration) -> Result<(), ProcessError> {
        let status = self.wait_end(within)?;
        if status.success() {
            Ok(())
        } else {
            Err(self.failed(status))
        }
    }

    /// Waits for its end, however it comes.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn end(&mut self, within: Duration) -> Result<(), ProcessError> {
        self.wait_end(within).map(drop)
    }

    /// Kills it with SIGKILL and reaps it.
    pub fn kill(mut self) {
        self.end_at_once();
    }

    /// Asks it to stop with SIGTERM and waits for its end, which must be a success.
    ///
    /// # Errors
    /// When it does not end in time, or not with success.
    pub fn stop(mut self, within: Duration) -> Result<(), ProcessError> {
        if self.child.try_wait().ok().flatten().is_none() {
            let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // It may have ended meanwhile: `finish` says how.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        self.finish(within)
    }

    fn wait_end(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        let child = &mut self.child;
        let ended = deadline::wait_until("its end", within, || child.try_wait().ok().flatten());
        ended.map_err(|late| self.late(late))
    }

    fn end_at_once(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn failed(&self, status: ExitStatus) -> ProcessError {
        ProcessError::Failed {
            name: self.name.clone(),
            status,
            said: self.said(),
        }
    }

    fn late(&self, late: DeadlineError) -> ProcessError {
        ProcessError::Late {
            name: self.name.clone(),
            late,
            said: self.said(),
        }
    }

    fn said(&self) -> String {
        let errors = fs::read_to_string(&self.stderr).unwrap_or_default();
        tail(
            if errors.trim().is_empty() {
                self.stdout()
            } else {
                errors
            }
            .as_str(),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_at_once();
    }
}

/// Kills, with SIGKILL, a process that a child of this one has started and told of.
///
/// # Errors
/// When there is none of that id.
pub fn kill_told(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, Signal::KILL)?)
}

/// Whether `PATH` has a program of this name.
#[must_use]
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The `guard` command: `guard PARENT CORE PROGRAM ARGS…`. Only returns when it fails.
pub fn guard(parent: u32, core: Option<usize>, program: &Path, args: &[OsString]) -> io::Error {
    use std::os::unix::process::CommandExt;

    let bound = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if let Err(error) = bound {
        return error.into();
    }
    // The parent may have died before the kernel was asked.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if now != i32::try_from(parent).ok() {
        return io::Error::other("the parent is gone");
    }
    if let Some(core) = core {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(core);
        if let Err(error) = rustix::thread::sched_setaffinity(None, &cores) {
            return error.into();
        }
    }
    Command::new(program).args(args).exec()
}

/// Why a process did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// Its command line.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended otherwise than with success.
    #[error("{name} ended with {status}: {said}")]
    Failed {
        /// Its name in this run.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its output.
        said: String,
    },
    /// It took too long.
    #[error("{name}: {late}: {said}")]
    Late {
        /// Its name in this run.
        name: String,
        /// What was waited for and for how long.
        late: DeadlineError,
        /// The end of its output.
        said: String,
    },
}

/// Name of the hidden command that every child is started through.
pub const GUARD: &str = "guard";

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let said = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
    if said.is_empty() {
        "it said nothing".to_owned()
    } else {
        said
    }
}

const TAIL_LINES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn output_goes_to_files_and_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let shell = Program::new("sh").args(["-c", "echo ready; exec sleep 60"]);
        let mut child = shell.spawn(folder.path(), "child").unwrap();
        let line = |out: &str| out.lines().find(|line| *line == "ready").map(str::to_owned);
        assert_eq!(child.wait_for("ready", LONG, line).unwrap(), "ready");
        // `sleep` dies of SIGTERM, which is no success.
        let error = child.stop(LONG).unwrap_err();
        assert!(matches!(error, ProcessError::Failed { .. }), "{error}");
    }

    #[test]
    fn an_early_end_is_told_with_the_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let shell = Program::new("sh").args(["-c", "echo 'no such port' >&2; exit 5"]);
        let mut child = shell.spawn(folder.path(), "child").unwrap();
        let error = child.wait_for("ready", LONG, |_| None::<()>).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("no such port") && said.contains('5'),
            "{said}"
        );
    }

    #[test]
    fn dropping_kills() {
        let folder = tempfile::tempdir().unwrap();
        let child = Program::new("sleep").arg("60");
        let child = child.spawn(folder.path(), "child").unwrap();
        let proc_folder = PathBuf::from(format!("/proc/{}", child.pid()));
        drop(child);
        assert!(!proc_folder.exists());
    }
}
