//! Gives a data folder the number of shards that its node is configured for, before any core reads
//! its log. The work blocks, so it has a thread of its own, which also keeps the folder: a start
//! that is given up leaves the folder locked until the thread has come to its end, at its next
//! operation on the disk.

use std::io;
use std::time::Duration;

use proto::peer::Peer;
use proto::time::Now;
use sd_notify::NotifyState;
use tokio::task;
use tokio::time::{MissedTickBehavior, interval};

use super::data_folder::DataFolder;
use super::node::{self, Node, Phase, wall_clock};
use super::prepare::ServeError;
use super::rise::{TELL_INTERVAL, TIMEOUT_EXTENSION_US};
use crate::config::Config;
use crate::rewrite::watch::{Progress, Watch};
use crate::rewrite::{Layout, RewriteError, Rewritten, reshard};

/// Gives `data` the number of shards that the node has. May be dropped at any moment.
pub(super) async fn fit(node: &Node, mut data: DataFolder) -> Result<DataFolder, ServeError> {
    let (from, to) = (data.manifest().shards, node.config.shards);
    if from == to {
        return Ok(data);
    }
    tracing::info!(
        from,
        to,
        "the log has another number of shards: rewriting it"
    );
    let failed = |error| ServeError::reshard(&node.config, error);
    let layout = layout(&node.config)?;
    let (sender, progress) = flume::bounded(1);
    let mut work = task::spawn_blocking(move || {
        let rewritten = rewrite(&data, &layout, &sender);
        (data, rewritten)
    });
    let mut ticks = interval(TELL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rewritten = loop {
        tokio::select! {
            biased;
            ended = &mut work => {
                let rewritten;
                (data, rewritten) = ended.map_err(|_| ServeError::WorkerLost)?;
                break rewritten.map_err(failed)?;
            }
            _ = ticks.tick() => tell(node, (from, to), &progress),
        }
    };
    let reloaded = data.reload();
    reloaded.map_err(|error| ServeError::data(&node.config, error))?;
    let Rewritten {
        generation,
        records,
        ..
    } = rewritten;
    tracing::info!(from, to, generation, records, "the log is rewritten");
    Ok(data)
}

/// Does the work, and ends it when nobody waits for it any more.
fn rewrite(
    data: &DataFolder,
    layout: &Layout,
    sender: &flume::Sender<Progress>,
) -> Result<Rewritten, RewriteError> {
    let mut tell = |progress: &Progress| match sender.try_send(*progress) {
        Ok(()) | Err(flume::TrySendError::Full(_)) => Ok(()),
        Err(flume::TrySendError::Disconnected(_)) => Err(io::ErrorKind::Interrupted.into()),
    };
    reshard(
        data.path(),
        data.manifest(),
        layout,
        &mut Watch::new(&mut tell),
    )
}

/// Tells how far it is: to `/readyz`, the log and the service manager.
fn tell(node: &Node, (from, to): (u8, u8), progress: &flume::Receiver<Progress>) {
    // The channel holds one: what is taken may be as old as the last tick.
    let Some(progress) = progress.drain().last() else {
        return;
    };
    let why = format!("re-sharding from {from} to {to}: {progress}");
    tracing::info!("{why}");
    node.set_phase(Phase::Preparing(why));
    // Outside systemd there is nobody to tell.
    let _ = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(TIMEOUT_EXTENSION_US)]);
}

fn layout(config: &Config) -> Result<Layout, ServeError> {
    let peer = Peer::derive(&config.ring_params(), &config.advertise, 0);
    let wall_ms = wall_clock().as_millis();
    Ok(Layout {
        node: peer.map_or(0, |peer| peer.id().high()),
        shards: config.shards,
        segment_bytes: config.segment_bytes,
        memory_max: config.memory_max,
        seed: node::seed()?,
        now: Now {
            mono: Duration::ZERO,
            wall_ms: u64::try_from(wall_ms).unwrap_or(u64::MAX),
        },
    })
}
