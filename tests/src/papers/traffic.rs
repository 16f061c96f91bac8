//! What a lookup costs on the wire: messages and bytes as the production codec frames them, without
//! what TLS and TCP add.

use proto::message::LookupMode;

use super::chapter::{Chapter, Gate};
use super::plot::{Axis, Plot, Series};
use super::rounds::{Found, Progress, Rounds, Scale};
use super::table::{Cell, Table};
use crate::still_ring::Setup;

/// Measures it.
#[must_use]
pub fn run(scale: Scale, progress: &Progress) -> Chapter {
    let mut chapter = Chapter::new("Messages and bytes of a lookup");
    let mut table = Table::new(
        "traffic",
        "Messages and bytes of one cold lookup, of all nodes that take part; s = 16, as live nodes \
         are shipped.",
        &[
            ("N", "nodes"),
            ("base", ""),
            ("way", ""),
            ("rpcs", "nodes"),
            ("messages", ""),
            ("bytes", "B"),
            ("bytes a message", "B"),
        ],
    );
    let sizes = match scale {
        Scale::Full => &[128, 1_024, 4_096, 16_384][..],
        Scale::Quick => &[128, 1_024],
    };
    let ways = [
        (1, LookupMode::Recursive),
        (4, LookupMode::Recursive),
        (4, LookupMode::Iterative),
    ];
    progress.begin("messages and bytes", sizes.len() * ways.len());
    let mut lines = [Vec::new(), Vec::new(), Vec::new()];
    for nodes in sizes {
        for ((bits, mode), line) in ways.into_iter().zip(&mut lines) {
            let setup = Setup {
                weighs: true,
                ..Setup::of_nodes("traffic", bits, 16)
            };
            let rounds = Rounds {
                mode,
                ..Rounds::of(*nodes, 1, scale.choose(20_000, 2_000))
            };
            let found = rounds.run(&setup, progress);
            table.row(row(*nodes, bits, mode, &found));
            line.push((*nodes as f64, per_lookup(&found).1));
            gates(&mut chapter, *nodes, bits, mode, &found);
        }
    }
    chapter.tables.push(table);
    let plot = Plot::new(
        "traffic",
        "Bytes of one cold lookup",
        Axis::logarithmic("nodes"),
        Axis::linear("bytes, all nodes together"),
    );
    let names = [
        "recursive, base 2",
        "recursive, base 16",
        "iterative, base 16",
    ];
    let plot = names
        .into_iter()
        .zip(lines)
        .fold(plot, |plot, (name, line)| {
            plot.with(Series::measured(name, line))
        });
    chapter.plots.push(plot);
    chapter
}

fn row(nodes: usize, bits: u8, mode: LookupMode, found: &Found) -> [Cell; 7] {
    let (messages, bytes) = per_lookup(found);
    [
        Cell::from(nodes),
        Cell::from(1u64 << bits),
        Cell::from(way(mode)),
        Cell::Figure(found.rpcs.mean(), 2),
        Cell::Figure(messages, 2),
        Cell::Figure(bytes, 0),
        Cell::Figure(bytes / messages, 0),
    ]
}

/// A hop costs a request and its answer; a recursive lookup ends with one message more.
fn gates(chapter: &mut Chapter, nodes: usize, bits: u8, mode: LookupMode, found: &Found) {
    let rpcs: f64 = found.rpcs.mean() * found.lookups() as f64;
    let away = found
        .rpcs
        .shares()
        .skip(1)
        .map(|(_, share)| share)
        .sum::<f64>();
    let last = match mode {
        LookupMode::Iterative => 0.0,
        _ => away * found.lookups() as f64,
    };
    let name = format!("N = {nodes}, base {}, {}: messages", 1 << bits, way(mode));
    let messages = found.traffic.messages as f64;
    chapter
        .gates
        .push(Gate::within(name, messages, 2.0 * rpcs + last, 0.5));
}

fn per_lookup(found: &Found) -> (f64, f64) {
    let lookups = found.lookups() as f64;
    let traffic = found.traffic;
    (
        traffic.messages as f64 / lookups,
        traffic.bytes as f64 / lookups,
    )
}

const fn way(mode: LookupMode) -> &'static str {
    match mode {
        LookupMode::Cached => "cached",
        LookupMode::Recursive => "recursive",
        LookupMode::Traced => "traced",
        LookupMode::Iterative => "iterative",
    }
}
