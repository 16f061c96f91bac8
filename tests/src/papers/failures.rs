//! Lookups right after many nodes failed at once: ToN Table II, and the ring as live nodes make it
//! with sixteen successors.
//!
//! What is counted: the papers say "nodes contacted" and "failed nodes encountered". With a list of
//! twenty an owner is named by the list of whoever is near, so the path is what live nodes contact
//! (`rpcs`), the owner included, and each dead node counts once in a lookup.

use super::chapter::{Chapter, Gate};
use super::plot::{Axis, Plot, Series};
use super::published::{FAILURES, Failures};
use super::rounds::{Found, Progress, Rounds, Scale};
use super::table::{Cell, Table};
use crate::still_ring::Setup;

/// Measures Table II.
#[must_use]
pub fn table2(scale: Scale, progress: &Progress) -> Chapter {
    let mut chapter = Chapter::new("Simultaneous failures (Table II)");
    let mut table = Table::new(
        "failures",
        "N = 1,000, s = 20, base 2: lookups after each node failed with probability p. The \
         deviation is that of one network's mean.",
        &[
            ("p", ""),
            ("mean path", "nodes"),
            ("paper", "nodes"),
            ("mean timeouts", "dead nodes"),
            ("deviation", "dead nodes"),
            ("path·p/(1−p)", "dead nodes"),
            ("paper", "dead nodes"),
            ("failed", "lookups"),
            ("wrong owner", "lookups"),
            ("not confirmed", "lookups"),
        ],
    );
    let rings = scale.choose(40, 20);
    progress.begin("simultaneous failures", FAILURES.len() * 2 * rings);
    let (mut paths, mut timeouts) = (Vec::new(), Vec::new());
    for published in FAILURES {
        let setup = Setup {
            direct: true,
            ..Setup::of_papers("table2", 1, 20)
        };
        let rounds = Rounds {
            dying: published.share,
            ..Rounds::of(1_000, rings, scale.choose(5_000, 1_000))
        };
        let found = rounds.run(&setup, progress);
        let unnoticed = Rounds {
            is_noticed: false,
            ..rounds
        };
        let unnoticed = unnoticed.run(&setup, progress);
        paths.push((published.share, found.rpcs.mean()));
        timeouts.push((published.share, found.dead_met.mean()));
        row(&mut table, published, &found, &unnoticed);
        gates(&mut chapter, published, &found, &unnoticed);
    }
    chapter.tables.push(table);
    chapter.plots.push(plot(&paths, &timeouts));
    chapter.note(TABLE2_NOTE);
    chapter
}

/// Measures the ring as live nodes make it when `share` of it fails at once.
#[must_use]
pub fn live(scale: Scale, progress: &Progress) -> Chapter {
    let mut chapter = Chapter::new("Simultaneous failures of nodes as they are shipped");
    let mut table = Table::new(
        "failures-live",
        "Lookups after each node failed with probability 0.4; s = 16.",
        &[
            ("N", "nodes"),
            ("finger bits", ""),
            ("lookups", ""),
            ("mean rpcs", "nodes"),
            ("mean timeouts", "dead nodes"),
            ("failed", "lookups"),
            ("wrong owner", "lookups"),
            ("not confirmed", "lookups"),
        ],
    );
    let rings = scale.choose(20, 5);
    let kinds = [(1_000, 1), (1_000, 4), (scale.choose(10_000, 2_000), 4)];
    progress.begin("failures of nodes as they are", 2 * kinds.len() * rings);
    for (nodes, bits) in kinds {
        let rounds = Rounds {
            dying: 0.4,
            ..Rounds::of(nodes, rings, scale.choose(10_000, 2_000))
        };
        let setup = Setup::of_nodes("live", bits, 16);
        let found = rounds.run(&setup, progress);
        let unnoticed = Rounds {
            is_noticed: false,
            ..rounds
        };
        let unnoticed = unnoticed.run(&setup, progress);
        table.row([
            Cell::from(nodes),
            Cell::from(u64::from(bits)),
            Cell::from(found.lookups()),
            Cell::Figure(found.rpcs.mean(), 2),
            Cell::Figure(found.dead_met.mean(), 2),
            Cell::from(found.failed),
            Cell::from(found.wrong + unnoticed.wrong),
            unconfirmed(&unnoticed),
        ]);
        let name = |what| format!("40 % dead, N = {nodes}, {bits} bits: {what}");
        let failed = Gate::at_most(name("routing failures"), found.failed as f64, 0.0);
        let wrong = (found.wrong + unnoticed.wrong) as f64;
        let wrong = Gate::at_most(name("wrong owners"), wrong, 0.0);
        chapter.gates.extend([failed, wrong]);
    }
    chapter.tables.push(table);
    chapter.note(LIVE_NOTE);
    chapter
}

