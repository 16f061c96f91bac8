//! Small rings of production members, explored exhaustively: what `sim model` does for larger ones,
//! within seconds. And rings that are broken on purpose, to see that the explorer finds it.

use harness::model::claims::Assumption;
use harness::model::run::{Effort, HEALS, Plan, Report};

fn explore(plan: &Plan) -> Report {
    let report = plan.explore(Effort {
        threads: 2,
        transitions_max: None,
    });
    println!("{plan:?}: {report:?}");
    report
}

fn broken(report: &Report) -> Vec<&'static str> {
    report.broken.iter().map(|(claim, _)| *claim).collect()
}

/// The ring, its joins and failures, and what failures leave.
const RINGS: &[(&str, u8, u8, Assumption)] = &[
    ("M", 0, 0, Assumption::Successors),
    ("MM", 0, 2, Assumption::Nothing),
    ("Mjj", 2, 0, Assumption::Successors),
    ("Mjj", 2, 2, Assumption::Successors),
    ("MMj", 1, 2, Assumption::Nothing),
    ("MjMj", 2, 0, Assumption::Successors),
    ("MMM", 0, 2, Assumption::Nothing),
    ("MMMM", 0, 2, Assumption::Successors),
    ("MMMM", 0, 2, Assumption::Nothing),
    ("MMMM", 0, 1, Assumption::Proof),
    ("MMMj", 1, 1, Assumption::Proof),
];

#[test]
fn small_rings_keep_their_invariant_and_heal() {
    for (ring, joins, failures, assumption) in RINGS {
        let report = explore(&Plan::of(ring, *joins, *failures, *assumption));
        let story = report.broken.iter().map(|(_, story)| story.join("\n"));
        let story = story.collect::<Vec<_>>().join("\n\n");
        assert_eq!(broken(&report), [""; 0], "{ring}:\n{story}");
        assert!(report.complete && report.transitions >= report.states);
    }
}

#[test]
fn members_that_return_take_their_place_again() {
    let mut plan = Plan::of("MMM", 1, 1, Assumption::Successors);
    plan.scope.returns = true;
    let report = explore(&plan);
    assert_eq!(broken(&report), [""; 0], "{:?}", report.broken);
    plan.scope.returns = false;
    assert!(explore(&plan).members < report.members);
}

#[test]
fn shortcuts_lead_to_the_same_members_in_fewer_states() {
    for (ring, joins, failures) in [("MMMM", 0, 2), ("MMj", 1, 1), ("Mjj", 2, 1)] {
        let mut plan = Plan::of(ring, joins, failures, Assumption::Successors);
        let whole = explore(&plan);
        plan.scope.shortcuts = true;
        let short = explore(&plan);
        assert_eq!(short.members, whole.members, "{ring}");
        assert!(short.states < whole.states, "{ring}");
    }
}

#[test]
fn split_rings_are_found_and_merge_only_by_self_lookups() {
    for ring in ["MM", "MMM"] {
        let mut plan = Plan::of(ring, 0, 0, Assumption::Nothing);
        plan.split = true;
        let merging = explore(&plan);
        assert_eq!(broken(&merging), [""; 0], "{ring}: {:?}", merging.broken);
        assert!(merging.helped > 0, "{ring} is split at first");
        plan.scope.self_lookups = false;
        let split = explore(&plan);
        assert_eq!(broken(&split), [HEALS], "{ring} stays split");
    }
}

#[cfg(feature = "planted")]
mod planted {
    use harness::model::run::LISTS;
    use proto::planted::Bug;

    use super::*;

    #[test]
    fn planted_bugs_of_the_ring_are_found_in_small_rings() {
        let found = |bug, ring, assumption, claim| {
            let mut plan = Plan::of(ring, 1, 1, assumption);
            plan.bug = Some(bug);
            let report = explore(&plan);
            assert!(broken(&report).contains(&claim), "{bug:?}: {report:?}");
        };
        found(Bug::UnorderedList, "MMj", Assumption::Nothing, LISTS);
        found(Bug::DeadPredecessor, "MMMj", Assumption::Successors, HEALS);
    }
}
