//! Load balance: the share of the circle that a node owns with v virtual nodes, against
//! Gamma(v, 1/v) and ToN Fig. 8 and 9. The places are the production ids of the members; the share
//! of the circle is the expected share of keys.

use std::collections::HashMap;

use proto::id::Id;

use super::chapter::{Chapter, Gate};
use super::gamma;
use super::plot::{Axis, Plot, Series};
use super::published::{BALANCES, Balance};
use super::rounds::{Progress, Scale};
use super::table::{Cell, Table};
use crate::still_ring::{Setup, StillRing};

/// Measures it.
#[must_use]
pub fn run(scale: Scale, progress: &Progress) -> Chapter {
    let mut chapter = Chapter::new("Load balance");
    let mut table = Table::new(
        "balance",
        "Share of the circle owned by a node over the mean, N = 10,000 nodes with v virtual nodes.",
        &[
            ("v", "virtual nodes"),
            ("rings", ""),
            ("1st percentile", "mean"),
            ("Gamma(v, 1/v)", "mean"),
            ("paper", "mean"),
            ("99th percentile", "mean"),
            ("Gamma(v, 1/v)", "mean"),
            ("paper", "mean"),
        ],
    );
    let rings = |v: u16| (scale.choose(6_000_000, 2_000_000) / NODES / usize::from(v)).max(4);
    let all = BALANCES.iter().map(|row| rings(row.virtual_nodes)).sum();
    progress.begin("load balance", all);
    let mut measured = Vec::new();
    for published in BALANCES {
        let count = rings(published.virtual_nodes);
        let shares = shares(published.virtual_nodes, count, progress);
        let found = Balance {
            low: quantile(&shares, LOW),
            high: quantile(&shares, HIGH),
            ..published
        };
        row(&mut table, &mut chapter, published, found, count);
        measured.push(found);
    }
    chapter.tables.push(table);
    chapter.plots.push(plot(&measured));
    chapter
}

fn row(table: &mut Table, chapter: &mut Chapter, paper: Balance, found: Balance, rings: usize) {
    let v = paper.virtual_nodes;
    let gamma = (gamma::quantile(v, LOW), gamma::quantile(v, HIGH));
    table.row([
        Cell::from(u64::from(v)),
        Cell::from(rings),
        Cell::Figure(found.low, 4),
        Cell::Figure(gamma.0, 4),
        Cell::Figure(paper.low, 2),
        Cell::Figure(found.high, 3),
        Cell::Figure(gamma.1, 3),
        Cell::Figure(paper.high, 1),
    ]);
    for (what, found, gamma) in [("1st", found.low, gamma.0), ("99th", found.high, gamma.1)] {
        let name = format!("v = {v}: {what} percentile");
        let gate = Gate::within(name, found, gamma, gamma * TOLERANCE);
        chapter.gates.push(gate);
    }
}

/// What nodes of `rings` rings own, over the mean, sorted.
fn shares(virtual_nodes: u16, rings: usize, progress: &Progress) -> Vec<f64> {
    let mut shares = Vec::with_capacity(rings * NODES);
    for round in 0..rings {
        let setup = Setup {
            virtual_nodes,
            ..Setup::of_nodes(&format!("balance-{round}"), 1, 1)
        };
        let ring = StillRing::of_size(setup, NODES);
        shares.extend(owned(&ring));
        progress.step();
    }
    shares.sort_by(f64::total_cmp);
    shares
}

/// The share of the circle of each host over the mean.
fn owned(ring: &StillRing) -> impl Iterator<Item = f64> {
    let members = ring.members();
    let mut owned: HashMap<_, f64> = HashMap::with_capacity(ring.len());
    let before = members.iter().cycle().skip(members.len() - 1);
    for (member, before) in members.iter().zip(before) {
        let arc = part_of_circle(&before.id().distance_to(&member.id()));
        *owned.entry(member.name()).or_default() += arc;
    }
    // Sorted by the caller, so the order of the map shows nowhere.
    let hosts = ring.len() as f64;
    let shares: Vec<f64> = owned.into_values().map(|share| share * hosts).collect();
    shares.into_iter()
}

fn part_of_circle(distance: &Id) -> f64 {
    distance.high() as f64 / CIRCLE
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn plot(measured: &[Balance]) -> Plot {
    let over = |of: fn(&Balance) -> f64, rows: &[Balance]| -> Vec<(f64, f64)> {
        let rows = rows.iter();
        rows.map(|row| (f64::from(row.virtual_nodes), of(row)))
            .collect()
    };
    let gamma = |share| (1..=64).map(move |v| (f64::from(v), gamma::quantile(v, share)));
    Plot::new(
        "balance",
        "Share of the circle owned by a node",
        Axis::linear("virtual nodes"),
        Axis::linear("share over the mean"),
    )
    .with(Series::line("Gamma, 1st percentile", gamma(LOW)))
    .with(Series::line("Gamma, 99th percentile", gamma(HIGH)))
    .with(Series::points(
        "1st percentile",
        over(|row| row.low, measured),
    ))
    .with(Series::points(
        "99th percentile",
        over(|row| row.high, measured),
    ))
    .with(Series::points("paper, 1st", over(|row| row.low, &BALANCES)))
    .with(Series::points(
        "paper, 99th",
        over(|row| row.high, &BALANCES),
    ))
}

const NODES: usize = 10_000;
const LOW: f64 = 0.01;
const HIGH: f64 = 0.99;
const TOLERANCE: f64 = 0.03;

/// 2^64: the circle in units of the bits looked at.
const CIRCLE: f64 = 18_446_744_073_709_551_616.0;
