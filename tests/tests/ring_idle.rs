//! A ring nobody asks anything uses next to nothing: measured as processor time of the nodes, so
//! that other tests beside it do not count.

use std::time::Duration;

use harness::deadline::{self, secs};
use harness::ring::Ring;
use harness::usage;

#[test]
fn an_idle_ring_of_five_uses_less_than_one_percent_of_a_core() {
    let ring = Ring::with(5, &[]);
    ring.wait_ideal(&ring.all(), secs(30));
    // Timeouts learn their peers in the first seconds.
    deadline::pass(secs(3));
    let used = || {
        ring.nodes
            .iter()
            .map(|node| usage::cpu_time(node.pid))
            .sum::<Duration>()
    };
    let before = used();
    deadline::pass(MEASURED);
    let share = (used() - before).as_secs_f64() / MEASURED.as_secs_f64();
    assert!(
        share < 0.01,
        "five idle nodes use {:.2} % of a core",
        share * 100.0
    );
}

const MEASURED: Duration = Duration::from_secs(20);
