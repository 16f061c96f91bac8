//! One worker thread: pinned where that makes sense, a runtime of its own, a core and its shell,
//! from the first turn to the last task.

use std::future::Future;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use monoio::{FusionRuntime, time};
use proto::link::LinkConfig;

use super::clock::Clock;
use super::control::{self, Call};
use super::driver::{self, DriverChoice, DriverError};
use super::limits::FINISH_DEADLINE;
use super::links::Links;
use super::mailbox::MailPort;
use super::notify::{First, race};
use super::shell::Shell;
use super::{api_session, listen, spin};
use crate::config::IoDriver;
use crate::engine::core::{Core, CoreConfig};

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
    /// Its listener of the DHT API.
    pub(crate) api: TcpListener,
    /// Its listener for peers.
    pub(crate) p2p: TcpListener,
    /// Its port to the other cores.
    pub(crate) mail: MailPort,
    /// TLS of all links.
    pub(crate) link: Arc<LinkConfig>,
    /// Calls of the admin thread.
    pub(crate) calls: flume::Receiver<Call>,
    /// The zero of the monotonic clock.
    pub(crate) start: Instant,
}

impl Worker {
    /// Runs the worker on the calling thread. `started` hears whether its runtime could be built;
    /// serving begins with the first word on `go`.
    pub(crate) fn run(
        self,
        started: &flume::Sender<Result<DriverChoice, DriverError>>,
        go: &flume::Receiver<()>,
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
        if go.recv().is_err() {
            return;
        }
        let has_ended = runtime.block_on(self.live(is_uring));
        if !has_ended {
            // With operations in flight the kernel still writes into the runtime's buffers: they
            // stay until the process ends, which is now.
            std::mem::forget::<FusionRuntime<_, _>>(runtime);
        }
    }

    /// Serves until told to finish; whether every task has ended by then.
    async fn live(self, is_uring: bool) -> bool {
        let index = self.core.core;
        let core = Core::new(self.core);
        let shell = Shell::new(core, Clock::new(self.start), self.mail, self.link);
        shell.spawn_loop(Rc::clone(&shell).run_turns());
        shell.spawn_loop(Rc::clone(&shell).run_alarm());
        shell.spawn_loop(Rc::clone(&shell).run_mail());
        if is_uring && !self.busy_poll.is_zero() {
            shell.spawn_loop(spin::run(Rc::clone(&shell), self.busy_poll));
        }
        shell.spawn(accept_clients(Rc::clone(&shell), self.api));
        shell.spawn(accept_links(Rc::clone(&shell), self.p2p));
        shell.input(Core::start);
        control::serve(&shell, self.calls).await;
        finish(&shell, index).await
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
async fn finish(shell: &Rc<Shell>, index: u8) -> bool {
    shell.api.closing.open();
    shell.api.end_all();
    shell.links.end_all();
    let have_sessions_ended = within(FINISH_DEADLINE, shell.sessions.all_ended()).await;
    shell.end_loops();
    let have_loops_ended = within(FINISH_DEADLINE, shell.loops.all_ended()).await;
    // Closing a descriptor is an operation too: give the last ones their turn.
    time::sleep(LAST_TURN).await;
    if !have_sessions_ended {
        let tasks = shell.sessions.live();
        tracing::warn!(core = index, tasks, "connections did not end in time");
    }
    have_sessions_ended && have_loops_ended
}

async fn within(deadline: Duration, end: impl Future<Output = ()>) -> bool {
    matches!(race(end, time::sleep(deadline)).await, First::Left(()))
}

/// Long enough for a turn of the event loop.
const LAST_TURN: Duration = Duration::from_millis(2);
