//! A running node as the admin thread sees it: its workers, the way to call them, and the facts
//! about it that never change.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use core_affinity::CoreId;
use proto::chord::{ChordConfig, Pace, RouterConfig};
use proto::peer::Peer;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::control::{Call, CoreReport};
use super::disk_folder::Access;
use super::driver::{DriverChoice, DriverError};
use super::limits::{ADMIN_DEADLINE, CONTROL_QUEUE, OPERATIONS_BYTES_MAX};
use super::mailbox::Mailboxes;
use super::prepare::{Prepared, ServeError};
use super::rise::Rise;
use super::worker::{Doors, Worker};
use crate::config::Config;
use crate::engine::core::CoreConfig;
use crate::engine::operation::OPERATIONS_MAX;
use crate::engine::shard::{ShardConfig, TtlPolicy};
use crate::engine::wal::settings::{LogConfig, SyncPolicy};

/// A running node.
pub(crate) struct Node {
    /// What it runs with.
    pub(crate) config: Config,
    /// What its workers use.
    pub(crate) choice: DriverChoice,
    /// When it started.
    pub(crate) start: Instant,
    /// When it started, since 1970.
    pub(crate) start_wall: Duration,
    /// When the first certificate of its chain expires, since 1970.
    pub(crate) certificate_expiry: Option<Duration>,
    /// The way to each worker.
    pub(crate) cores: Vec<flume::Sender<Call>>,
    /// How far it is on its way up.
    pub(crate) phase: Mutex<Phase>,
    /// Whether it is on its way down.
    pub(crate) is_stopping: AtomicBool,
}

/// How far a node is on its way up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Its cores do not answer yet, and why.
    Preparing(String),
    /// Its cores read their logs, since this moment.
    Recovering(Instant),
    /// It serves.
    Serving {
        /// Time its cores took to read their logs.
        recovery: Duration,
    },
}

impl Phase {
    /// How long its cores have read their logs.
    pub(crate) fn recovery(&self) -> Duration {
        match self {
            Self::Preparing(_) => Duration::ZERO,
            Self::Recovering(since) => since.elapsed(),
            Self::Serving { recovery } => *recovery,
        }
    }
}

/// A node with the threads and the listener its owner looks after.
pub(crate) struct Started {
    /// The node, shared with the admin server.
    pub(crate) node: Arc<Node>,
    /// Its threads.
    pub(crate) workers: Vec<JoinHandle<()>>,
    /// Disconnected by a worker that ends.
    pub(crate) lost: flume::Receiver<()>,
    /// The listener of the admin server.
    pub(crate) admin: TcpListener,
    /// What is left to be done before it serves.
    pub(crate) rise: Rise,
}

/// Why a core gave no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// It is stuck, or gone.
    #[error("the node gave no answer within {} s", ADMIN_DEADLINE.as_secs())]
    Late,
    /// It does not run yet.
    #[error("{0}")]
    Preparing(String),
}

impl Node {
    /// Starts the workers. None serves before all of them have what they need.
    pub(crate) fn start(config: Config, prepared: Prepared) -> Result<Started, ServeError> {
        let Prepared {
            link,
            certificate_expiry,
            choice,
            api,
            p2p,
            admin,
            data,
        } = prepared;
        let (start, start_wall) = (Instant::now(), wall_clock());
        let (ready, readiness) = flume::unbounded();
        let (lost_sender, lost) = flume::bounded::<()>(1);
        let (mut cores, mut workers, mut go) = (Vec::new(), Vec::new(), Vec::new());
        let plans = core_plans(&config)?;
        let (recovered_sender, recovered) = flume::unbounded();
        let mails = Mailboxes::new(config.shards);
        let sockets = api.into_iter().zip(p2p);
        for ((plan, mail), (api, p2p)) in plans.into_iter().zip(mails).zip(sockets) {
            let (calls, call_queue) = flume::bounded(CONTROL_QUEUE);
            let (go_sender, go_receiver) = flume::bounded(1);
            let name = format!("chordite-core-{}", plan.core.core);
            let worker = Worker {
                core: plan.core,
                choice: choice.clone(),
                setting: config.io_driver,
                cpu: plan.cpu,
                busy_poll: plan.busy_poll,
                doors: Doors { api, p2p },
                mail,
                link: Arc::clone(&link),
                calls: call_queue,
                start,
                access: access(config.fsync),
                recovered: recovered_sender.clone(),
            };
            let (ready, lost) = (ready.clone(), lost_sender.clone());
            let run = move || {
                worker.run(&ready, &go_receiver);
                drop(lost);
            };
            let spawned = thread::Builder::new().name(name).spawn(run);
            workers.push(spawned.map_err(|error| system("starting a worker thread", error))?);
            cores.push(calls);
            go.push(go_sender);
        }
        drop((ready, lost_sender, recovered_sender));
        let choice = all_ready(&config, &readiness, workers.len())?;
        let node = Arc::new(Self {
            config,
            choice,
            start,
            start_wall,
            certificate_expiry,
            cores,
            phase: Mutex::new(Phase::Preparing("starting".into())),
            is_stopping: AtomicBool::new(false),
        });
        Ok(Started {
            node,
            workers,
            lost,
            admin,
            rise: Rise {
                data,
                go,
                recovered,
            },
        })
    }

