//! The chapter of Table III: what `table3` measures while nodes join and leave, beside the paper's
//! figures, with its gates.

use super::chapter::{Chapter, Gate};
use super::plot::{Axis, Plot, Series};
use super::rounds::Progress;
use super::table::{Cell, Table};
use super::table3::{self, Row};

/// Measures it: 10,000 lookups for each rate, as the paper, which takes minutes.
#[must_use]
pub fn run(progress: &Progress) -> Chapter {
    let steps = usize::try_from(table3::steps(SEEDS)).unwrap_or(usize::MAX);
    progress.begin("joins and leaves", steps);
    let rows = table3::run(SEEDS, &mut |ended| progress.advance(ended));
    let mut chapter = Chapter::new("Joins and leaves (Table III)");
    let mut table = Table::new(
        "table3",
        "N = 1,000, s = 20, base 2: one lookup a second, R joins and R leaves a second, \
         stabilisation every 15 to 45 s, no retry. *Our pace*: with stabilisation as nodes are \
         shipped, every 30 s when nothing happens.",
        &[
            ("R", "1/s"),
            ("lookups", ""),
            ("mean path", "forwards"),
            ("paper", "forwards"),
            ("mean timeouts", ""),
            ("paper", ""),
            ("failures", "of 10,000"),
            ("paper", "of 10,000"),
            ("our pace: timeouts", ""),
            ("our pace: failures", "of 10,000"),
        ],
    );
    for row in &rows {
        let (path, timeouts, failures) = row.paper;
        table.row([
            Cell::Figure(row.rate, 2),
            Cell::from(row.ours.lookups),
            Cell::Figure(row.ours.path, 2),
            Cell::Figure(path, 2),
            Cell::Figure(row.ours.timeouts, 3),
            Cell::Figure(timeouts, 2),
            Cell::Figure(row.ours.failures, 1),
            Cell::Figure(failures, 0),
            Cell::Figure(row.adaptive.timeouts, 3),
            Cell::Figure(row.adaptive.failures, 1),
        ]);
        chapter.gates.extend(gates(row));
    }
    chapter.tables.push(table);
    chapter.plots = plots(&rows);
    chapter
}

fn gates(row: &Row) -> [Gate; 2] {
    let name = |what| format!("R = {}: {what}", row.rate);
    let (_, timeouts, failures) = row.paper;
    [
        Gate::within(name("mean timeouts"), row.ours.timeouts, timeouts, 0.05),
        Gate::at_most(name("failures of 10,000"), row.ours.failures, failures),
    ]
}

fn plots(rows: &[Row]) -> Vec<Plot> {
    let line = |of: fn(&Row) -> f64| -> Vec<(f64, f64)> {
        rows.iter().map(|row| (row.rate, of(row))).collect()
    };
    let plot = |name, title, up| {
        let across = Axis::linear("joins and leaves a second");
        Plot::new(name, title, across, Axis::linear(up))
    };
    vec![
        plot(
            "table3-timeouts",
            "Timeouts while nodes join and leave",
            "mean timeouts",
        )
        .with(Series::measured("Chordite", line(|row| row.ours.timeouts)))
        .with(Series::points("paper", line(|row| row.paper.1)))
        .with(Series::measured(
            "our pace",
            line(|row| row.adaptive.timeouts),
        )),
        plot(
            "table3-failures",
            "Failed lookups while nodes join and leave",
            "failures of 10,000",
        )
        .with(Series::measured("Chordite", line(|row| row.ours.failures)))
        .with(Series::points("paper", line(|row| row.paper.2)))
        .with(Series::measured(
            "our pace",
            line(|row| row.adaptive.failures),
        )),
    ]
}

/// Networks for each rate: failures are so rare that one of them says little.
const SEEDS: u64 = 3;
