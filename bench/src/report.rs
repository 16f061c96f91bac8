//! Results as pages for people: one result, or two side by side.
//!
//! Everything is Markdown that lines up in a terminal too; it computes nothing but the ratios of a
//! comparison.

use std::fmt::Write;

use crate::measure::Measure;
use crate::result::{GoalOutcome, Measurement, ResultFile};
use crate::stats::Spread;
use crate::table::{Table, figure};

/// One result as Markdown: where it comes from, goals, figures.
#[must_use]
pub fn page(result: &ResultFile) -> String {
    let mut page = head(result);
    for line in &result.subjects {
        let _ = writeln!(page, "- {line}");
    }
    for line in &result.skipped {
        let _ = writeln!(page, "- left out: {line}");
    }
    if !result.goals.is_empty() {
        let _ = write!(page, "\n## Goals\n\n{}", goals(&result.goals));
    }
    let _ = write!(
        page,
        "\n## Figures\n\nMedian and range of all rounds.\n\n{}",
        figures(result)
    );
    if !result.notes.is_empty() {
        page.push_str("\n## Notes\n\n");
    }
    for note in &result.notes {
        let cell = String::from(note.cell.clone());
        let _ = writeln!(page, "- {cell}, round {}: {}", note.round, note.text);
    }
    page
}

/// The goals of a result as a table.
#[must_use]
pub fn goals(goals: &[GoalOutcome]) -> Table {
    let mut table = Table::new(&["goal", "measured", "range", "wanted", "verdict"]);
    for goal in goals {
        let median = goal
            .value
            .map(|value| format!("{} {}", figure(value.median), goal.unit));
        table.row([
            goal.name.clone(),
            median.unwrap_or_default(),
            goal.value.map(range).unwrap_or_default(),
            goal.bound
                .map(|bound| bound.to_string())
                .unwrap_or_default(),
            goal.verdict
                .map(|verdict| verdict.to_string())
                .unwrap_or_default(),
        ]);
    }
    table
}

/// Two results as Markdown: every figure that both have, and the second over the first.
///
/// The two did not take turns: the ratio tells of the machine's mood too, and the page says so.
#[must_use]
pub fn comparison(a: &ResultFile, b: &ResultFile) -> String {
    let mut table = Table::new(&["where", "what", "unit", "A", "B", "B / A"]);
    for one in &a.measurements {
        let same = |other: &&Measurement| other.cell == one.cell && other.name == one.name;
        let Some(other) = b.measurements.iter().find(same) else {
            continue;
        };
        table.row([
            String::from(one.cell.clone()),
            one.name.name().to_owned(),
            one.unit.clone(),
            figure(one.value.median),
            figure(other.value.median),
            figure(other.value.median / one.value.median),
        ]);
    }
    let mut page = String::new();
    let _ = writeln!(page, "A: {}\nB: {}\n", source(a), source(b));
    if table.is_empty() {
        page.push_str("The two have no figure in common.\n");
        return page;
    }
    if a.machine != b.machine {
        page.push_str("The machines differ: these ratios say nothing of the programs.\n\n");
    }
    let _ = write!(
        page,
        "{table}\nA and B did not take turns: compare the ratios of goals first.\n\n{}",
        goal_comparison(a, b)
    );
    page
}

fn goal_comparison(a: &ResultFile, b: &ResultFile) -> Table {
    let mut table = Table::new(&["goal", "A", "B", "wanted", "verdict A", "verdict B"]);
    let median = |goal: &GoalOutcome| goal.value.map(|value| figure(value.median));
    let verdict = |goal: &GoalOutcome| goal.verdict.map(|verdict| verdict.to_string());
    for one in &a.goals {
        if let Some(other) = b.goals.iter().find(|other| other.name == one.name) {
            table.row([
                one.name.clone(),
                median(one).unwrap_or_default(),
                median(other).unwrap_or_default(),
                one.bound.map(|bound| bound.to_string()).unwrap_or_default(),
                verdict(one).unwrap_or_default(),
                verdict(other).unwrap_or_default(),
            ]);
        }
    }
    table
}

