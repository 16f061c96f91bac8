//! Small cases of lookups under churn, with the model of Kademlia beside them.
//! Seconds, not minutes.

use super::*;

fn setting(minutes: u64, lookups: u64) -> Setting {
    Setting {
        sessions: Sessions {
            median: Duration::from_secs(minutes * 60),
            law: Law::Exponential,
        },
        notice: Notice::Keepalive,
        nodes: 100,
        lookups,
        seed: 1,
        model: true,
    }
}

#[test]
fn lookups_survive_sessions_of_ten_minutes() {
    let mut told = 0;
    let row = run(setting(10, 2_000), &mut |ended| told += ended);
    assert!(row.retried.lookups >= 2_000 && row.single.lookups >= 1_900);
    assert_eq!(
        told,
        row.retried.lookups
            + row.single.lookups
            + row.kademlia.lookups
            + row.kademlia_single.lookups
    );
    assert!(row.retried.correct_percent() > 99.5);
    assert!(row.single.correct_percent() < row.retried.correct_percent() + 0.2);
    assert!(row.kademlia.correct_percent() > 90.0);
    assert!(row.costs.bytes > 100.0 && row.kademlia_costs.lookup_bytes > row.costs.lookup_bytes);
}

#[test]
fn a_ring_that_lost_two_fifths_heals() {
    let collapse = collapse::run(200, 0.4, Notice::AtOnce, 1, &mut |_| {});
    let [lookups, _, _] = collapse.seconds[0];
    assert!(lookups > 150);
    assert!(collapse.ideal_after.is_some());
    assert!(
        collapse
            .all_correct_from()
            .is_some_and(|second| second < 30)
    );
}
