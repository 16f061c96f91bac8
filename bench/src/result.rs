//! A result: a folder with `result.json`, the files of each load generator run, and a README.
//!
//! The schema is numbered and only grows; `results/` only grows too: a folder that exists is never
//! written again, a second run of the day gets a number.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::machine::{Machine, Revision};
use crate::measure::{Figures, Measure};
use crate::ratio;
use crate::scenario::{Cell, Goal, Scenario};
use crate::stats::Spread;
use crate::verdict::{Bound, Verdict};

/// What a scenario found out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ResultFile {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The scenario's name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// The command that made it.
    pub command: String,
    /// When it began, UTC.
    pub started: String,
    /// Of the sources.
    pub revision: Revision,
    /// Where.
    pub machine: Machine,
    /// Every figure of every cell.
    pub measurements: Vec<Measurement>,
    /// What became of each goal.
    pub goals: Vec<GoalOutcome>,
    /// What has to be known to read the figures; missing from results of earlier builds.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// What took turns, a line each: settings, fsync, the file system of the data; missing from
    /// results of earlier builds.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// What was left out on this machine, and why.
    #[serde(default)]
    pub skipped: Vec<String>,
}

/// Why the figures of one turn say less than they seem to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Note {
    /// Subject and load.
    pub cell: Cell,
    /// Which turn of that cell, from 1.
    pub round: u32,
    /// A sentence.
    pub text: String,
}

/// One measure of one cell over all rounds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// Subject and load.
    pub cell: Cell,
    /// Its name.
    pub name: Measure,
    /// Its unit.
    pub unit: String,
    /// Median and range.
    pub value: Spread,
    /// The figure of each round.
    pub rounds: Vec<f64>,
}

/// A goal and what became of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GoalOutcome {
    /// The goal in words.
    pub name: String,
    /// Of which measure.
    pub measure: Measure,
    /// Measured where.
    pub of: Cell,
    /// Divided by the same measure there.
    pub over: Option<Cell>,
    /// The unit of `value`.
    pub unit: String,
    /// The figure, or the ratio of pairs of rounds; `None` when it was not measured.
    pub value: Option<Spread>,
    /// The bound; `None` when only the figure is wanted.
    pub bound: Option<Bound>,
    /// The verdict; `None` without a bound.
    pub verdict: Option<Verdict>,
}

/// The figures of all rounds, by cell.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rounds {
    cells: BTreeMap<Cell, BTreeMap<Measure, Vec<f64>>>,
    notes: Vec<Note>,
    subjects: Vec<String>,
    skipped: BTreeMap<String, String>,
}

impl Rounds {
    /// Adds the figures of one turn.
    pub fn add(&mut self, cell: &Cell, figures: &Figures) {
        let measures = self.cells.entry(cell.clone()).or_default();
        for (measure, figure) in figures {
            measures.entry(*measure).or_default().push(*figure);
        }
    }

    /// Adds a note on the turn of `cell` in `round`.
    pub fn note(&mut self, cell: &Cell, round: u32, text: String) {
        let cell = cell.clone();
        self.notes.push(Note { cell, round, text });
    }

    /// The notes on all turns.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Adds the line that tells what a subject is, once.
    pub fn describe(&mut self, line: &str) {
        if !self.subjects.iter().any(|known| known == line) {
            self.subjects.push(line.to_owned());
        }
    }

    /// The lines of all subjects.
    #[must_use]
    pub fn subjects(&self) -> &[String] {
        &self.subjects
    }

    /// Leaves the subject called `name` out.
    pub fn skip(&mut self, name: &str, reason: String) {
        self.skipped.insert(name.to_owned(), reason);
    }

    /// Whether the subject called `name` is left out.
    #[must_use]
    pub fn is_skipped(&self, name: &str) -> bool {
        self.skipped.contains_key(name)
    }

    /// Why subjects were left out.
    #[must_use]
    pub fn skipped(&self) -> Vec<String> {
        self.skipped.values().cloned().collect()
    }

    /// All figures of one measure of one cell, in the order of rounds.
    #[must_use]
    pub fn of(&self, cell: &Cell, measure: Measure) -> &[f64] {
        let measures = self.cells.get(cell);
        let figures = measures.and_then(|measures| measures.get(&measure));
        figures.map_or(&[], Vec::as_slice)
    }

    /// Every measure of every cell.
    #[must_use]
    pub fn measurements(&self) -> Vec<Measurement> {
        let mut measurements = Vec::new();
        for (cell, measures) in &self.cells {
            for (name, rounds) in measures {
                if let Some(value) = Spread::of(rounds) {
                    measurements.push(Measurement {
                        cell: cell.clone(),
                        name: *name,
                        unit: name.unit().to_owned(),
                        value,
                        rounds: rounds.clone(),
                    });
                }
            }
        }
        measurements
    }

    /// What became of `goal`.
    #[must_use]
    pub fn judge(&self, goal: &Goal) -> GoalOutcome {
        let figures = self.of(&goal.of, goal.measure);
        let (value, unit) = match &goal.over {
            None => (Spread::of(figures), goal.measure.unit()),
            Some(over) => (ratio::of_rounds(figures, self.of(over, goal.measure)), "×"),
        };
        let bound = goal.bound();
        let mut cells = std::iter::once(&goal.of).chain(&goal.over);
        let without = match cells.any(|cell| self.is_skipped(&cell.subject)) {
            true => Verdict::Skipped,
            false => Verdict::Unmeasured,
        };
        let verdict = bound.map(|bound| value.map_or(without, |value| bound.judge(value.median)));
        GoalOutcome {
            name: goal.name.clone(),
            measure: goal.measure,
            of: goal.of.clone(),
            over: goal.over.clone(),
            unit: unit.to_owned(),
            value,
            bound,
            verdict,
        }
    }

