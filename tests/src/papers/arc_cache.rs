//! What the arc cache saves: one gateway looks up uniform keys, with the cache and without it, and
//! learns an arc from every answer.

use proto::chord::ARCS_MAX;
use proto::message::LookupMode;

use super::chapter::{Chapter, Gate};
use super::plot::{Axis, Plot, Series};
use super::rounds::{Progress, Scale};
use super::table::{Cell, Table};
use crate::dice::Dice;
use crate::still_ring::histogram::Histogram;
use crate::still_ring::{Setup, StillRing, any_id};

/// Measures it.
#[must_use]
pub fn run(scale: Scale, progress: &Progress) -> Chapter {
    let mut chapter = Chapter::new("Arc cache on and off");
    let mut table = Table::new(
        "arc-cache",
        "Mean rpcs of a gateway's lookups of uniform keys, the owner included, by lookups it made \
         before (in sizes of the ring); base 16, s = 16, as live nodes are shipped.",
        &[
            ("N", "nodes"),
            ("lookups before", "N"),
            ("off", "rpcs"),
            ("on", "rpcs"),
            ("from the cache", "%"),
        ],
    );
    let sizes = [1_024, scale.choose(16_384, 2_048)];
    progress.begin("arc cache", sizes.len() * GATEWAYS);
    let mut lines = Vec::new();
    for nodes in sizes {
        let windows = measure(nodes, progress);
        let (mut line, mut begin) = (Vec::new(), 0.0);
        for (window, until) in windows.iter().zip(WINDOWS) {
            table.row([
                Cell::from(nodes),
                Cell::from(format!("{begin}–{until}")),
                Cell::Figure(window.off.mean(), 2),
                Cell::Figure(window.on.mean(), 2),
                Cell::Figure(window.hits as f64 / window.on.total() as f64 * 100.0, 1),
            ]);
            line.push((until, window.on.mean()));
            begin = until;
        }
        lines.push((nodes, line));
        let last = windows.last().map_or(f64::NAN, |window| window.on.mean());
        // As in the goal for a live ring; a cache that cannot hold the ring saves what it can.
        if nodes <= ARCS_MAX {
            let name = format!("N = {nodes}: mean rpcs with a warm cache");
            chapter.gates.push(Gate::at_most(name, last, WARM_RPCS_MAX));
        }
    }
    chapter.tables.push(table);
    let plot = Plot::new(
        "arc-cache",
        "Lookups of one gateway with the arc cache",
        Axis::logarithmic("lookups so far, in sizes of the ring"),
        Axis::linear("mean rpcs"),
    );
    let plot = lines.into_iter().fold(plot, |plot, (nodes, line)| {
        plot.with(Series::measured(&format!("N = {nodes}"), line))
    });
    chapter.plots.push(plot);
    chapter.note(format!("A cache keeps at most {ARCS_MAX} arcs."));
    chapter
}

#[derive(Clone, Default)]
struct Window {
    off: Histogram,
    on: Histogram,
    hits: u64,
}

fn measure(nodes: usize, progress: &Progress) -> Vec<Window> {
    let setup = Setup::of_nodes("cache", 4, 16);
    let without = Setup {
        arcs_max: 0,
        ..setup.clone()
    };
    let mut ring = StillRing::of_size(setup, nodes);
    let mut cold = StillRing::of_size(without, nodes);
    let mut windows = vec![Window::default(); WINDOWS.len()];
    let mut dice = Dice::new(nodes as u64);
    for _ in 0..GATEWAYS {
        let gateway = ring.any_host(&mut dice);
        let mut made = 0;
        for (window, until) in windows.iter_mut().zip(WINDOWS) {
            let until = (until * nodes as f64) as usize;
            for _ in made..until {
                let target = any_id(&mut dice);
                let walked = ring.lookup(gateway, target, LookupMode::Cached);
                let found = walked.result.as_ref().expect("a ring in which nobody died");
                assert_eq!(&found.owner, ring.owner(&target), "nothing changes");
                window.hits += u64::from(found.route.cached);
                window.on.add(walked.rpcs());
                let walked = cold.lookup(gateway, target, LookupMode::Cached);
                window.off.add(walked.rpcs());
            }
            made = until;
        }
        progress.step();
    }
    windows
}

/// Ends of the windows in sizes of the ring.
const WINDOWS: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
const GATEWAYS: usize = 4;
const WARM_RPCS_MAX: f64 = 1.05;
