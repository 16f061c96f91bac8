//! One turn: one subject at one load for a few seconds, and the figures that come of it.
//!
//! Processor time of the servers is read right before the generator starts and right after it has
//! ended, so connecting and draining count as well: the same for every subject.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use loadgen::report::Summary;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::binaries::Binaries;
use crate::disk::DiskOutcome;
use crate::forecast::Forecast;
use crate::generator::Run;
use crate::log_watch::{LogCounters, SpaceWatch};
use crate::measure::{self, Figures, Measure};
use crate::minimal_client;
use crate::process::Program;
use crate::scenario::{GeneratorKind, Load, LoadKind, Scenario};
use crate::subject::Running;

/// What all turns of a scenario share.
#[derive(Debug)]
pub struct Turns<'a> {
    /// The programs.
    pub binaries: &'a Binaries,
    /// The scenario.
    pub scenario: &'a Scenario,
}

/// What a turn found out.
#[derive(Clone, PartialEq, Debug)]
pub struct Findings {
    /// Its figures.
    pub figures: Figures,
    /// In an open loop, why the generator was what limited it: then the figures are its own.
    pub limits: Vec<String>,
}

impl From<Figures> for Findings {
    fn from(figures: Figures) -> Self {
        Self {
            figures,
            limits: Vec::new(),
        }
    }
}

