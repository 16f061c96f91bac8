//! Whole nodes under faults, a thousand seeds in the ordinary run, and those that once found
//! something again. `CHORDITE_SEEDS` runs more of them, `just sim SEED` shows one.

use std::thread;
use std::time::Duration;

use harness::sim::campaign::{Campaign, Totals, run_caught};

/// Seeds that found a bug, with its story. A seed is about something else when the swarm changes,
/// so that each story has a test of its own where the bug was.
const REGRESSIONS: [(u64, &str); 12] = [
    (
        300,
        "a read of a segment under compaction had a wrong bit in its last block: what could not be \
         read was taken for padding, and the segment went with a record that lived",
    ),
    (
        216,
        "a put whose owner was silent was refused by the next owner and reported as failed, and \
         the first one had applied it",
    ),
    (
        545,
        "the same, with a read that saw the value that had been refused",
    ),
    (
        473,
        "a lookup came home to another core of the node that began it, and its end was dropped \
         there",
    ),
    (
        516,
        "the same, in a ring whose members had moved since the arc was kept",
    ),
    (
        820,
        "a restarted node numbered its lookups like the process before it, took a late answer to \
         one of those for its own, and closed the link to an honest peer",
    ),
    (
        285,
        "a node that came back was passed by for three seconds, because it was suspected before",
    ),
    (
        2716,
        "two nodes whose links to a third had broken both suspected it, passed lookups of its arc \
         to and fro, and never asked it, though it lived",
    ),
    (
        86,
        "an arc of a dead host was asked until the deadline, time and again, instead of looked up",
    ),
    (
        1298,
        "a key became the gateway's own while it looked for the owner, and the request got all of \
         its time anew to wait for the disk",
    ),
    (
        19_562,
        "a virtual node that had lost everybody asked its sibling for a place at every tick and \
         took every position for its own",
    ),
    (
        105_235,
        "after a partition two rings ran through the same two hosts, and no lookup could tell",
    ),
];

#[test]
fn simulation_of_a_thousand_seeds() {
    let count = std::env::var("CHORDITE_SEEDS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(1_000);
    let totals = run(0, count);
    println!(
        "{} seeds in {:.1?}, {:.1} hours: {:.0} times real time",
        totals.seeds,
        totals.elapsed,
        totals.hours(),
        totals.speed()
    );
    assert!(
        count > 1_000 || totals.elapsed < PATIENCE,
        "it took {:?}",
        totals.elapsed
    );
    assert_eq!((totals.seeds, totals.twice), (count, count.div_ceil(100)));
    for failure in &totals.failures {
        println!("{}\n  {}", failure.command(), failure.why);
    }
    assert!(
        totals.failures.is_empty(),
        "{} seeds failed",
        totals.failures.len()
    );
}

#[test]
fn simulation_of_seeds_that_once_failed() {
    for (seed, story) in REGRESSIONS {
        let outcome = run_caught(seed, false).and_then(|outcome| outcome.verdict);
        assert_eq!(outcome, Ok(()), "just sim {seed}: {story}");
    }
}

/// A thousand seeds take seconds; more of them are run by hand.
const PATIENCE: Duration = Duration::from_secs(300);

fn run(from: u64, count: u64) -> Totals {
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let campaign = Campaign {
        from,
        count,
        threads,
    };
    campaign.run(|_| ())
}
