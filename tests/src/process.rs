//! A process under test: in a group of its own, its output in files, killed with its guard.
//!
//! Processes are started by one thread that lives as long as the test program and, where `setpriv`
//! exists, with a parent-death signal: a test program that is killed takes them along.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::deadline::{self, secs};
use crate::{binaries, rounds, workdir};

/// A started process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    dir: PathBuf,
    ended: Option<ExitStatus>,
    logs: Vec<PathBuf>,
}

/// What a process that has ended left.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All it wrote to standard output.
    pub stdout: String,
    /// All it wrote to standard error.
    pub stderr: String,
}

impl Process {
    /// Starts `program` with `args`, and a folder for its output.
    pub fn start(program: &Path, args: &[&str]) -> Self {
        Self::start_with(program, args, |_| {})
    }

    /// Like `start`; `prepare` may add to the command, such as its environment.
    pub fn start_with(program: &Path, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let name = program
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let dir = workdir::create(&format!("{name}-{}", args.first().unwrap_or(&"")));
        let file = |name| File::create(dir.join(name)).expect("the work folder is writable");
        let mut command = dying_with_parent(program);
        binaries::forget_cargo(&mut command);
        command
            .args(args)
            .env_remove("RUST_LOG")
            .env_remove(rounds::SEED)
            .env_remove(rounds::ROUNDS)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .process_group(0);
        prepare(&mut command);
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self {
            child,
            name,
            dir,
            ended: None,
            logs: Vec::new(),
        }
    }

    /// Starts `program`, waits for its end and gives what it left. Kills it at `limit`.
    pub fn finish(program: &Path, args: &[&str], limit: Duration) -> Finished {
        Self::start(program, args).wait(limit)
    }

    /// A log whose end is worth printing when the test fails.
    pub fn watch_log(&mut self, log: PathBuf) {
        self.logs.push(log);
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal` to the process alone, not to its group.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process exists");
    }

    /// Its exit status when it has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended
    }

    /// Waits for the end; panics at `limit`.
    pub fn wait(mut self, limit: Duration) -> Finished {
        let what = format!("the end of {}", self.name);
        let status = deadline::until(&what, limit, || self.status());
        Finished {
            code: status.code(),
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.dir.join("stdout"))
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.dir.join("stderr"))
    }

    fn tails(&self) -> String {
        let mut text = String::new();
        let own = [self.dir.join("stdout"), self.dir.join("stderr")];
        for path in own.iter().chain(&self.logs) {
            let all = read(path);
            let lines: Vec<&str> = all.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            if !tail.is_empty() {
                let _ = writeln!(
                    text,
                    "--- {} of {}: {}",
                    self.name,
                    self.pid(),
                    path.display()
                );
                let _ = writeln!(text, "{}", tail.join("\n"));
            }
        }
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.tails());
        }
        // Also after the end of the leader: what it started may still be there.
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::KILL);
        if self.ended.is_none() {
            let _ = deadline::within(secs(10), || self.status());
        }
    }
}

/// Sends `signal` to the process `pid`.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("the process exists");
}

/// Whether `pid` runs: it exists and is not a zombie.
#[must_use]
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

fn read(path: &Path) -> String {
    fs::read(path).map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

fn dying_with_parent(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command` from the thread that outlives every test, since the parent-death signal follows
/// the thread, not the process.
fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (sender, answer) = mpsc::channel();
    orders.send((command, sender)).expect("the starter lives");
    answer.recv().expect("the starter lives")
}

const TAIL_LINES: usize = 40;
