//! One worker thread: pinned where that makes sense, a runtime of its own, a core and its shell,
//! from the first turn to the last task.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use monoio::{FusionRuntime, time};
use proto::link::LinkConfig;
use thiserror::Error;

use super::clock::Clock;
use super::control::{self, Call};
use super::disk::Disk;
use super::disk_folder::{Access, Listing, is_in_user_space};
use super::driver::{self, DriverChoice, DriverError};
use super::limits::FINISH_DEADLINE;
use super::links::Links;
use super::mailbox::MailPort;
use super::notify::{First, race};
use super::shell::{Ports, Shell};
use super::{api_session, listen, spin};
use crate::config::IoDriver;
use crate::engine::core::{Core, CoreConfig};
use crate::engine::journal::Phase;
use crate::engine::wal::recovery::{FoundFile, RecoveryError, RecoveryReport};

/// Everything a worker starts with.
pub(crate) struct Worker {
    /// Its core's configuration.
    pub(crate) core: CoreConfig,
    /// The driver that probing found, and what was asked for.
    pub(crate) choice: DriverChoice,
    /// The setting `io_driver`.
    pub(crate) setting: IoDriver,
    /// The CPU it is pinned to.
    pub(crate) cpu: Option<CoreId>,
    /// How long it spins before it sleeps.
    pub(crate) busy_poll: Duration,
    /// What it is reached by.
    pub(crate) doors: Doors,
    /// Its port to the other cores.
    pub(crate) mail: MailPort,
    /// TLS of all links.
    pub(crate) link: Arc<LinkConfig>,
    /// Calls of the admin thread.
    pub(crate) calls: flume::Receiver<Call>,
    /// The zero of the monotonic clock.
    pub(crate) start: Instant,
    /// How its log is written.
    pub(crate) access: Access,
    /// Hears that its records are there, or why not.
    pub(crate) recovered: flume::Sender<Recovered>,
}

/// A worker's sockets: bound, and open when the node serves.
pub(crate) struct Doors {
    /// Its listener of the DHT API.
    pub(crate) api: TcpListener,
    /// Its listener for peers.
    pub(crate) p2p: TcpListener,
}

/// The word to go: where the worker's log lies, when there is one.
pub(crate) type Go = Option<PathBuf>;

/// How the recovery of a shard has ended.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The shard.
    pub(crate) shard: u8,
    /// What was read.
    pub(crate) outcome: Result<RecoveryReport, ShardError>,
}

/// Why a shard cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ShardError {
    /// Its log cannot.
    #[error(transparent)]
    Log(#[from] RecoveryError),
    /// Its folder cannot be read, or its thread not be started.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Worker {
    /// Runs the worker on the calling thread. `started` hears whether its runtime could be built;
    /// serving begins with the first word on `go`.
    pub(crate) fn run(
        self,
        started: &flume::Sender<Result<DriverChoice, DriverError>>,
        go: &flume::Receiver<Go>,
    ) {
        if let Some(cpu) = self.cpu {
            let (core, is_pinned) = (self.core.core, core_affinity::set_for_current(cpu));
            if !is_pinned {
                tracing::warn!(core, cpu = cpu.id, "cannot be pinned to its CPU");
            }
        }
        let (mut runtime, choice) = match driver::build(&self.choice, self.setting) {
            Ok(built) => built,
            Err(error) => return drop(started.send(Err(error))),
        };
        let is_uring = choice.driver.is_uring();
        let _ = started.send(Ok(choice));
        let Ok(folder) = go.recv() else { return };
        let has_ended = runtime.block_on(self.live(folder, is_uring));
        if !has_ended {
            // With operations in flight the kernel still writes into the runtime's buffers: they
            // stay until the process ends, which is now.
            std::mem::forget::<FusionRuntime<_, _>>(runtime);
        }
    }

    /// Reads its log, then serves until told to finish; whether every task has ended by then.
    async fn live(self, folder: Go, is_uring: bool) -> bool {
        let number = self.core.core;
        let (disk, files) = match folder.map(|path| open_disk(path, self.access, number, is_uring))
        {
            None => (None, Vec::new()),
            Some(Ok((disk, files))) => (Some(disk), files),
            Some(Err(error)) => {
                let outcome = Err(error.into());
                let _ = self.recovered.send(Recovered {
                    shard: number,
                    outcome,
                });
                return true;
            }
        };
        let core = Core::new(self.core);
        let ports = Ports {
            number,
            mail: self.mail,
            link: self.link,
            disk,
        };
        let shell = Shell::new(core, Clock::new(self.start), ports);
        shell.spawn_loop(Rc::clone(&shell).run_turns());
        shell.spawn_loop(Rc::clone(&shell).run_alarm());
        shell.spawn_loop(Rc::clone(&shell).run_mail());
        shell.spawn_loop(Rc::clone(&shell).run_disk());
        if is_uring && !self.busy_poll.is_zero() {
            shell.spawn_loop(spin::run(Rc::clone(&shell), self.busy_poll));
        }
        shell.spawn_loop(recover(Rc::clone(&shell), files, self.recovered));
        control::serve(&shell, self.calls, self.doors).await;
        finish(&shell).await
    }
}

