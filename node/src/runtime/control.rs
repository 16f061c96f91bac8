//! What the admin thread asks of the cores, and how a core answers: the only way between the two.
//! Calls travel over a bounded channel for each core; answers over one made for the call.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use monoio::time;
use proto::id::Id;
use proto::message::LookupMode;
use tokio::sync::oneshot;

use super::api::ApiCounts;
use super::links::LinkCounts;
use super::notify::race;
use super::operators::Waiting;
use super::shell::Shell;
use super::worker::Doors;
use crate::engine::core::Core;
use crate::engine::counters::Counters;
use crate::engine::journal::Phase;
use crate::engine::request::{AdminAnswer, AdminRequest, ClientAnswer, ClientRequest};
use crate::engine::shard::{ShardCounters, ShardMemory};
use crate::engine::wal::log::LogReport;
use crate::engine::wal::recovery::RecoveryReport;

/// One call to one core.
#[derive(Debug)]
pub(crate) enum Call {
    /// An operator's request; core 0 knows the ring.
    Admin(AdminRequest, oneshot::Sender<AdminAnswer>),
    /// Who owns a position.
    Lookup(Id, LookupMode, oneshot::Sender<ClientAnswer>),
    /// What the core has counted and holds.
    Report(oneshot::Sender<CoreReport>),
    /// Listen, and start or join the ring. The error names the setting whose address it is.
    Open(oneshot::Sender<Result<(), (&'static str, io::Error)>>),
    /// Take no more requests of clients and finish what is in flight.
    Drain(Drain, oneshot::Sender<()>),
    /// Write everything that the log holds, and answer when it is on the disk.
    CloseLog(oneshot::Sender<()>),
    /// End all links and all tasks.
    Finish,
}

/// What is to be finished before a node goes on stopping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Drain {
    /// What clients of the DHT API, native clients and operators have asked.
    Clients,
    /// That, and what other nodes have asked.
    All,
}

/// What a core has counted and holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct CoreReport {
    /// Whether the node is a member of its ring, as this core sees it.
    pub(crate) is_member: bool,
    /// The engine's counts.
    pub(crate) counters: Counters,
    /// The shard's counts.
    pub(crate) shard: ShardCounters,
    /// The shard's memory.
    pub(crate) memory: ShardMemory,
    /// How its log does, when it has one.
    pub(crate) log: Option<LogReport>,
    /// How far the recovery of the log is, or was at its end.
    pub(crate) recovery: RecoveryReport,
    /// Requests under way.
    pub(crate) operations: usize,
    /// Other members in the routing view; only core 0 says it, which made the view.
    pub(crate) members_known: usize,
    /// DHT API connections open.
    pub(crate) api_open: usize,
    /// What the DHT API has served.
    pub(crate) api: ApiReport,
    /// Links open: accepted and dialled.
    pub(crate) links_open: (usize, usize),
    /// What happened to links.
    pub(crate) links: LinkReport,
}

/// [`ApiCounts`], as it travels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ApiReport {
    pub(crate) connections: u64,
    pub(crate) gets: u64,
    pub(crate) puts: u64,
    pub(crate) hits: u64,
    pub(crate) failed_puts: u64,
    pub(crate) violations: u64,
}

/// [`LinkCounts`], as it travels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkReport {
    pub(crate) accepted: u64,
    pub(crate) dialled: u64,
    pub(crate) refused: u64,
    pub(crate) broken: u64,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
}

impl CoreReport {
    fn of(shell: &Shell) -> Self {
        shell.look(|core| {
            let (log, recovery) = match core.shard().phase() {
                Phase::Open(log) => (Some(log), core.shard().recovered()),
                Phase::Recovering(recovery) => (None, Some(recovery)),
                Phase::Memory | Phase::Failed(_) => (None, None),
            };
            Self {
                is_member: core.is_member(),
                counters: *core.counters(),
                shard: *core.shard().counters(),
                memory: core.shard().memory(),
                log,
                recovery: recovery.cloned().unwrap_or_default(),
                operations: core.operations_len(),
                members_known: core.members_known(),
                api_open: shell.api.open(),
                api: ApiReport::of(&shell.api.counts),
                links_open: shell.links.open(),
                links: LinkReport::of(&shell.links.counts),
            }
        })
    }
}

