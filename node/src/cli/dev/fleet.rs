//! The processes of a local ring: started together, watched, and stopped together.
//!
//! Each child is waited for by a thread of its own, which makes its end an event beside the
//! signals; it is signalled through a pidfd, which never reaches another process that got the same
//! number.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use node::config::keys;
use node::exit::Exit;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::folder::cannot_use;
use super::plan::{Plan, PlannedNode};
use crate::cli::failure::Failure;

/// What `dev` waits for.
#[derive(Debug)]
pub(super) enum Event {
    /// SIGINT or SIGTERM.
    Signal,
    /// A node's process has ended.
    Ended {
        /// The node.
        index: usize,
        /// How.
        status: io::Result<ExitStatus>,
    },
}

/// The processes of all nodes.
#[derive(Debug)]
pub(super) struct Fleet {
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    handle: OwnedFd,
    log: std::path::PathBuf,
    is_running: bool,
}

impl Fleet {
    /// Starts all nodes at once; their ends arrive as `events`. It must be called by the main
    /// thread: the nodes die when the thread that started them ends.
    pub(super) fn start(plan: &Plan, events: Sender<Event>) -> Result<Self, Failure> {
        let mut fleet = Self {
            processes: Vec::new(),
        };
        for node in &plan.nodes {
            match Process::start(node, events.clone()) {
                Ok(process) => fleet.processes.push(process),
                Err(failure) => {
                    fleet.signal(Signal::KILL);
                    return Err(failure);
                }
            }
        }
        drop(events);
        Ok(fleet)
    }

    /// The process numbers by node.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(|process| process.pid)
    }

    /// Whether every node has ended.
    pub(super) fn is_empty(&self) -> bool {
        self.processes.iter().all(|process| !process.is_running)
    }

    /// A node ended before the ring was ready: the failure has its exit code and its last words.
    pub(super) fn start_failure(
        &mut self,
        index: usize,
        status: &io::Result<ExitStatus>,
    ) -> Failure {
        let process = &mut self.processes[index];
        process.is_running = false;
        let exit = status
            .as_ref()
            .ok()
            .and_then(ExitStatus::code)
            .and_then(exit_of);
        let exit = exit.filter(|exit| *exit != Exit::Ok).unwrap_or(Exit::Bug);
        let last = last_lines(&process.log);
        Failure::new(
            exit,
            format!(
                "node {index} ended before the ring was ready ({}){last}",
                shown(status)
            ),
        )
    }

    /// A node ended while the ring was up: the others go on.
    pub(super) fn report_end(&mut self, index: usize, status: &io::Result<ExitStatus>) {
        let process = &mut self.processes[index];
        process.is_running = false;
        let by_signal = status
            .as_ref()
            .is_ok_and(|status| status.signal().is_some());
        let last = if by_signal {
            String::new()
        } else {
            last_lines(&process.log)
        };
        eprintln!(
            "chordite: node {index} (pid {}) ended ({}){last}",
            process.pid,
            shown(status)
        );
    }

    /// Asks all nodes to end and waits; one that does not end in time, and all at a second signal,
    /// are killed. The exit is that of the first node that did not end well.
    pub(super) fn stop(&mut self, events: &Receiver<Event>) -> Result<Exit, Failure> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + STOP_LIMIT;
        let mut exit = Exit::Ok;
        while !self.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match events.recv_timeout(left) {
                Ok(Event::Ended { index, status }) => {
                    let own = stop_exit(&status);
                    if own == Exit::Ok {
                        self.processes[index].is_running = false;
                        continue;
                    }
                    self.report_end(index, &status);
                    if exit == Exit::Ok {
                        exit = own;
                    }
                }
                Ok(Event::Signal) => return Err(self.kill("a second signal came")),
                Err(_) => return Err(self.kill(&format!("{STOP_LIMIT:?} passed"))),
            }
        }
        Ok(exit)
    }

    fn kill(&mut self, why: &str) -> Failure {
        let running = self
            .processes
            .iter()
            .zip(0..)
            .filter(|(process, _)| process.is_running);
        let names: Vec<String> = running
            .map(|(_, index): (_, usize)| index.to_string())
            .collect();
        self.signal(Signal::KILL);
        Failure::new(
            Exit::Bug,
            format!(
                "{why} before these nodes ended, they are killed: {}",
                names.join(", ")
            ),
        )
    }

    fn signal(&self, signal: Signal) {
        for process in self.processes.iter().filter(|process| process.is_running) {
            // The only failure is a process that has ended already; its event is on the way.
            let _ = pidfd_send_signal(&process.handle, signal);
        }
    }
}