fn head(result: &ResultFile) -> String {
    format!(
        "# {}\n\n{}\n\n- command: `{}`\n- started: {}\n- revision: {}\n- machine: {}\n",
        result.name,
        result.about,
        result.command,
        result.started,
        revision(result),
        result.machine.line(),
    )
}

fn source(result: &ResultFile) -> String {
    format!("{}, {}, {}", result.name, result.started, revision(result))
}

fn revision(result: &ResultFile) -> String {
    let modified = if result.revision.modified {
        " with uncommitted changes"
    } else {
        ""
    };
    format!("{}{modified}", result.revision.short())
}

fn figures(result: &ResultFile) -> Table {
    let mut table = Table::new(&["where", "what", "median", "range", "unit", "note"]);
    for measurement in &result.measurements {
        // The inverse of the processor time says nothing new on a page.
        if measurement.name == Measure::RequestsPerCpuSecond {
            continue;
        }
        let has_note = result
            .notes
            .iter()
            .any(|note| note.cell == measurement.cell);
        let note = if has_note { "see notes" } else { "" };
        table.row([
            String::from(measurement.cell.clone()),
            measurement.name.name().to_owned(),
            figure(measurement.value.median),
            range(measurement.value),
            measurement.unit.clone(),
            note.to_owned(),
        ]);
    }
    table
}

fn range(value: Spread) -> String {
    format!("{} – {}", figure(value.low), figure(value.high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Machine, Revision};
    use crate::measure::Figures;
    use crate::result::{Note, Rounds, SCHEMA};
    use crate::scenario::{Cell, Goal};

    fn result(p50: f64) -> ResultFile {
        let mut rounds = Rounds::default();
        let cell = Cell::try_from("node/get".to_owned()).unwrap();
        rounds.add(&cell, &Figures::from([(Measure::P50, p50)]));
        let goal = "name = \"fast\"\nmeasure = \"p50\"\nof = \"node/get\"\nat_most = 2.0";
        let goal: Goal = toml::from_str(goal).unwrap();
        ResultFile {
            schema: SCHEMA,
            name: "x".to_owned(),
            about: "About x.".to_owned(),
            command: "bench run x".to_owned(),
            started: "2026-01-02T00:00:00Z".to_owned(),
            revision: Revision {
                commit: "0123456789".to_owned(),
                modified: true,
            },
            machine: Machine::here(),
            measurements: rounds.measurements(),
            goals: vec![rounds.judge(&goal)],
            notes: vec![Note {
                cell,
                round: 2,
                text: "the generator was late".to_owned(),
            }],
            subjects: vec!["node: fsync = always, data on ext4 (/dev/vda)".to_owned()],
            skipped: vec!["redis: redis-server is not installed".to_owned()],
        }
    }

    #[test]
    fn a_page_tells_source_goals_and_figures() {
        let page = page(&result(3.0));
        for part in [
            "revision: 0123456 with uncommitted changes",
            "| fast | 3.00 µs  |",
            "missed by 50 %",
            "| node/get | p50  |",
            "see notes",
            "- node/get, round 2: the generator was late",
            "- node: fsync = always, data on ext4 (/dev/vda)\n- left out: redis: redis-server is",
        ] {
            assert!(page.contains(part), "{part} in\n{page}");
        }
    }

    #[test]
    fn a_comparison_divides_the_second_by_the_first() {
        let text = comparison(&result(2.0), &result(3.0));
        assert!(text.contains("| 2.00 | 3.00 | 1.50  |"), "{text}");
        let mut empty = result(1.0);
        empty.measurements.clear();
        assert!(comparison(&empty, &result(1.0)).contains("no figure in common"));
    }
}
