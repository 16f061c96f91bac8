//! Carries out a scenario: starts its subjects, lets them take turns, writes the result.
//!
//! In every round each load is done by one subject after the other, so that both sides of a ratio
//! are seconds apart; odd rounds go through the subjects backwards, so that none is always first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::binaries::{self, Binaries};
use crate::calendar::Moment;
use crate::machine::{Machine, Revision};
use crate::measure::{Figures, Measure};
use crate::report;
use crate::result::{self, ResultFile, Rounds, SCHEMA};
use crate::scenario::{Cell, Load, Scenario, Subject, SubjectKind};
use crate::steps::Steps;
use crate::subject::{self, Running};
use crate::turn::{Findings, Given, Turns};

/// What whoever starts a scenario may change about it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RunOptions {
    /// Parent of the result's folder; `results/` of the sources when left out.
    pub out: Option<PathBuf>,
    /// Rounds instead of the scenario's own.
    pub rounds: Option<u32>,
    /// Seconds of a turn instead of the scenario's own.
    pub seconds: Option<f64>,
    /// The command line that asks for it, for the result.
    pub command: String,
}

/// Carries out the scenario called `name` (or in the file of that name) and returns its result and
/// the folder that holds it.
///
/// # Errors
/// When the scenario cannot be read, a process fails, or an answer is wrong.
pub fn scenario(name: &str, options: &RunOptions) -> Result<(ResultFile, PathBuf)> {
    let mut scenario = load_scenario(name)?;
    scenario.rounds = options.rounds.unwrap_or(scenario.rounds);
    scenario.seconds = options.seconds.unwrap_or(scenario.seconds);
    let binaries = Binaries::ready()?;
    let (revision, started) = (Revision::of(binaries::source_root()), Moment::now());
    let parent = match &options.out {
        Some(parent) => parent.clone(),
        None => binaries::source_root().join("results"),
    };
    // The work folder holds private keys and logs: they are no part of a result.
    let work = work_folder(&binaries, "run-")?;
    let files = work.path().join("runs");
    let rounds = Round::all(&scenario, &binaries, work.path(), &files);
    let rounds = match rounds {
        Ok(rounds) => rounds,
        Err(error) => return Err(error.context(kept(work))),
    };
    let folder = result::new_folder(&parent, &started.date(), &scenario.name, &revision)?;
    if files.exists() {
        copy_folder(&files, &folder.join("runs"))?;
    }
    let result = ResultFile {
        schema: SCHEMA,
        name: scenario.name.clone(),
        about: scenario.about.clone(),
        command: options.command.clone(),
        started: started.stamp(),
        revision,
        machine: Machine::here(),
        measurements: rounds.measurements(),
        goals: rounds.outcomes(&scenario),
        notes: rounds.notes().to_vec(),
        subjects: rounds.subjects().to_vec(),
        skipped: rounds.skipped(),
    };
    result.write(&folder)?;
    fs::write(folder.join("README.md"), report::page(&result))?;
    Ok((result, folder))
}