impl Doors {
    /// Listens, and takes whoever comes.
    pub(crate) fn open(self, shell: &Rc<Shell>) -> Result<(), (&'static str, io::Error)> {
        listen::open(&self.p2p).map_err(|error| ("p2p_address", error))?;
        listen::open(&self.api).map_err(|error| ("api_address", error))?;
        shell.spawn(accept_clients(Rc::clone(shell), self.api));
        shell.spawn(accept_links(Rc::clone(shell), self.p2p));
        Ok(())
    }
}

/// The disk of the log in the folder at `path`, and the segments that lie there.
fn open_disk(
    path: PathBuf,
    access: Access,
    shard: u8,
    is_uring: bool,
) -> io::Result<(Disk, Vec<FoundFile>)> {
    let Listing { files, others } = Listing::read(&path)?;
    if !others.is_empty() {
        let path = path.display();
        tracing::warn!(%path, "not of the log, and left alone: {}", others.join(", "));
    }
    let is_uring = is_uring && !is_in_user_space(&path);
    let disk = Disk::start(path, access, is_uring, format!("chordite-disk-{shard}"))?;
    Ok((disk, files))
}

/// Has the core read its log, and says when it has.
async fn recover(shell: Rc<Shell>, files: Vec<FoundFile>, recovered: flume::Sender<Recovered>) {
    shell.input(|core, now| core.recover(&files, now));
    let outcome = loop {
        if let Some(outcome) = shell.look(outcome) {
            break outcome.map_err(ShardError::from);
        }
        if let First::Right(()) = race(shell.disk_moved.notified(), shell.ending.opened()).await {
            return;
        }
    };
    let shard = shell.number;
    let _ = recovered.send(Recovered { shard, outcome });
}

/// How the reading of the log has ended.
fn outcome(core: &Core) -> Option<Result<RecoveryReport, RecoveryError>> {
    let shard = core.shard();
    match shard.phase() {
        Phase::Memory | Phase::Open(_) => Some(Ok(shard.recovered().cloned().unwrap_or_default())),
        Phase::Failed(error) => Some(Err(error.clone())),
        Phase::Recovering(_) => None,
    }
}

async fn accept_clients(shell: Rc<Shell>, listener: TcpListener) {
    let stop = &shell.api.closing;
    let accepted = listen::accept(&shell, listener, stop, api_session::take).await;
    if let Err(error) = accepted {
        tracing::error!(%error, "this core accepts no more DHT API clients");
    }
}

async fn accept_links(shell: Rc<Shell>, listener: TcpListener) {
    let stop = &shell.links.closing;
    let accepted = listen::accept(&shell, listener, stop, Links::take).await;
    if let Err(error) = accepted {
        tracing::error!(%error, "this core accepts no more links");
    }
}

/// Ends everything that is left and waits for it; whether all of it has ended.
async fn finish(shell: &Rc<Shell>) -> bool {
    let core = shell.number;
    shell.api.closing.open();
    shell.api.end_all();
    shell.links.end_all();
    let have_sessions_ended = within(FINISH_DEADLINE, shell.sessions.all_ended()).await;
    let mut have_jobs_ended = true;
    if let Some(disk) = &shell.disk {
        disk.close();
        have_jobs_ended = within(FINISH_DEADLINE, disk.jobs.all_ended()).await;
    }
    shell.end_loops();
    let have_loops_ended = within(FINISH_DEADLINE, shell.loops.all_ended()).await;
    // Closing a descriptor is an operation too: give the last ones their turn.
    time::sleep(LAST_TURN).await;
    if !have_sessions_ended {
        let tasks = shell.sessions.live();
        tracing::warn!(core, tasks, "connections did not end in time");
    }
    if !have_jobs_ended {
        tracing::warn!(core, "the disk did not answer in time");
    }
    have_sessions_ended && have_jobs_ended && have_loops_ended
}

async fn within(deadline: Duration, end: impl Future<Output = ()>) -> bool {
    matches!(race(end, time::sleep(deadline)).await, First::Left(()))
}

/// Long enough for a turn of the event loop.
const LAST_TURN: Duration = Duration::from_millis(2);