impl Turns<'_> {
    /// Lets `running` take its turn at `load`; files of the generator go to `folder`.
    ///
    /// # Errors
    /// When a process fails, a value is wrong or a request is not answered.
    pub fn take(
        &self,
        running: &mut Running,
        load: &Load,
        given: Given,
        folder: &Path,
    ) -> Result<Findings> {
        let figures = match (load.kind, load.generator) {
            (LoadKind::Idle, _) => self.idle(running)?,
            (LoadKind::Fill, _) => self.fill(running, load, folder)?,
            (LoadKind::Restart, _) => self.restart(running, load, folder)?,
            (LoadKind::Disk, _) => self.disk(running, load, given, folder)?,
            (LoadKind::Requests, GeneratorKind::Minimal) => self.minimal(running, load, folder)?,
            (LoadKind::Requests, GeneratorKind::Loadgen) => {
                return self.requests(running, load, given, folder);
            }
        };
        Ok(figures.into())
    }

    /// Writes every key of `load` once, so that reads of later turns find them.
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub fn preload(&self, running: &Running, load: &Load, folder: &Path) -> Result<()> {
        let mut run = self.run(running, load, Given::default())?;
        run.preload = true;
        run.warmup = Duration::ZERO;
        run.lookups = None;
        run.length = PRELOAD_RUN;
        run.carry_out(&self.binaries.loadgen, folder)?.faultless()?;
        Ok(())
    }

    fn requests(
        &self,
        running: &Running,
        load: &Load,
        given: Given,
        folder: &Path,
    ) -> Result<Findings> {
        let run = self.run(running, load, given)?;
        let forecast = self.forecast(running, load, folder)?;
        let admins = running.admins();
        let watch = load.watch.then(|| SpaceWatch::start(admins.clone()));
        let log_before = LogCounters::read(&admins)?;
        let refused = || Ok::<_, anyhow::Error>(running.metric(REFUSED_METRIC)?.unwrap_or(0.0));
        let refused_before = refused()?;
        let (before, start) = (running.cpu()?, Instant::now());
        let outcome = run.carry_out(&self.binaries.loadgen, folder)?;
        let cpu = running.cpu()?.since(&before);
        let seconds = start.elapsed().as_secs_f64();
        outcome.faultless()?;
        let refused = refused()? - refused_before;
        let mut figures = measure::of_requests(&outcome.summary, cpu, refused);
        if let (Some(before), Some(after)) = (log_before, LogCounters::read(&admins)?) {
            figures.extend(after.figures_since(&before, seconds));
        }
        figures.extend(
            forecast
                .into_iter()
                .flat_map(|it| it.figures(&outcome.summary)),
        );
        let ratio = watch.map(SpaceWatch::stop).transpose()?.flatten();
        figures.extend(ratio.map(|ratio| (Measure::SpaceRatio, ratio)));
        Ok(Findings {
            figures,
            limits: limits(&outcome.summary, given.rate.is_some()),
        })
    }

    /// The prediction for a ring whose lookups are held against one, once the ring has settled.
    fn forecast(&self, running: &Running, load: &Load, folder: &Path) -> Result<Option<Forecast>> {
        if !load.forecast {
            return Ok(None);
        }
        let ring = running.ring().context("only a ring has hops to predict")?;
        let forecast = Forecast::of(self.binaries, ring)?;
        forecast.await_settled(ring)?;
        fs::create_dir_all(folder)?;
        fs::write(
            folder.join(FORECAST_FILE),
            serde_json::to_vec_pretty(&forecast)?,
        )?;
        Ok(Some(forecast))
    }

    fn run(&self, running: &Running, load: &Load, given: Given) -> Result<Run> {
        let (targets, language) = running.targets(load.protocol, load.through)?;
        Ok(Run {
            targets,
            language,
            connections: load.connections,
            depth: load.depth,
            threads: load.threads,
            keys: load.keys,
            distribution: load.distribution,
            // Another seed for every turn: a value of an earlier one is told by its number.
            seed: given.turn,
            value_bytes: load.value_bytes,
            puts: load.puts,
            confirm: load.confirm,
            lookups: (load.lookups > 0.0).then(|| (load.lookups, load.lookup_mode.clone())),
            rate: given.rate,
            preload: false,
            length: self.length(),
            warmup: Duration::from_secs_f64(load.warmup),
            core: self.scenario.generator_core,
        })
    }

    fn idle(&self, running: &Running) -> Result<Figures> {
        let (before, start) = (running.cpu()?, Instant::now());
        std::thread::sleep(self.length());
        let cpu = running.cpu()?.since(&before);
        Ok(measure::of_idle(cpu, start.elapsed()))
    }

    fn fill(&self, running: &Running, load: &Load, folder: &Path) -> Result<Figures> {
        let account = || running.metric(ACCOUNTED_METRIC);
        let (before, accounted_before) = (running.resident()?, account()?);
        self.preload(running, load, folder)?;
        let resident = running.resident()?.saturating_sub(before) as f64;
        let accounted = account()?.map(|bytes| bytes - accounted_before.unwrap_or(0.0));
        if let Some(records) = running.metric(RECORDS_METRIC)? {
            ensure!(
                records == load.keys as f64,
                "{records} records after a fill of {}",
                load.keys
            );
        }
        Ok(measure::of_fill(
            load.keys,
            load.value_bytes,
            resident,
            accounted,
        ))
    }

    /// Kills the node, starts it again, and reads back what it had.
    fn restart(&self, running: &mut Running, load: &Load, folder: &Path) -> Result<Figures> {
        let start = running.restart()?;
        let records = running.metric(RECORDS_METRIC)?.unwrap_or(0.0);
        ensure!(
            records == load.keys as f64,
            "{records} records after a restart with {}",
            load.keys
        );
        let mut reads = self.run(running, load, Given::default())?;
        (reads.puts, reads.lookups) = (0.0, None);
        let read = reads.carry_out(&self.binaries.loadgen, folder)?;
        read.faultless()?;
        let told = |name| running.metric(name);
        let seconds = told(RECOVERY_SECONDS_METRIC)?.context("no recovery_seconds")?;
        let replayed = told(RECOVERY_RECORDS_METRIC)?.context("no recovery_records")?;
        let bytes = told(RECOVERY_BYTES_METRIC)?.context("no recovery_bytes")?;
        let recovery = Duration::from_secs_f64(seconds);
        Ok(measure::of_restart(start, recovery, replayed, bytes))
    }

    fn disk(&self, running: &Running, load: &Load, given: Given, folder: &Path) -> Result<Figures> {
        fs::create_dir_all(folder)?;
        let batch = given.batch.context("how many records has a batch?")?;
        let segments = running.segments().context("no disk")?;
        let program = Program::new(&self.binaries.bench)
            .args(["disk", "--folder"])
            .arg(segments)
            .args(["--batch-records", &batch.to_string()])
            .args(["--record-bytes", &record_bytes(load).to_string()])
            .args(["--in-flight", &load.in_flight.to_string()])
            .args(["--seconds", &self.scenario.seconds.to_string()])
            .on_core(self.scenario.server_core);
        let outcome: DiskOutcome = self.program(&program, "disk", folder)?;
        Ok(measure::of_disk(&outcome))
    }

    /// Runs one of this executable's programs that print what they did as JSON.
    fn program<T: DeserializeOwned + Serialize>(
        &self,
        program: &Program,
        name: &str,
        folder: &Path,
    ) -> Result<T> {
        let mut process = program.spawn(folder, name)?;
        process.finish(self.length() + SLACK)?;
        let outcome: T = serde_json::from_str(&process.stdout())?;
        process.discard_output();
        let file = folder.join(format!("{name}.json"));
        fs::write(file, serde_json::to_vec(&outcome)?)?;
        Ok(outcome)
    }

    fn minimal(&self, running: &Running, load: &Load, folder: &Path) -> Result<Figures> {
        fs::create_dir_all(folder)?;
        let (targets, _) = running.targets(load.protocol, load.through)?;
        let target = targets.first().context("no target")?;
        let before = running.cpu()?;
        let program = Program::new(&self.binaries.bench)
            .args(["minimal-client", "--target", target])
            .args(["--connections", &load.connections.to_string()])
            .args(["--depth", &load.depth.to_string()])
            .args(["--frame-bytes", &load.value_bytes.to_string()])
            .args(["--seconds", &self.scenario.seconds.to_string()])
            .on_core(self.scenario.generator_core);
        let outcome: minimal_client::Outcome = self.program(&program, "minimal", folder)?;
        let cpu = running.cpu()?.since(&before);
        let requests = outcome.completed as f64;
        Ok(Figures::from([
            (Measure::CpuPerRequest, cpu.as_secs_f64() * 1e6 / requests),
            (Measure::Rate, requests / outcome.wall_s),
            (Measure::GeneratorCpuPerRequest, outcome.cpu_per_request_us),
        ]))
    }

    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.scenario.seconds)
    }
}