/// The scenarios stored beside the crate.
///
/// # Errors
/// When the folder cannot be read.
pub fn stored() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder())? {
        let path = entry?.path();
        if let Some(name) = path.file_stem() {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The state of a scenario under way.
struct Round<'a> {
    turns: Turns<'a>,
    work: &'a Path,
    files: &'a Path,
    running: BTreeMap<&'a str, Running>,
    starts: u32,
    taken: u64,
    rounds: Rounds,
}

impl<'a> Round<'a> {
    fn all(
        scenario: &'a Scenario,
        binaries: &'a Binaries,
        work: &'a Path,
        files: &'a Path,
    ) -> Result<Rounds> {
        let mut round = Self {
            turns: Turns { binaries, scenario },
            work,
            files,
            running: BTreeMap::new(),
            starts: 0,
            taken: 0,
            rounds: Rounds::default(),
        };
        let per_round = scenario
            .load
            .iter()
            .map(|load| scenario.subjects_of(load).count());
        let turns = per_round.sum::<usize>() as u64 * u64::from(scenario.rounds);
        let steps = Steps::new(turns + scenario.subject.len() as u64);
        for subject in &scenario.subject {
            if let Some(reason) = subject::absence(subject) {
                steps.next(format!("left out: {reason}"));
                round.rounds.skip(&subject.name, reason);
            }
        }
        for subject in scenario.subject.iter().filter(|subject| !subject.fresh) {
            if round.rounds.is_skipped(&subject.name) {
                continue;
            }
            steps.next(format!("start {}", subject.name));
            let running = round.start(subject)?;
            round.prepare(subject, &running)?;
            round.running.insert(&subject.name, running);
        }
        for number in 1..=scenario.rounds {
            round.one(number, &steps)?;
        }
        for (name, running) in std::mem::take(&mut round.running) {
            running.stop().with_context(|| format!("stop {name}"))?;
        }
        Ok(round.rounds)
    }

    fn one(&mut self, number: u32, steps: &Steps) -> Result<()> {
        let scenario = self.turns.scenario;
        let mut found_before: BTreeMap<Cell, Figures> = BTreeMap::new();
        for load in &scenario.load {
            let mut subjects: Vec<&'a Subject> = scenario.subjects_of(load).collect();
            subjects.retain(|subject| !self.rounds.is_skipped(&subject.name));
            if number.is_multiple_of(2) {
                subjects.reverse();
            }
            for subject in subjects {
                let cell = Cell {
                    subject: subject.name.clone(),
                    load: load.name.clone(),
                };
                steps.next(format!("round {number}: {} at {}", subject.name, load.name));
                let folder = format!("{}-{}-{number}", subject.name, load.name);
                self.taken += 1;
                let given = Given {
                    turn: self.taken,
                    rate: rate_of(&cell, load, &found_before)?,
                    batch: batch_of(load, &found_before)?,
                };
                let turn = self.turn(subject, load, given, &self.files.join(folder));
                let found = turn.with_context(|| format!("{} at {}", subject.name, load.name))?;
                self.rounds.add(&cell, &found.figures);
                found_before.insert(cell.clone(), found.figures);
                for reason in found.limits {
                    self.rounds.note(&cell, number, reason);
                }
            }
        }
        Ok(())
    }

    fn turn(
        &mut self,
        subject: &'a Subject,
        load: &Load,
        given: Given,
        files: &Path,
    ) -> Result<Findings> {
        if let Some(running) = self.running.get_mut(subject.name.as_str()) {
            return self.turns.take(running, load, given, files);
        }
        let mut running = self.start(subject)?;
        if load.is_preloaded() {
            self.write_keys(subject, &running, load)?;
        }
        let found = self.turns.take(&mut running, load, given, files)?;
        running.stop()?;
        self.clear(subject)?;
        Ok(found)
    }

    fn start(&mut self, subject: &Subject) -> Result<Running> {
        self.starts += 1;
        let folder = self.folder_of(subject);
        let core = self.turns.scenario.server_core;
        let running = Running::start(self.turns.binaries, &folder, subject, core)
            .with_context(|| format!("start {}", subject.name))?;
        self.rounds.describe(running.about());
        Ok(running)
    }

    /// Of its last start.
    fn folder_of(&self, subject: &Subject) -> PathBuf {
        self.work.join(format!("{}-{}", subject.name, self.starts))
    }

    /// Removes the files of a subject that has ended: logs of many turns would fill the disk.
    fn clear(&self, subject: &Subject) -> Result<()> {
        Ok(fs::remove_dir_all(self.folder_of(subject))?)
    }

    /// Writes the keys that the loads of `subject` read, once for each set of keys.
    fn prepare(&self, subject: &Subject, running: &Running) -> Result<()> {
        let scenario = self.turns.scenario;
        let mut written = Vec::new();
        for load in &scenario.load {
            let taken = scenario
                .subjects_of(load)
                .any(|other| other.name == subject.name);
            let keys = (load.keys, load.value_bytes);
            if !taken || !load.is_preloaded() || written.contains(&keys) {
                continue;
            }
            self.write_keys(subject, running, load)?;
            written.push(keys);
        }
        Ok(())
    }

    fn write_keys(&self, subject: &Subject, running: &Running, load: &Load) -> Result<()> {
        if matches!(subject.kind, SubjectKind::Echo | SubjectKind::Disk) {
            return Ok(());
        }
        let folder = format!("preload-{}-{}", subject.name, load.name);
        self.turns
            .preload(running, load, &self.work.join(folder))
            .with_context(|| format!("preload of {}", subject.name))
    }
}

/// The rate of an open loop: given, or half of what another load reached in this round.
fn rate_of(cell: &Cell, load: &Load, found: &BTreeMap<Cell, Figures>) -> Result<Option<f64>> {
    let Some(other) = &load.half_of else {
        return Ok(load.rate);
    };
    let other_cell = Cell {
        subject: cell.subject.clone(),
        load: other.clone(),
    };
    let figures = found.get(&other_cell);
    let reached = figures.and_then(|figures| figures.get(&Measure::Rate));
    ensure!(reached.is_some(), "{other} comes before {}", load.name);
    Ok(reached.map(|rate| rate / 2.0))
}

/// Records of a batch of a disk load: given, or the mean of another cell in this round.
fn batch_of(load: &Load, found: &BTreeMap<Cell, Figures>) -> Result<Option<u32>> {
    let Some(other) = &load.batch_of else {
        return Ok(load.batch);
    };
    let figures = found.get(other);
    let mean = figures.and_then(|figures| figures.get(&Measure::RecordsPerBatch));
    let Some(mean) = mean else {
        bail!(
            "{} told no size of its batches before {}",
            String::from(other.clone()),
            load.name
        );
    };
    Ok(Some(mean.round().max(1.0) as u32))
}

/// A folder for private keys, data and logs of processes, removed when it is dropped. It lies in
/// the build's target folder: that is on a disk, which a temporary folder often is not.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn work_folder(binaries: &Binaries, prefix: &str) -> Result<tempfile::TempDir> {
    let target = binaries.bench.ancestors().nth(2).unwrap_or(Path::new("."));
    let parent = target.join("bench-work");
    fs::create_dir_all(&parent).with_context(|| parent.display().to_string())?;
    Ok(tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?)
}

