//! One turn: one subject at one load for a few seconds, and the figures that come of it.
//!
//! Processor time of the servers is read right before the generator starts and right after it has
//! ended, so connecting and draining count as well: the same for every subject.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use loadgen::report::Summary;

use crate::binaries::Binaries;
use crate::generator::Run;
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
    /// Lets `running` take its turn at `load`; files of the generator go to `folder`. `rate` is
    /// that of an open loop.
    ///
    /// # Errors
    /// When a process fails, a value is wrong or a request is not answered.
    pub fn take(
        &self,
        running: &Running,
        load: &Load,
        rate: Option<f64>,
        folder: &Path,
    ) -> Result<Findings> {
        let figures = match (load.kind, load.generator) {
            (LoadKind::Idle, _) => self.idle(running)?,
            (LoadKind::Fill, _) => self.fill(running, load, folder)?,
            (LoadKind::Requests, GeneratorKind::Minimal) => self.minimal(running, load, folder)?,
            (LoadKind::Requests, GeneratorKind::Loadgen) => {
                let run = self.run(running, load, rate)?;
                let before = running.cpu()?;
                let outcome = run.carry_out(&self.binaries.loadgen, folder)?;
                let cpu = running.cpu()?.since(&before);
                outcome.faultless()?;
                return Ok(Findings {
                    figures: measure::of_requests(&outcome.summary, cpu),
                    limits: limits(&outcome.summary, rate.is_some()),
                });
            }
        };
        Ok(figures.into())
    }

    /// Writes every key of `load` once, so that reads of later turns find them.
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub fn preload(&self, running: &Running, load: &Load, folder: &Path) -> Result<()> {
        let mut run = self.run(running, load, None)?;
        run.preload = true;
        run.lookups = None;
        run.length = PRELOAD_RUN;
        run.carry_out(&self.binaries.loadgen, folder)?.faultless()?;
        Ok(())
    }

    fn run(&self, running: &Running, load: &Load, rate: Option<f64>) -> Result<Run> {
        let (targets, language) = running.targets(load.protocol, load.through)?;
        Ok(Run {
            targets,
            language,
            connections: load.connections,
            depth: load.depth,
            threads: load.threads,
            keys: load.keys,
            value_bytes: load.value_bytes,
            puts: load.puts,
            confirm: load.confirm,
            lookups: (load.lookups > 0.0).then(|| (load.lookups, load.lookup_mode.clone())),
            rate,
            preload: false,
            length: self.length(),
            warmup: Duration::ZERO,
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
        let mut process = program.spawn(folder, "minimal")?;
        process.finish(self.length() + SLACK)?;
        let outcome: minimal_client::Outcome = serde_json::from_str(&process.stdout())?;
        process.discard_output();
        fs::write(folder.join("minimal.json"), serde_json::to_vec(&outcome)?)?;
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

/// The node's account of what its store takes, in bytes.
const ACCOUNTED_METRIC: &str = "chordite_store_used_bytes";

/// How many records it holds.
const RECORDS_METRIC: &str = "chordite_store_records";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_open_loop_carries_the_verdict() {
        let mut summary = Summary::default();
        summary.bottleneck.limited = true;
        summary.bottleneck.reasons.push("late".to_owned());
        assert_eq!(limits(&summary, true), ["late"]);
        assert!(limits(&summary, false).is_empty());
    }
}