fn row(table: &mut Table, published: Failures, found: &Found, unnoticed: &Found) {
    table.row([
        Cell::Figure(published.share, 1),
        Cell::Figure(found.rpcs.mean(), 2),
        Cell::Figure(published.path, 2),
        Cell::Figure(found.dead_met.mean(), 2),
        Cell::Figure(found.dead_deviation(), 2),
        Cell::Figure(expected_timeouts(published.share, found), 2),
        Cell::Figure(published.timeouts, 2),
        Cell::from(found.failed),
        Cell::from(found.wrong + unnoticed.wrong),
        unconfirmed(unnoticed),
    ]);
}

/// The share of lookups without an owner while predecessors are not repaired.
fn unconfirmed(unnoticed: &Found) -> Cell {
    let share = unnoticed.failed as f64 / unnoticed.lookups() as f64;
    Cell::from(format!("{:.1} %", share * 100.0))
}

fn gates(chapter: &mut Chapter, published: Failures, found: &Found, unnoticed: &Found) {
    let name = |what: &str| format!("p = {}: {what}", published.share);
    let by = published.path * TOLERANCE;
    let path = found.rpcs.mean();
    let wrong = (found.wrong + unnoticed.wrong) as f64;
    chapter.gates.extend([
        Gate::within(name("mean path"), path, published.path, by),
        Gate::at_most(name("wrong owners"), wrong, 0.0),
        Gate::at_most(name("failed lookups"), found.failed as f64, 0.0),
    ]);
    if published.share > 0.0 {
        let expected = expected_timeouts(published.share, found);
        let timeouts = found.dead_met.mean();
        let own = Gate::within(
            name("mean timeouts, of path·p/(1−p)"),
            timeouts,
            expected,
            expected * TOLERANCE,
        );
        let by = found.dead_deviation() * DEVIATIONS_MAX;
        let what = name("mean timeouts, by the scatter of one network");
        let paper = Gate::within(what, timeouts, published.timeouts, by);
        chapter.gates.extend([own, paper]);
    }
}

/// Each live node that is contacted costs p/(1 − p) dead ones that are tried before it.
fn expected_timeouts(share: f64, found: &Found) -> f64 {
    found.rpcs.mean() * share / (1.0 - share)
}

fn plot(paths: &[(f64, f64)], timeouts: &[(f64, f64)]) -> Plot {
    let path_of = |published: Failures| (published.share, published.path);
    let timeouts_of = |published: Failures| (published.share, published.timeouts);
    Plot::new(
        "failures",
        "Lookups after simultaneous failures",
        Axis::linear("share of nodes that failed"),
        Axis::linear("mean nodes of a lookup"),
    )
    .with(Series::measured("path", paths.iter().copied()))
    .with(Series::points("path, paper", FAILURES.map(path_of)))
    .with(Series::measured("timeouts", timeouts.iter().copied()))
    .with(Series::points("timeouts, paper", FAILURES.map(timeouts_of)))
}

const TOLERANCE: f64 = 0.05;

/// The papers measured one network for each p. Five comparisons that all hold with 95 %.
const DEVIATIONS_MAX: f64 = 2.58;

const LIVE_NOTE: &str = "\
A routing failure is a lookup that finds no way to the living owner. Predecessors are those \
after the first notice of a death; *not confirmed* is the share of lookups that end without an \
owner before that. How long it lasts in a ring that repairs itself is measured by `sim churn` \
(collapse).";

const TABLE2_NOTE: &str = "\
Path counts the nodes contacted, the owner included, which is asked directly when a list names \
it; timeouts are distinct dead nodes. The papers' timeouts are those of one network for each p, \
and networks scatter by more than 10 %. At p = 0.1 and 0.2 the papers' are above what their own \
path lengths cost, path·p/(1−p); our means are held against that, and the papers' figures \
against the scatter of one network.

Predecessors are those after the first notice of a death; successor lists and fingers still name \
the dead. *Not confirmed* is the share of lookups that end without an owner when not even the \
predecessors are repaired: an owner answers for what it knows to be its own, so the positions of \
the dead have none for a moment, rather than a wrong one.";