impl Process {
    fn start(node: &PlannedNode, events: Sender<Event>) -> Result<Self, Failure> {
        let index = node.index;
        let failed = |error: io::Error| {
            Failure::new(Exit::Bug, format!("cannot start node {index}: {error}"))
        };
        let mut child = command(node)?.spawn().map_err(failed)?;
        let pid = child.id();
        let handle = open_handle(&child).or_else(|error| {
            child.kill()?;
            Err(error)
        });
        let process = Self {
            pid,
            handle: handle.map_err(failed)?,
            log: node.log.clone(),
            is_running: true,
        };
        let waiter = thread::Builder::new().name(format!("wait-{index}"));
        let wait = move || {
            let status = child.wait();
            let _ = events.send(Event::Ended { index, status });
        };
        waiter.spawn(wait).map_err(failed)?;
        Ok(process)
    }
}

fn open_handle(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    Ok(pidfd_open(
        pid.ok_or(io::ErrorKind::NotFound)?,
        PidfdFlags::empty(),
    )?)
}

/// `chordite serve` for `node`, in a process group of its own so that Ctrl-C reaches only `dev`,
/// and without the settings of our own environment, which would be the same for all nodes.
fn command(node: &PlannedNode) -> Result<Command, Failure> {
    let program = std::env::current_exe();
    let program = program.map_err(|error| {
        Failure::new(Exit::Bug, format!("cannot find the own program: {error}"))
    })?;
    let log = File::create(&node.log).and_then(|_| File::options().append(true).open(&node.log));
    let log = log.and_then(|log| Ok((log.try_clone()?, log)));
    let (stdout, stderr) = log.map_err(|error| cannot_use(&node.log, &error))?;
    let mut command = Command::new(program);
    command
        .args([
            "serve",
            "--parent-pid",
            &std::process::id().to_string(),
            "-c",
        ])
        .arg(&node.ini)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0);
    for key in keys::KEYS {
        command.env_remove(key.variable());
    }
    Ok(command)
}

/// How a node took SIGTERM. One that it killed had not come far enough to handle it: no fault.
fn stop_exit(status: &io::Result<ExitStatus>) -> Exit {
    match status {
        Ok(status) if status.signal() == Some(Signal::TERM.as_raw()) => Exit::Ok,
        Ok(status) => status.code().and_then(exit_of).unwrap_or(Exit::Bug),
        Err(_) => Exit::Bug,
    }
}

fn shown(status: &io::Result<ExitStatus>) -> String {
    status
        .as_ref()
        .map_or_else(ToString::to_string, ToString::to_string)
}

fn exit_of(code: i32) -> Option<Exit> {
    Exit::ALL
        .iter()
        .copied()
        .find(|exit| i32::from(exit.code()) == code)
}

/// The end of a log, for a message: each line on a line of its own.
fn last_lines(log: &std::path::Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    let name = log.display();
    if last.is_empty() {
        return format!("; its log {name} is empty");
    }
    format!("; the end of its log {name}:\n  {}", last.join("\n  "))
}

const LAST_LINES: usize = 10;

/// Longer than a node takes to hand over and leave.
const STOP_LIMIT: Duration = Duration::from_secs(20);
