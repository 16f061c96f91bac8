//! The way of a node from its first thread to its service: the data folder is brought to the
//! number of shards, the cores read their logs, and when all of them have, the sockets open and the
//! ring is joined. Whoever asks meanwhile hears how far it is.

use std::fmt;
use std::future;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval_at};

use super::control::{Call, CoreReport};
use super::data_folder::DataFolder;
use super::node::{Node, Phase};
use super::prepare::{ServeError, bind_failed};
use super::reshard;
use super::worker::{Go, Recovered};
use crate::engine::wal::recovery::RecoveryReport;

/// What is left to be done before a node serves.
pub(crate) struct Rise {
    /// The data folder, held as long as the node lives.
    pub(crate) data: Option<DataFolder>,
    /// The words that its workers wait for.
    pub(crate) go: Vec<flume::Sender<Go>>,
    /// Their answers.
    pub(crate) recovered: flume::Receiver<Recovered>,
}

impl Rise {
    /// Does it. May be dropped at any moment: the node stops then.
    pub(crate) async fn run(&mut self, node: &Node) -> Result<(), ServeError> {
        if self.data.is_none() {
            tracing::warn!("data_dir is blank: no record survives the end of this process");
        }
        if let Some(data) = self.data.take() {
            self.data = Some(reshard::fit(node, data).await?);
        }
        let since = Instant::now();
        node.set_phase(Phase::Recovering(since));
        for (shard, worker) in (0..).zip(self.go.drain(..)) {
            let folder = self.data.as_ref().map(|data| data.shard_path(shard));
            let _ = worker.send(folder);
        }
        let reports = self.recover(node, since).await?;
        let recovery = since.elapsed();
        if let Some(data) = &self.data {
            tell_end(&reports, recovery);
            let removed = data.remove_others();
            removed.map_err(|error| ServeError::data(&node.config, error))?;
        }
        // Core 0 comes last: with it the ring is joined, and every core serves then.
        for core in (0..node.cores.len()).rev() {
            let opened = node.ask(core, Call::Open).await;
            let opened = opened.map_err(|_| ServeError::WorkerLost)?;
            opened.map_err(|(key, error)| bind_failed(&node.config, key, error))?;
        }
        node.set_phase(Phase::Serving { recovery });
        Ok(())
    }

    /// Waits until every core has its records, and tells how far they are.
    async fn recover(
        &self,
        node: &Node,
        since: Instant,
    ) -> Result<Vec<RecoveryReport>, ServeError> {
        let mut reports = Vec::new();
        let mut ticks = interval_at((since + TELL_INTERVAL).into(), TELL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while reports.len() < node.cores.len() {
            tokio::select! {
                biased;
                recovered = self.recovered.recv_async() => {
                    // Without an answer a worker has ended, which whoever waits for that hears.
                    let Ok(Recovered { shard, outcome }) = recovered else {
                        return future::pending().await;
                    };
                    let failed = |error| ServeError::shard(&node.config, shard, error);
                    let report = outcome.map_err(failed)?;
                    for warning in &report.warnings {
                        tracing::warn!(shard, "{warning}");
                    }
                    reports.push(report);
                }
                _ = ticks.tick() => {
                    if let Ok(cores) = node.reports().await {
                        tracing::info!("{}", Progress::of(&cores, since.elapsed()));
                    }
                    // Outside systemd there is nobody to tell.
                    let more = NotifyState::ExtendTimeoutUsec(TIMEOUT_EXTENSION_US);
                    let _ = sd_notify::notify(&[more]);
                }
            }
        }
        Ok(reports)
    }
}

/// How far a recovery is: the shard that is farthest from its end stands for all.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Progress {
    shard: usize,
    percent: u64,
    records: u64,
    mb_per_s: u64,
}

impl Progress {
    /// The progress of these cores, `elapsed` after they began.
    pub(crate) fn of(cores: &[CoreReport], elapsed: Duration) -> Self {
        let percent = |core: &CoreReport| {
            let RecoveryReport {
                bytes_read,
                bytes_total,
                ..
            } = core.recovery;
            (bytes_read * 100)
                .checked_div(bytes_total)
                .unwrap_or(100)
                .min(100)
        };
        let (shard, percent) = cores
            .iter()
            .map(percent)
            .enumerate()
            .min_by_key(|(_, percent)| *percent)
            .unwrap_or_default();
        let bytes: u64 = cores.iter().map(|core| core.recovery.bytes_read).sum();
        Self {
            shard,
            percent,
            records: cores.iter().map(|core| core.recovery.records).sum(),
            mb_per_s: mb_per_s(bytes, elapsed),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shard,
            percent,
            records,
            mb_per_s,
        } = self;
        write!(
            f,
            "recovering: shard {shard} at {percent} %, {records} records, {mb_per_s} MB/s"
        )
    }
}

fn tell_end(reports: &[RecoveryReport], elapsed: Duration) {
    let sum = |field: fn(&RecoveryReport) -> u64| reports.iter().map(field).sum::<u64>();
    let bytes = sum(|report| report.bytes_read);
    let seconds = elapsed.as_secs_f64();
    tracing::info!(
        records = sum(|report| report.records),
        bytes,
        mb_per_s = mb_per_s(bytes, elapsed),
        seconds = format_args!("{seconds:.2}"),
        torn_bytes = sum(|report| report.torn_bytes),
        warnings = sum(|report| report.warnings.len() as u64),
        "recovered"
    );
}

/// Millions of bytes a second; 0 while nothing can be said.
fn mb_per_s(bytes: u64, elapsed: Duration) -> u64 {
    let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    bytes.checked_div(us).unwrap_or(0)
}

/// Time between two lines about the progress, and before the first.
pub(super) const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// How long the service manager waits for the next word.
pub(super) const TIMEOUT_EXTENSION_US: u32 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn core(bytes_read: u64, bytes_total: u64, records: u64) -> CoreReport {
        let recovery = RecoveryReport {
            bytes_read,
            bytes_total,
            records,
            ..RecoveryReport::default()
        };
        CoreReport {
            recovery,
            ..CoreReport::default()
        }
    }

    #[test]
    fn the_slowest_shard_stands_for_all() {
        let cores = [
            core(90, 100, 7),
            core(45_000_000, 100_000_000, 5),
            core(0, 0, 0),
        ];
        let progress = Progress::of(&cores, Duration::from_millis(100));
        assert_eq!(
            progress.to_string(),
            "recovering: shard 1 at 45 %, 12 records, 450 MB/s"
        );
        let nothing = Progress::of(&[], Duration::ZERO);
        assert!(nothing.to_string().contains("0 records, 0 MB/s"));
    }
}
