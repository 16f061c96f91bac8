//! Path length against ring size: ToN Fig. 10 with base-2 fingers and successor lists of one, and
//! on to a million members.

use std::fs;

use super::chapter::{Chapter, Gate};
use super::plot::{Axis, Plot, Series};
use super::published::{self, PATH_LENGTHS};
use super::rounds::{Found, Progress, Rounds, Scale};
use super::table::{Cell, Table};
use crate::still_ring::Setup;

/// Measures it.
#[must_use]
pub fn run(scale: Scale, progress: &Progress) -> Chapter {
    let mut chapter = Chapter::new("Path length");
    let mut table = Table::new(
        "path-length",
        "Nodes contacted other than the origin, up to the predecessor of the key (forwards); \
         base 2, s = 1.",
        &[
            ("N", "nodes"),
            ("rings", ""),
            ("lookups", ""),
            ("mean", "forwards"),
            ("½·log2 N − 0.13", "forwards"),
            ("paper", "forwards"),
            ("1st–99th", "forwards"),
            ("paper's 1st–99th", "forwards"),
            ("time", "s"),
        ],
    );
    let sizes = sizes(scale);
    progress.begin("path length", sizes.iter().map(|size| size.1).sum());
    let mut means = Vec::new();
    let mut shape = None;
    for (nodes, rings, lookups) in sizes {
        let setup = Setup::of_papers("path", 1, 1);
        let found = Rounds::of(nodes, rings, lookups).run(&setup, progress);
        means.push((nodes as f64, found.forwards.mean()));
        row(&mut table, nodes, rings, &found);
        gates(&mut chapter, nodes, &found);
        if nodes == SHAPE_OF {
            shape = Some(found);
        }
    }
    chapter.tables.push(table);
    chapter.plots.push(means_plot(&means));
    chapter.plots.extend(shape.as_ref().map(shape_plot));
    if let Some(peak) = peak_mib() {
        let limit = MEMORY_GIB_MAX * 1024.0;
        chapter
            .gates
            .push(Gate::at_most("peak memory in MiB", peak, limit));
    }
    chapter
}

/// Nodes, rings, lookups in each ring.
fn sizes(scale: Scale) -> Vec<(usize, usize, usize)> {
    let rings = 10;
    let lookups = scale.choose(20_000, 8_000);
    let small = [8, 16, 32, 64].map(|nodes| (nodes, rings, lookups));
    let published = PATH_LENGTHS.map(|published| (published.nodes, rings, lookups));
    let large = [65_536, 262_144, LARGEST].map(|nodes| (nodes, 1, 5 * lookups / 2));
    match scale {
        Scale::Full => [&small[..], &published, &large].concat(),
        Scale::Quick => [&small[3..], &published[..4], &large[..1]].concat(),
    }
}

fn row(table: &mut Table, nodes: usize, rings: usize, found: &Found) {
    let published = PATH_LENGTHS
        .iter()
        .find(|published| published.nodes == nodes);
    let (low, high) = (found.forwards.quantile(0.01), found.forwards.quantile(0.99));
    let range = published.map_or(Cell::Empty, |published| {
        Cell::from(format!("{}–{}", published.low, published.high))
    });
    table.row([
        Cell::from(nodes),
        Cell::from(rings),
        Cell::from(found.lookups()),
        Cell::Figure(found.forwards.mean(), 3),
        Cell::Figure(published::path_length(nodes), 3),
        Cell::maybe(published.map(|published| published.mean), 2),
        Cell::from(format!("{low}–{high}")),
        range,
        Cell::Figure(found.elapsed.as_secs_f64(), 1),
    ]);
}

fn gates(chapter: &mut Chapter, nodes: usize, found: &Found) {
    let bad = (found.failed + found.wrong) as f64;
    let name = format!("N = {nodes}: failed or wrong lookups");
    chapter.gates.push(Gate::at_most(name, bad, 0.0));
    if nodes >= PATH_LENGTHS[0].nodes {
        let formula = published::path_length(nodes);
        let name = format!("N = {nodes}: mean path length");
        let gate = Gate::within(name, found.forwards.mean(), formula, TOLERANCE);
        chapter.gates.push(gate);
    }
    if nodes == LARGEST {
        let name = format!("N = {nodes}: seconds");
        let seconds = found.elapsed.as_secs_f64();
        chapter
            .gates
            .push(Gate::at_most(name, seconds, LARGEST_SECONDS_MAX));
    }
}

fn means_plot(means: &[(f64, f64)]) -> Plot {
    let formula = means.iter().map(|(nodes, _)| *nodes as usize);
    let formula = formula.filter(|nodes| *nodes >= 32);
    let formula = formula.map(|nodes| (nodes as f64, published::path_length(nodes)));
    let paper = PATH_LENGTHS.map(|published| (published.nodes as f64, published.mean));
    Plot::new(
        "path-length",
        "Mean path length",
        Axis::logarithmic("nodes"),
        Axis::linear("forwards"),
    )
    .with(Series::line("½·log2 N − 0.13", formula))
    .with(Series::measured("Chordite", means.iter().copied()))
    .with(Series::points("paper", paper))
}

fn shape_plot(found: &Found) -> Plot {
    let shares = found.forwards.shares();
    let shares = shares.map(|(forwards, share)| (forwards as f64, share));
    Plot::new(
        "path-length-shape",
        &format!("Path lengths in rings of {SHAPE_OF}"),
        Axis::linear("forwards"),
        Axis::linear("share of lookups"),
    )
    .with(Series::measured("Chordite", shares))
}

/// The largest resident size of this process so far.
fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

const LARGEST: usize = 1_000_000;
const LARGEST_SECONDS_MAX: f64 = 600.0;
const MEMORY_GIB_MAX: f64 = 16.0;
const TOLERANCE: f64 = 0.05;

/// The ring whose distribution is drawn, as in ToN Fig. 10 (b).
const SHAPE_OF: usize = 4096;