fn load_scenario(name: &str) -> Result<Scenario> {
    let path = match name.ends_with(".toml") {
        true => PathBuf::from(name),
        false => folder().join(format!("{name}.toml")),
    };
    let text = fs::read_to_string(&path).with_context(|| {
        let stored = stored().unwrap_or_default().join(", ");
        format!("scenario {} (there are: {stored})", path.display())
    })?;
    Scenario::parse(&text).with_context(|| path.display().to_string())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// Copies the folders in `from` and the files in them.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for run in fs::read_dir(from)? {
        let run = run?;
        let target = to.join(run.file_name());
        fs::create_dir_all(&target)?;
        for file in fs::read_dir(run.path())? {
            let file = file?;
            fs::copy(file.path(), target.join(file.file_name()))?;
        }
    }
    Ok(())
}

/// After a failure the logs are worth more than a clean disk.
pub(crate) fn kept(work: tempfile::TempDir) -> String {
    format!("logs of all processes are in {}", work.keep().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_needs_the_other_load_first() {
        let load = "name = \"tail\"\nhalf_of = \"max\"";
        let load: Load = toml::from_str(load).unwrap();
        let cell = |name: &str| Cell::try_from(name.to_owned()).unwrap();
        assert!(rate_of(&cell("node/tail"), &load, &BTreeMap::new()).is_err());
        let at = |rate| Figures::from([(Measure::Rate, rate)]);
        let found = BTreeMap::from([(cell("node/max"), at(9_000.0)), (cell("echo/max"), at(1.0))]);
        let rate = rate_of(&cell("node/tail"), &load, &found).unwrap();
        assert_eq!(rate, Some(4_500.0));
    }

    #[test]
    fn batches_are_as_large_as_those_before_on_average() {
        let load: Load = toml::from_str("name = \"raw\"\nbatch_of = \"node/put\"").unwrap();
        assert!(batch_of(&load, &BTreeMap::new()).is_err());
        let cell = Cell::try_from("node/put".to_owned()).unwrap();
        let of = |mean| {
            let figures = Figures::from([(Measure::RecordsPerBatch, mean)]);
            batch_of(&load, &BTreeMap::from([(cell.clone(), figures)])).unwrap()
        };
        assert_eq!((of(0.2), of(36.6)), (Some(1), Some(37)));
    }
}
