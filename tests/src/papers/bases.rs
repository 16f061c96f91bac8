//! Fingers of another base: mean path length with base-2 and base-16 fingers and sixteen
//! successors, as the papers count and as live nodes go.

use super::chapter::{Chapter, Gate};
use super::plot::{Axis, Plot, Series};
use super::published::BASES;
use super::rounds::{Progress, Rounds, Scale};
use super::table::{Cell, Table};
use crate::still_ring::Setup;

/// Measures it.
#[must_use]
pub fn run(scale: Scale, progress: &Progress) -> Chapter {
    let mut chapter = Chapter::new("Base-2 and base-16 fingers");
    let mut table = Table::new(
        "bases",
        "Mean forwards with 16 successors, and what live nodes contact on a cold lookup, the owner \
         included (rpcs).",
        &[
            ("N", "nodes"),
            ("base", ""),
            ("mean", "forwards"),
            ("published", "forwards"),
            ("live nodes", "rpcs"),
        ],
    );
    let sizes = match scale {
        Scale::Full => &[1_000, 10_000, 100_000][..],
        Scale::Quick => &[1_000],
    };
    progress.begin("base-16 fingers", 4 * sizes.len() * RINGS);
    let mut lines = [Vec::new(), Vec::new()];
    for nodes in sizes {
        for (bits, line) in [1, 4].into_iter().zip(&mut lines) {
            let rounds = Rounds::of(*nodes, RINGS, scale.choose(10_000, 2_000));
            let found = rounds.run(&Setup::of_papers("base", bits, 16), progress);
            let live = rounds.run(&Setup::of_nodes("base", bits, 16), progress);
            let published = BASES.iter().find(|row| (row.0, row.1) == (*nodes, bits));
            let mean = found.forwards.mean();
            table.row([
                Cell::from(*nodes),
                Cell::from(1u64 << bits),
                Cell::Figure(mean, 2),
                Cell::maybe(published.map(|row| row.2), 1),
                Cell::Figure(live.rpcs.mean(), 2),
            ]);
            line.push((*nodes as f64, mean));
            let bad = found.failed + found.wrong + live.failed + live.wrong;
            let name = |what| format!("N = {nodes}, base {}: {what}", 1 << bits);
            let bad = Gate::at_most(name("failed or wrong lookups"), bad as f64, 0.0);
            chapter.gates.push(bad);
            chapter.gates.extend(
                published.map(|row| Gate::within(name("mean forwards"), mean, row.2, TOLERANCE)),
            );
        }
    }
    chapter.tables.push(table);
    let [two, sixteen] = lines;
    let published = BASES.map(|row| (row.0 as f64, row.2));
    let plot = Plot::new(
        "bases",
        "Mean path length with 16 successors",
        Axis::logarithmic("nodes"),
        Axis::linear("forwards"),
    );
    let plot = plot.with(Series::measured("base 2", two));
    let plot = plot.with(Series::measured("base 16", sixteen));
    chapter
        .plots
        .push(plot.with(Series::points("published", published)));
    chapter
}

const RINGS: usize = 4;

/// The published figures have one decimal.
const TOLERANCE: f64 = 0.1;