    /// What became of all goals of `scenario`.
    #[must_use]
    pub fn outcomes(&self, scenario: &Scenario) -> Vec<GoalOutcome> {
        scenario.goal.iter().map(|goal| self.judge(goal)).collect()
    }
}

impl ResultFile {
    /// Reads the result in `folder`.
    ///
    /// # Errors
    /// When there is none, or one of another schema.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let path = folder.join(RESULT_FILE);
        let text = fs::read(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        let odd = |what: String| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {what}", path.display()),
            )
        };
        let result: Self = serde_json::from_slice(&text).map_err(|error| odd(error.to_string()))?;
        if result.schema != SCHEMA {
            return Err(odd(format!("schema {}, expected {SCHEMA}", result.schema)));
        }
        Ok(result)
    }

    /// Writes it into `folder`.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        fs::write(folder.join(RESULT_FILE), text)
    }

    /// How many goals have a bound.
    #[must_use]
    pub fn judged(&self) -> usize {
        self.verdicts().count()
    }

    /// How many of them were missed or could not be judged.
    #[must_use]
    pub fn misses(&self) -> usize {
        self.verdicts()
            .filter(|verdict| *verdict != Verdict::Met)
            .count()
    }

    fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        let verdicts = self.goals.iter().filter_map(|goal| goal.verdict);
        verdicts.filter(|verdict| *verdict != Verdict::Skipped)
    }
}

/// Makes a new folder `DATE-NAME-REV` below `parent`, with a number when there is one already.
///
/// # Errors
/// When it cannot be made.
pub fn new_folder(
    parent: &Path,
    date: &str,
    name: &str,
    revision: &Revision,
) -> io::Result<PathBuf> {
    fs::create_dir_all(parent)?;
    let plain = format!("{date}-{name}-{}", revision.short());
    let mut folder = parent.join(&plain);
    let mut number = 2;
    loop {
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                folder = parent.join(format!("{plain}-{number}"));
                number += 1;
            }
            made => return made.map(|()| folder),
        }
    }
}

/// The schema that this build writes.
pub const SCHEMA: u32 = 1;

/// File name of the figures in the folder of a result.
pub const RESULT_FILE: &str = "result.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(name: &str) -> Cell {
        Cell::try_from(name.to_owned()).unwrap()
    }

    fn rounds() -> Rounds {
        let mut rounds = Rounds::default();
        for (node, echo) in [(2.0, 1.0), (9.0, 3.0), (4.0, 2.0)] {
            rounds.add(&cell("node/get"), &Figures::from([(Measure::P50, node)]));
            rounds.add(&cell("echo/get"), &Figures::from([(Measure::P50, echo)]));
        }
        rounds
    }

    fn goal(text: &str) -> Goal {
        let head = "name = \"g\"\nmeasure = \"p50\"\nof = \"node/get\"\n";
        toml::from_str(&format!("{head}{text}")).unwrap()
    }

    #[test]
    fn goals_judge_the_median_of_ratios_of_rounds() {
        let outcome = rounds().judge(&goal("over = \"echo/get\"\nat_most = 1.0"));
        assert_eq!(outcome.value.unwrap().median, 2.0);
        assert_eq!(outcome.verdict.unwrap().to_string(), "missed by 100 %");
        let alone = rounds().judge(&goal("at_most = 4.0"));
        assert_eq!(alone.verdict, Some(Verdict::Met));
        assert_eq!(alone.unit, "µs");
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let outcome = Rounds::default().judge(&goal("at_least = 1.0"));
        assert_eq!(outcome.verdict, Some(Verdict::Unmeasured));
    }

    #[test]
    fn a_goal_of_what_was_left_out_is_skipped() {
        let mut rounds = rounds();
        rounds.skip("redis", "redis is not installed".to_owned());
        let outcome = rounds.judge(&goal("over = \"redis/get\"\nat_least = 1.0"));
        assert_eq!(outcome.verdict, Some(Verdict::Skipped));
        assert_eq!(rounds.skipped(), ["redis is not installed"]);
    }

    #[test]
    fn a_result_survives_its_file_and_folders_are_never_reused() {
        let parent = tempfile::tempdir().unwrap();
        let revision = Revision {
            commit: "0123456789".to_owned(),
            modified: false,
        };
        let make = || new_folder(parent.path(), "2026-01-02", "floor", &revision).unwrap();
        let (first, second) = (make(), make());
        assert!(first.ends_with("2026-01-02-floor-0123456"));
        assert!(second.ends_with("2026-01-02-floor-0123456-2"));
        let mut result = ResultFile {
            schema: SCHEMA,
            name: "floor".to_owned(),
            about: "x".to_owned(),
            command: "bench run floor".to_owned(),
            started: "2026-01-02T00:00:00Z".to_owned(),
            revision,
            machine: Machine::here(),
            measurements: rounds().measurements(),
            goals: vec![
                rounds().judge(&goal("at_most = 4.0")),
                rounds().judge(&goal("at_most = 1.0")),
                rounds().judge(&goal("")),
            ],
            notes: vec![],
            subjects: vec![],
            skipped: vec![],
        };
        assert_eq!((result.misses(), result.judged()), (1, 2));
        result.write(&first).unwrap();
        assert_eq!(ResultFile::read(&first).unwrap(), result);
        result.schema += 1;
        result.write(&second).unwrap();
        assert!(ResultFile::read(&second).is_err());
    }
}