    /// Asks core `core` and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        core: usize,
        call: impl FnOnce(oneshot::Sender<T>) -> Call,
    ) -> Result<T, NoAnswer> {
        if let Phase::Preparing(why) = self.phase() {
            return Err(NoAnswer::Preparing(why));
        }
        let (sender, receiver) = oneshot::channel();
        let core = self.cores.get(core).ok_or(NoAnswer::Late)?;
        let exchange = async {
            core.send_async(call(sender))
                .await
                .map_err(|_| NoAnswer::Late)?;
            receiver.await.map_err(|_| NoAnswer::Late)
        };
        timeout(ADMIN_DEADLINE, exchange)
            .await
            .unwrap_or(Err(NoAnswer::Late))
    }

    /// What every core has counted and holds, in their order.
    pub(crate) async fn reports(&self) -> Result<Vec<CoreReport>, NoAnswer> {
        let mut reports = Vec::new();
        for core in 0..self.cores.len() {
            reports.push(self.ask(core, Call::Report).await?);
        }
        Ok(reports)
    }

    /// How far the node is on its way up.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The node has come further.
    pub(crate) fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Whether the node is on its way down.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}

/// What differs from worker to worker.
struct CorePlan {
    core: CoreConfig,
    cpu: Option<CoreId>,
    busy_poll: Duration,
}

fn core_plans(config: &Config) -> Result<Vec<CorePlan>, ServeError> {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let shards = usize::from(config.shards);
    // A node that does not use every CPU shares them with others: pinning several such nodes would
    // pile them onto the same CPUs, so their places are left to the kernel.
    let is_pinned = shards == cpus.len();
    let mut busy_poll = Duration::from_micros(u64::from(config.busy_poll_us));
    if !busy_poll.is_zero() && shards > cpus.len() {
        let (cpus, shards) = (cpus.len(), shards);
        tracing::warn!(
            cpus,
            shards,
            "busy_poll_us is ignored: there are more threads than CPUs"
        );
        busy_poll = Duration::ZERO;
    }
    let mut plans = Vec::new();
    for index in 0..config.shards {
        let core = core_config(config, index, seed()?);
        let cpu = if is_pinned {
            cpus.get(usize::from(index)).copied()
        } else {
            None
        };
        plans.push(CorePlan {
            core,
            cpu,
            busy_poll,
        });
    }
    Ok(plans)
}

/// How the files of a log with this policy are opened.
const fn access(sync: SyncPolicy) -> Access {
    match sync {
        SyncPolicy::Always => Access::Durable,
        SyncPolicy::Interval(_) | SyncPolicy::Never => Access::Buffered,
    }
}

fn core_config(config: &Config, core: u8, seed: u64) -> CoreConfig {
    let params = config.ring_params();
    let node = Peer::derive(&params, &config.advertise, 0).map_or(0, |peer| peer.id().high());
    CoreConfig {
        core,
        cores: config.shards,
        params: params.clone(),
        name: config.advertise.clone(),
        virtual_nodes: config.virtual_nodes,
        chord: ChordConfig {
            params: params.clone(),
            stabilize_interval: config.stabilize_interval,
            finger_bits: config.finger_bits,
            pace: Pace::Adaptive,
            bootstrap: config.bootstrapper.clone(),
        },
        router: RouterConfig::new(params.clone(), config.advertise.clone()),
        shard: ShardConfig {
            memory_max: config.memory_max / u64::from(config.shards),
            ttl: TtlPolicy {
                default_s: config.ttl_default.as_secs(),
                min_s: config.ttl_min.as_secs(),
                max_s: config.ttl_max.as_secs(),
            },
            replication: config.replication,
            node,
            seed,
        },
        request_deadline: config.request_deadline,
        operations_max: OPERATIONS_MAX,
        operations_bytes_max: OPERATIONS_BYTES_MAX,
        log: config.data_dir.is_some().then_some(LogConfig {
            node,
            shard: u16::from(core),
            segment_bytes: config.segment_bytes,
            sync: config.fsync,
            space_percent: config.wal_space_percent,
            seed,
        }),
        seed,
    }
}

/// A secret of the operating system: lookups, tables and retries of two nodes must differ.
pub(super) fn seed() -> Result<u64, ServeError> {
    use std::io::Read;
    let mut bytes = [0; 8];
    let source = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    source.map_err(|error| system("reading random bytes", error))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Waits until every worker has its runtime; the driver reported is the weakest one of them.
fn all_ready(
    config: &Config,
    readiness: &flume::Receiver<Result<DriverChoice, DriverError>>,
    count: usize,
) -> Result<DriverChoice, ServeError> {
    let mut chosen: Option<DriverChoice> = None;
    for _ in 0..count {
        let built = readiness.recv().map_err(|_| ServeError::WorkerLost)?;
        let choice = built.map_err(|error| ServeError::driver(config, error))?;
        let is_weaker = chosen
            .as_ref()
            .is_none_or(|chosen| chosen.driver.is_uring());
        if is_weaker {
            chosen = Some(choice);
        }
    }
    chosen.ok_or(ServeError::WorkerLost)
}

const fn system(what: &'static str, error: io::Error) -> ServeError {
    ServeError::System { what, error }
}

/// Bytes of memory the process holds.
pub(crate) fn resident_bytes() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Time since 1970.
pub(super) fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
