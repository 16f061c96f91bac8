//! kill −9 of random nodes of a ring of five under load: what they acknowledged is there when they
//! are back.
//!
//! Each value lives on one host so far, and the successor of a dead node stands in for it with a
//! log of its own: what it acknowledges meanwhile proves nothing about the log of the owner, so it
//! counts as unknown. `CHORDITE_ROUNDS` sets the number of rounds of `kill_rounds`; a ring takes
//! longer to come back, and does a tenth of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use harness::deadline::{self, millis, secs};
use harness::dice::Dice;
use harness::ring::Ring;
use harness::rounds;
use harness::writer::{Doubt, Mix, OverOnDrop, Writer};

#[test]
fn nothing_is_lost_when_nodes_of_a_ring_are_killed() {
    let mut ring = Ring::alone(NODES, SETTINGS);
    ring.wait_ideal(&ring.all(), secs(30));
    let seed = rounds::seed("ring_kills");
    let mut dice = Dice::new(seed);
    let doubt = Arc::new(Doubt::default());
    let mut writers = writers(seed, &doubt);
    let rounds = rounds::count(100).div_ceil(RING_SHARE);
    for _ in 0..rounds {
        kill_under_load(&mut ring, &mut writers, &doubt, &mut dice);
        for writer in &mut writers {
            let via = dice.index(NODES);
            writer.verify(&mut ring.native(via));
        }
        writers.iter().for_each(Writer::judge);
    }
    let count = |of: fn(&Writer) -> u64| writers.iter().map(of).sum::<u64>();
    let acknowledged = count(|writer| writer.tally.acknowledged);
    let unknown = count(|writer| writer.tally.unknown);
    println!("{rounds} rounds, {acknowledged} acknowledged, {unknown} unknown, 0 lost");
}

/// Kills one or two nodes while all writers are at work, starts them again, and ends when the ring
/// is whole.
fn kill_under_load(ring: &mut Ring, writers: &mut [Writer], doubt: &Doubt, dice: &mut Dice) {
    let first = dice.index(NODES);
    let mut victims = vec![first];
    if dice.one_in(2) {
        victims.push((first + 1) % NODES);
    }
    let goal = 500 + dice.below(3000);
    let away = millis(dice.below(1000));
    let (progress, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let links: Vec<_> = (0..writers.len())
        .map(|at| ring.native(at % NODES))
        .collect();
    thread::scope(|scope| {
        let _over = OverOnDrop(&stop);
        for (writer, mut client) in writers.iter_mut().zip(links) {
            let (progress, stop) = (&progress, &stop);
            let goes_on = |_: &_| !stop.load(Ordering::Relaxed);
            scope.spawn(move || writer.work(&mut client, progress, goes_on));
        }
        deadline::until("the load is under way", secs(20), || {
            (progress.load(Ordering::Relaxed) >= goal).then_some(())
        });
        doubt.set(victims.iter().map(|victim| ring.arc(*victim)).collect());
        victims.iter().for_each(|victim| ring.kill(*victim));
        deadline::pass(away);
        victims.iter().for_each(|victim| ring.restart(*victim));
        ring.wait_ideal(&ring.all(), secs(60));
    });
    doubt.set(Vec::new());
}

fn writers(seed: u64, doubt: &Arc<Doubt>) -> Vec<Writer> {
    let mix = Mix {
        keys: 300,
        gets: 10,
        deletes: 10,
        value_bytes_max: 2000,
        depth: 16,
    };
    (0..NODES)
        .map(|at| Writer::in_ring(&format!("r{at}"), mix, seed + at as u64, doubt))
        .collect()
}

/// One round here for so many of `kill_rounds`.
const RING_SHARE: u64 = 10;

const NODES: usize = 5;
const SETTINGS: &[&str] = &[
    "stabilize_interval=200ms",
    "request_deadline=2s",
    "segment_bytes=256KiB",
    "fsync=always",
];
