//! Crashes and pauses: while nodes die, every question ends in an answer or an error in time; three
//! stabilise intervals later every lookup succeeds again; who comes back is a member again.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use harness::deadline::{self, millis, secs};
use harness::ring::Ring;
use rustix::process::Signal;

#[test]
fn any_node_of_eight_may_crash_and_come_back() {
    let mut ring = Ring::alone(8, &[STABILIZE, DEADLINE]);
    ring.wait_ideal(&ring.all(), secs(30));
    for victim in ring.all() {
        crash(&ring, &[victim]);
        ring.restart(victim);
        ring.wait_ideal(&ring.all(), secs(30));
    }
}

#[test]
fn two_neighbours_may_crash_at_once_and_come_back() {
    let mut ring = Ring::alone(8, &[STABILIZE, DEADLINE]);
    ring.wait_ideal(&ring.all(), secs(30));
    let order = ring.order(&ring.all());
    for rank in [0, 5] {
        let victims = [order[rank], order[rank + 1]];
        crash(&ring, &victims);
        for victim in victims {
            ring.restart(victim);
        }
        ring.wait_ideal(&ring.all(), secs(30));
    }
}

#[test]
fn one_ring_after_a_node_was_paused_for_twenty_seconds() {
    let ring = Ring::with(5, &[STABILIZE, DEADLINE]);
    ring.wait_ideal(&ring.all(), secs(30));
    let paused = Instant::now();
    ring.signal(2, Signal::STOP);
    ring.wait_ideal(&ring.all_but(&[2]), secs(20));
    deadline::pass(secs(20).saturating_sub(paused.elapsed()));
    ring.signal(2, Signal::CONT);
    ring.wait_ideal(&ring.all(), secs(30));
}

#[test]
fn a_ring_of_two_survives_the_crash_of_one() {
    let mut ring = Ring::with(2, &[STABILIZE, DEADLINE]);
    crash(&ring, &[0]);
    ring.restart(0);
    ring.wait_ideal(&ring.all(), secs(30));
}

/// Kills `victims` under lookups and reads through every other node, and judges these.
fn crash(ring: &Ring, victims: &[usize]) {
    let live = ring.all_but(victims);
    let seen = Mutex::new(Vec::new());
    let killed = Mutex::new(None);
    let end = Instant::now() + WARM_UP + HEALED + AFTERWARDS;
    thread::scope(|scope| {
        for via in &live {
            scope.spawn(|| keep_asking(ring, *via, end, &seen));
        }
        deadline::pass(WARM_UP);
        let at = Instant::now();
        victims.iter().for_each(|victim| ring.kill(*victim));
        *killed.lock().unwrap() = Some(at);
    });
    let killed = killed
        .into_inner()
        .unwrap()
        .expect("the killing took place");
    judge(ring, victims, killed, &seen.into_inner().unwrap());
}

/// One question and what came of it.
struct Asked {
    at: Instant,
    took: Duration,
    via: usize,
    key: [u8; 32],
    owner: Result<String, String>,
    /// Whether a value written was there to be read.
    value: bool,
}

fn keep_asking(ring: &Ring, via: usize, end: Instant, seen: &Mutex<Vec<Asked>>) {
    let mut round = 0;
    while Instant::now() < end {
        let key = harness::dht::key(&format!("fault {via} {round}"));
        let at = Instant::now();
        let owner = ring.lookup(via, &key, HTTP_LIMIT);
        let took = at.elapsed();
        let (read, value) = write_and_read(ring, via, &key);
        seen.lock().unwrap().push(Asked {
            at,
            took: took.max(read),
            via,
            key,
            owner,
            value,
        });
        round += 1;
        deadline::pass(millis(10));
    }
}

/// A PUT and a GET behind it, as any client would: how long the answer took, and whether it had the
/// value. While owners change the value may be lost; the answer may not.
fn write_and_read(ring: &Ring, via: usize, key: &[u8; 32]) -> (Duration, bool) {
    let mut client = ring.client(via);
    client.send(&harness::dht::put(key, b"written"));
    let asked = Instant::now();
    let answer = client.try_read(key, HTTP_LIMIT);
    let value = answer.expect("SUCCESS or FAILURE, never silence");
    (asked.elapsed(), value.as_deref() == Some(b"written"))
}

fn judge(ring: &Ring, victims: &[usize], killed: Instant, asked: &[Asked]) {
    let live = ring.all_but(victims);
    let mut late = 0;
    for one in asked {
        assert!(
            one.took < ANSWERED,
            "a question through {} took {:?}",
            one.via,
            one.took
        );
        if one.at < killed + HEALED {
            continue;
        }
        late += 1;
        let after = one.at - killed;
        let owner = one.owner.as_ref().unwrap_or_else(|error| {
            panic!(
                "{after:?} after {victims:?} died, a lookup through {} failed: {error}",
                one.via
            )
        });
        let want = ring.owner(&live, &one.key);
        assert_eq!(
            owner,
            &ring.nodes[want].p2p.to_string(),
            "{after:?} after the crash"
        );
        let via = one.via;
        assert!(
            one.value,
            "{after:?} after the crash, what is written through {via} is lost"
        );
    }
    assert!(
        late >= live.len(),
        "only {late} lookups after the ring had healed"
    );
}

const STABILIZE: &str = "stabilize_interval=1s";
const DEADLINE: &str = "request_deadline=2s";
const WARM_UP: Duration = Duration::from_millis(300);
/// Three stabilise intervals.
const HEALED: Duration = Duration::from_secs(3);
const AFTERWARDS: Duration = Duration::from_millis(700);
/// The request deadline and what two busy cores may add.
const ANSWERED: Duration = Duration::from_millis(3500);
const HTTP_LIMIT: Duration = Duration::from_secs(12);
