//! From the first moment of service to the last: signals, and the order in which a node goes down.
//!
//! The first SIGTERM or SIGINT stops gracefully: no new clients, those there are get their answers,
//! the ring is left, other nodes get theirs, links close, tasks end. A second signal ends the
//! process at once.

use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::admin;
use super::control::{Call, Drain};
use super::limits::{DRAIN_DEADLINE, FINISH_DEADLINE, LEAVE_DEADLINE};
use super::node::{Node, Phase, Started};
use super::prepare::{self, ServeError};
use super::rise::Rise;
use crate::config::Config;
use crate::engine::request::AdminRequest;

/// Prepares and starts the node, serves the admin address on this thread and waits for a signal;
/// then stops the node. Signals are listened for before anything is written and before the first
/// worker starts: one that comes in between waits.
pub(crate) fn run_until_stopped(config: Config) -> Result<(), ServeError> {
    let built = runtime::Builder::new_current_thread().enable_all().build();
    let built = built.map_err(|error| ServeError::System {
        what: "admin runtime",
        error,
    })?;
    let mut signals = {
        let _context = built.enter();
        Signals::new()?
    };
    let prepared = prepare::prepare(&config)?;
    let Started {
        node,
        workers,
        lost,
        admin,
        mut rise,
    } = Node::start(config, prepared)?;
    let result = built.block_on(async {
        let server = tokio::spawn(admin::serve(Arc::clone(&node), admin));
        let lived = live(&node, &mut rise, &mut signals, &lost).await;
        // Workers that have not got their word end without it.
        rise.go.clear();
        if matches!(lived, Err(ServeError::WorkerLost)) {
            return lived;
        }
        tokio::select! {
            () = stop(&node, workers) => {}
            name = signals.next() => {
                tracing::warn!(signal = name, "a second signal: ending at once");
                process::exit(SECOND_SIGNAL_EXIT);
            }
        }
        server.abort();
        lived
    });
    if result.is_ok() {
        tracing::info!("stopped");
    }
    result
}

/// From the start of the workers to the first signal, or to what ends the node.
async fn live(
    node: &Node,
    rise: &mut Rise,
    signals: &mut Signals,
    lost: &flume::Receiver<()>,
) -> Result<(), ServeError> {
    let until_told = async {
        let name = tokio::select! {
            biased;
            risen = rise.run(node) => {
                risen?;
                announce(node);
                signals.next().await
            }
            name = signals.next() => name,
        };
        tracing::info!(signal = name, "stopping");
        Ok(())
    };
    tokio::select! {
        biased;
        lived = until_told => lived,
        _ = lost.recv_async() => Err(ServeError::WorkerLost),
    }
}

fn announce(node: &Node) {
    let config = &node.config;
    let (driver, reason) = (node.choice.driver.name(), &node.choice.reason);
    tracing::info!(driver, "{reason}");
    if config.busy_poll_us > 0 && !node.choice.driver.is_uring() {
        tracing::warn!(
            driver,
            "busy_poll_us is ignored: it works with io_uring only"
        );
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        name = %config.advertise,
        ring = config.ring,
        cores = config.shards,
        api = %config.api_address,
        p2p = %config.p2p_address,
        admin = %config.admin_address,
        "serving"
    );
    // Outside systemd there is nobody to tell.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}

async fn stop(node: &Node, workers: Vec<JoinHandle<()>>) {
    node.is_stopping.store(true, Ordering::Relaxed);
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    if matches!(node.phase(), Phase::Serving { .. }) {
        retire(node).await;
    }
    for core in &node.cores {
        let _ = core.send_async(Call::Finish).await;
    }
    let by = Instant::now() + FINISH_DEADLINE * 3;
    while workers.iter().any(|worker| !worker.is_finished()) && Instant::now() < by {
        sleep(JOIN_PAUSE).await;
    }
}

/// Ends the service of a node: clients, the ring, other nodes, the logs.
async fn retire(node: &Node) {
    let drained = timeout(DRAIN_DEADLINE, drain(node, Drain::Clients)).await;
    if drained.is_err() {
        tracing::warn!("some clients did not take their last answers in time");
    }
    let leave = node.ask(0, |reply| Call::Admin(AdminRequest::Leave, reply));
    match timeout(LEAVE_DEADLINE, leave).await {
        Ok(Ok(_)) => tracing::info!("left the ring"),
        Ok(Err(_)) | Err(_) => tracing::warn!("could not leave the ring in time"),
    }
    // What other nodes had asked before they heard of it; nothing new comes from them now.
    if timeout(FINISH_DEADLINE, drain(node, Drain::All))
        .await
        .is_err()
    {
        tracing::warn!("some requests of other nodes were not answered in time");
    }
    let written = timeout(FINISH_DEADLINE, all(node, Call::CloseLog)).await;
    if written.is_err() {
        tracing::warn!("the log was not written out in time");
    }
}

/// Waits until every core has finished what `what` names.
async fn drain(node: &Node, what: Drain) {
    all(node, |reply| Call::Drain(what, reply)).await;
}

/// Asks all cores at once and waits until each has answered.
async fn all(node: &Node, call: impl Fn(oneshot::Sender<()>) -> Call) {
    let mut asked = Vec::new();
    for core in &node.cores {
        let (sender, receiver) = oneshot::channel();
        if core.send_async(call(sender)).await.is_ok() {
            asked.push(receiver);
        }
    }
    for receiver in asked {
        let _ = receiver.await;
    }
}

/// The signals that stop a node, and one that must not end it.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    _file_size: Signal,
}

impl Signals {
    /// Listens for them.
    pub(super) fn new() -> Result<Self, ServeError> {
        let listen = |kind| {
            let what = "listening for signals";
            signal(kind).map_err(|error| ServeError::System { what, error })
        };
        let terminate = listen(SignalKind::terminate())?;
        let interrupt = listen(SignalKind::interrupt())?;
        // A write past the limit of a file's size (ulimit -f) would end the process; as long as
        // somebody listens, the write fails instead, and the log says that the disk is full.
        let file_size = listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Self {
            terminate,
            interrupt,
            _file_size: file_size,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What a shell reports of a process that SIGINT has ended.
const SECOND_SIGNAL_EXIT: i32 = 130;

const JOIN_PAUSE: Duration = Duration::from_millis(2);