/// What a turn is given by the turns before it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Given {
    /// Its number within the scenario.
    pub turn: u64,
    /// Requests a second of an open loop.
    pub rate: Option<f64>,
    /// Records of a batch for the disk program.
    pub batch: Option<u32>,
}

/// Bytes of a put of this load in the log.
fn record_bytes(load: &Load) -> u32 {
    (PUT_HEAD_BYTES + load.value_bytes).next_multiple_of(8)
}

/// The generator's verdict on itself. A closed loop is meant to keep it busy: there is none.
fn limits(summary: &Summary, is_open: bool) -> Vec<String> {
    if is_open {
        summary.bottleneck.reasons.clone()
    } else {
        Vec::new()
    }
}

/// A preload is a run whose measured part is as short as can be.
const PRELOAD_RUN: Duration = Duration::from_millis(200);

const SLACK: Duration = Duration::from_secs(30);

/// What was predicted for a turn, beside the generator's files.
const FORECAST_FILE: &str = "forecast.json";

/// What a put takes in the log beside its value: header, version, expiry and key.
const PUT_HEAD_BYTES: u32 = 80;

/// PUTs of the DHT API that the node refused: the API has no answer that says so.
const REFUSED_METRIC: &str = "chordite_api_failed_puts_total";

/// What the last recovery took, and what it read.
const RECOVERY_SECONDS_METRIC: &str = "chordite_recovery_seconds";
const RECOVERY_RECORDS_METRIC: &str = "chordite_recovery_records_total";
const RECOVERY_BYTES_METRIC: &str = "chordite_recovery_read_bytes_total";

/// The node's account of what its store takes, in bytes.
const ACCOUNTED_METRIC: &str = "chordite_store_used_bytes";

/// How many records it holds.
const RECORDS_METRIC: &str = "chordite_store_records";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_176_bytes_is_a_record_of_256() {
        let record = |value_bytes| {
            let load = format!("name = \"x\"\nvalue_bytes = {value_bytes}");
            record_bytes(&toml::from_str(&load).unwrap())
        };
        assert_eq!((record(176), record(169), record(1)), (256, 256, 88));
    }

    #[test]
    fn only_an_open_loop_carries_the_verdict() {
        let mut summary = Summary::default();
        summary.bottleneck.limited = true;
        summary.bottleneck.reasons.push("late".to_owned());
        assert_eq!(limits(&summary, true), ["late"]);
        assert!(limits(&summary, false).is_empty());
    }
}
