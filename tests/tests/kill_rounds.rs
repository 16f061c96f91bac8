//! kill −9 at any moment under load: what was acknowledged is there after the restart.
//!
//! `CHORDITE_ROUNDS` sets the number of rounds over all variants; `just torture` takes 1,000.

use std::time::Duration;

use harness::deadline;
use harness::dice::Dice;
use harness::durable::{self, Durable};
use harness::permit::Permit;
use harness::rounds;
use harness::workdir;
use harness::writer::{Mix, Writer};

#[test]
fn nothing_is_lost_when_one_core_on_io_uring_is_killed() {
    let node = kill_rounds("uring1", &[&["shards = 1", "io_driver = io_uring"]]);
    judge_log(&node);
}

#[test]
fn nothing_is_lost_when_two_cores_on_io_uring_are_killed() {
    let node = kill_rounds("uring2", &[&["shards = 2", "io_driver = io_uring"]]);
    judge_log(&node);
}

#[test]
fn nothing_is_lost_when_one_core_on_epoll_is_killed() {
    let node = kill_rounds("epoll1", &[&["shards = 1", "io_driver = epoll"]]);
    judge_log(&node);
}

#[test]
fn nothing_is_lost_when_two_cores_on_epoll_are_killed() {
    let node = kill_rounds("epoll2", &[&["shards = 2", "io_driver = epoll"]]);
    judge_log(&node);
}

/// The log is dealt out anew at every start.
#[test]
fn nothing_is_lost_when_the_number_of_cores_changes_between_kills() {
    let choices: &[&[&str]] = &[
        &["shards = 1", "io_driver = epoll"],
        &["shards = 2", "io_driver = io_uring"],
        &["shards = 3", "io_driver = epoll"],
    ];
    kill_rounds("cores", choices);
}

/// Without syncs a write survives the end of the process, if not that of the machine.
#[test]
fn nothing_is_lost_when_a_node_that_does_not_sync_is_killed() {
    let choices: &[&[&str]] = &[
        &["fsync = never", "io_driver = epoll"],
        &["fsync = interval(5)", "io_driver = io_uring"],
        &["fsync = never", "io_driver = io_uring"],
        &["fsync = interval(5)", "io_driver = epoll"],
    ];
    let node = kill_rounds("unsynced", choices);
    judge_log(&node);
}

/// The rig itself: a node that keeps everything in memory loses everything, and is found out.
#[test]
fn a_node_without_a_log_is_found_out() {
    let _permit = Permit::take(UNITS);
    let mut node = Durable::create("forgetful", "".as_ref(), &["fsync = always"]);
    node.start();
    let mut writers = writers(1);
    durable::under_load(&mut writers, &mut node, 3000, Durable::kill);
    node.start();
    let complaints = durable::read_back(&mut writers, &node);
    assert!(complaints > 100, "only {complaints} losses are seen");
    let lost = |complaint: &String| complaint.contains("lost");
    assert!(
        writers[0].complaints.iter().any(lost),
        "{:?}",
        writers[0].complaints.first()
    );
}

/// Kills a node again and again, each time with other settings out of `choices`.
fn kill_rounds(name: &str, choices: &[&[&str]]) -> Durable {
    let _permit = Permit::take(UNITS);
    let seed = rounds::seed(name);
    let mut dice = Dice::new(seed);
    let data = workdir::create("data");
    let mut node = Durable::create(name, &data, &[SETTINGS, choices[0]].concat());
    let mut writers = writers(seed);
    node.start();
    let mut segments = 0;
    for _ in 0..rounds::count(100).div_ceil(VARIANTS) {
        let acknowledged = 50 + dice.below(1500);
        let moment = Duration::from_micros(dice.below(5000));
        durable::under_load(&mut writers, &mut node, acknowledged, |node| {
            deadline::pass(moment);
            node.kill();
        });
        segments = segments.max(node.segments().len());
        node.configure(choices[dice.index(choices.len())]);
        if dice.one_in(5) {
            // Once more, in the middle of the start.
            node.launch();
            deadline::pass(Duration::from_micros(dice.below(60_000)));
            node.kill();
        }
        node.start();
        durable::verify(&mut writers, &node);
    }
    let acknowledged: u64 = writers.iter().map(|writer| writer.tally.acknowledged).sum();
    println!("{name}: {acknowledged} writes acknowledged, 0 lost; at most {segments} segments");
    node
}

/// The rounds have passed through new segments, and through the end of old ones.
fn judge_log(node: &Durable) {
    let segments = node.segments();
    let (first, last) = (segments.first().copied(), segments.last().copied());
    let (Some(first), Some(last)) = (first, last) else {
        panic!("no segments in {}", node.data.display());
    };
    assert!(last > 8, "no rotation: {segments:?}");
    assert!(first > 2, "no compaction: {segments:?}");
}

fn writers(seed: u64) -> Vec<Writer> {
    let mix = |at: usize| Mix {
        keys: [40, 200, 600][at],
        gets: 10,
        deletes: [20, 5, 10][at],
        value_bytes_max: [400, 2000, 9000][at],
        depth: [4, 32, 64][at],
    };
    (0..3)
        .map(|at| Writer::new(&format!("w{at}"), mix(at), seed + at as u64))
        .collect()
}

/// Small segments, so that the rounds pass through many ends and beginnings.
const SETTINGS: &[&str] = &["fsync = always", "segment_bytes = 256KiB"];
const VARIANTS: u64 = 6;
/// Two variants at a time on two cores.
const UNITS: usize = 8;