impl ApiReport {
    fn of(counts: &ApiCounts) -> Self {
        Self {
            connections: counts.connections.get(),
            gets: counts.gets.get(),
            puts: counts.puts.get(),
            hits: counts.hits.get(),
            failed_puts: counts.failed_puts.get(),
            violations: counts.violations.get(),
        }
    }
}

impl LinkReport {
    fn of(counts: &LinkCounts) -> Self {
        Self {
            accepted: counts.accepted.get(),
            dialled: counts.dialled.get(),
            refused: counts.refused.get(),
            broken: counts.broken.get(),
            bytes_out: counts.bytes_out.get(),
            bytes_in: counts.bytes_in.get(),
        }
    }
}

/// Answers calls until the worker is to finish, or nobody is left to call.
pub(crate) async fn serve(shell: &Rc<Shell>, calls: flume::Receiver<Call>, doors: Doors) {
    let mut doors = Some(doors);
    while let Ok(call) = calls.recv_async().await {
        match call {
            Call::Admin(request, reply) => {
                let ticket = shell.operators.start(Waiting::Admin(reply));
                shell.input(|core, now| core.handle_admin(ticket, request, now));
            }
            Call::Lookup(target, mode, reply) => {
                let ticket = shell.operators.start(Waiting::Client(reply));
                let request = ClientRequest::Lookup { target, mode };
                let _ = shell.input(|core, now| core.handle_client(ticket, &request, now));
            }
            Call::Report(reply) => {
                let _ = reply.send(CoreReport::of(shell));
            }
            Call::Open(reply) => {
                let opened = doors.take().map_or(Ok(()), |doors| doors.open(shell));
                if opened.is_ok() {
                    shell.input(Core::start);
                }
                let _ = reply.send(opened);
            }
            Call::CloseLog(reply) => {
                shell.input(Core::close_log);
                shell.spawn(rest(Rc::clone(shell), reply));
            }
            Call::Drain(what, reply) => {
                shell.api.closing.open();
                shell.input(|core, _| core.refuse_clients());
                shell.spawn(drain(Rc::clone(shell), what, reply));
            }
            Call::Finish => return,
        }
    }
}

/// Waits for the answers of all requests under way, and until links have sent theirs. Nothing
/// notifies of that: it is looked for, which costs a running node nothing.
async fn drain(shell: Rc<Shell>, what: Drain, reply: oneshot::Sender<()>) {
    shell.api.stop_reading();
    while what == Drain::Clients && shell.api.open() > 0 && !reply.is_closed() {
        let _ = race(shell.api.closed.notified(), time::sleep(DRAIN_PAUSE)).await;
    }
    loop {
        shell.settle();
        let under_way = shell.look(|core| match what {
            Drain::Clients => core.client_operations_len(),
            Drain::All => core.operations_len(),
        });
        if under_way == 0 && shell.links.are_flushed(what) || reply.is_closed() {
            break;
        }
        time::sleep(DRAIN_PAUSE).await;
    }
    let _ = reply.send(());
}

/// Waits until the log is at rest.
async fn rest(shell: Rc<Shell>, reply: oneshot::Sender<()>) {
    while !shell.look(Core::is_log_at_rest) && !reply.is_closed() {
        let _ = race(shell.disk_moved.notified(), time::sleep(DRAIN_PAUSE)).await;
    }
    let _ = reply.send(());
}

/// How often requests under way are looked for while a node stops.
const DRAIN_PAUSE: Duration = Duration::from_millis(2);
