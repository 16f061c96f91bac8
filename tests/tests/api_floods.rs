//! Clients that take without reading and clients that send without end: the node stops reading
//! them, its memory stays bounded, and others are served as if nothing were.

use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::deadline::{millis, secs};
use harness::dht::{self, Client, KeyBytes};
use harness::permit::Permit;
use harness::usage;

use crate::targets::Target;

#[test]
fn who_never_reads_is_not_read_by_a_node_alone() {
    never_reading(&Target::single());
}

#[test]
fn who_never_reads_is_not_read_by_a_gateway() {
    never_reading(&Target::gateway());
}

#[test]
fn a_flood_of_puts_is_bounded_in_a_node_alone() {
    flooding(&Target::single());
}

#[test]
fn a_flood_of_puts_is_bounded_in_a_gateway_and_in_the_owner() {
    flooding(&Target::gateway());
}

fn never_reading(target: &Target) {
    let _permit = Permit::take(4);
    let key = target.key("never read");
    target.client().write(&key, &[9; 60_000]);
    let mut greedy = target.client();
    beside_a_good_client(target, || {
        let sent = send_until_stopped(&mut greedy, &dht::get(&key), secs(20));
        assert!(
            sent < STOPPED_BYTES_MAX,
            "{sent} bytes of requests were taken"
        );
    });
    // Nothing is lost by the pause: what was asked is answered once the client reads.
    let want = dht::success(&key, &[9; 60_000]);
    for _ in 0..100 {
        greedy.expect(&want);
    }
}

fn flooding(target: &Target) {
    let _permit = Permit::take(4);
    let mut client = target.client();
    let keys: Vec<_> = (0..8)
        .map(|at| target.key(&format!("flood {at}")))
        .collect();
    let mut last = Vec::new();
    beside_a_good_client(target, || {
        let end = Instant::now() + secs(3);
        let mut round = 0u64;
        client
            .stream()
            .set_write_timeout(Some(secs(5)))
            .expect("a timeout above 0");
        while Instant::now() < end {
            last = vec![round.to_le_bytes()[0]; 60_000];
            for key in &keys {
                client.send(&dht::put(key, &last));
            }
            round += 1;
        }
    });
    for key in &keys {
        assert!(
            client.read(key).as_deref() == Some(&last[..]),
            "the last PUT is seen"
        );
    }
}

/// Does `abuse` while a good client asks on; judges its answers and the memory of all nodes.
fn beside_a_good_client(target: &Target, abuse: impl FnOnce()) {
    let before: Vec<_> = target
        .pids()
        .into_iter()
        .map(usage::resident_bytes)
        .collect();
    let (done, key) = (AtomicBool::new(false), target.key("good beside"));
    target.client().write(&key, b"good");
    thread::scope(|scope| {
        let good = scope.spawn(|| ask_until(&done, target.client(), &key));
        let watched = scope.spawn(|| watch_memory(&done, target, &before));
        let abused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(abuse));
        done.store(true, Ordering::Relaxed);
        let (slowest, answers) = good.join().expect("the good client is served");
        let grown = watched.join().expect("reading /proc");
        abused.expect("the abuse goes as planned");
        assert!(grown < GROWTH_BYTES_MAX, "a node grew by {grown} bytes");
        println!("grown {grown} bytes, slowest answer {slowest:?} of {answers}");
        assert!(slowest < secs(1), "the good client once waited {slowest:?}");
        assert!(answers >= 10, "the good client got only {answers} answers");
    });
}

fn ask_until(done: &AtomicBool, mut client: Client, key: &KeyBytes) -> (Duration, u32) {
    let (mut slowest, mut answers) = (Duration::ZERO, 0);
    while !done.load(Ordering::Relaxed) || answers < 10 {
        let asked = Instant::now();
        assert_eq!(client.read(key).as_deref(), Some(&b"good"[..]));
        slowest = slowest.max(asked.elapsed());
        answers += 1;
        // Gentle: one question every few milliseconds, waiting for bytes that do not come.
        client.watch(millis(5));
    }
    (slowest, answers)
}

/// Watches the memory of all nodes and gives the most that any of them has grown by.
fn watch_memory(done: &AtomicBool, target: &Target, before: &[u64]) -> u64 {
    let mut most = 0;
    while !done.load(Ordering::Relaxed) {
        for (pid, before) in target.pids().into_iter().zip(before) {
            most = most.max(usage::resident_bytes(pid).saturating_sub(*before));
        }
        harness::deadline::pass(millis(20));
    }
    most
}

/// Sends `request` again and again until the node takes no more for two seconds; the bytes taken.
fn send_until_stopped(client: &mut Client, request: &[u8], limit: Duration) -> usize {
    let batch = request.repeat(1000);
    let (end, mut sent) = (Instant::now() + limit, 0);
    let mut stream = client.stream();
    stream
        .set_write_timeout(Some(secs(2)))
        .expect("a timeout above 0");
    while Instant::now() < end && sent < STOPPED_BYTES_MAX {
        // Goes on where a partial write has stopped, so that requests stay whole.
        match stream.write(&batch[sent % request.len()..]) {
            Ok(taken) => sent += taken,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return sent;
            }
            Err(error) => panic!("the node closed instead of waiting: {error}"),
        }
    }
    sent
}

/// Above what the buffers of both sockets hold.
const STOPPED_BYTES_MAX: usize = 48 * 1024 * 1024;
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;
