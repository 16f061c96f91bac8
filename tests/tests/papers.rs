//! The gates of the papers' tables, with fewer rings and lookups than `sim papers` takes for them:
//! a change of the ring machine that costs hops, or names a wrong owner, is seen here.

use harness::papers::chapter::Chapter;
use harness::papers::rounds::{Progress, Scale};
use harness::papers::{arc_cache, balance, bases, failures, path_length, traffic, upkeep};
use harness::permit::Permit;

/// The units of one busy thread.
const ONE_CORE: usize = 8;

fn check(run: fn(Scale, &Progress) -> Chapter) {
    let _permit = Permit::take(ONE_CORE);
    let chapter = run(Scale::Quick, &Progress::hidden());
    assert!(!chapter.gates.is_empty(), "{} has gates", chapter.title);
    let missed: Vec<String> = chapter
        .gates
        .iter()
        .filter(|gate| !gate.is_met())
        .map(ToString::to_string)
        .collect();
    assert!(
        missed.is_empty(),
        "{}:\n{}",
        chapter.title,
        missed.join("\n")
    );
}

#[test]
fn papers_path_length() {
    check(path_length::run);
}

#[test]
fn papers_simultaneous_failures() {
    check(failures::table2);
}

#[test]
fn papers_failures_of_nodes_as_they_are_shipped() {
    check(failures::live);
}

#[test]
fn papers_load_balance() {
    check(balance::run);
}

#[test]
fn papers_base_16() {
    check(bases::run);
}

#[test]
fn papers_arc_cache() {
    check(arc_cache::run);
}

#[test]
fn papers_traffic() {
    check(traffic::run);
}

#[test]
fn papers_upkeep() {
    check(upkeep::run);
}
