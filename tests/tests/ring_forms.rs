//! Rings of every size form from nodes that start at once, are ideal, and answer for every key
//! through every node.

use std::collections::BTreeSet;

use harness::deadline::secs;
use harness::dht::KeyBytes;
use harness::ring::Ring;

#[test]
fn a_ring_of_one_works() {
    forms_and_serves(1);
}

#[test]
fn a_ring_of_two_forms() {
    forms_and_serves(2);
}

#[test]
fn a_ring_of_three_forms() {
    forms_and_serves(3);
}

#[test]
fn a_ring_of_five_forms() {
    forms_and_serves(5);
}

#[test]
fn a_ring_of_eight_forms() {
    forms_and_serves(8);
}

#[test]
fn a_ring_of_thirty_two_forms() {
    forms_and_serves(32);
}

#[test]
fn a_ring_on_epoll_works() {
    let ring = Ring::with(3, &["io_driver=epoll"]);
    for index in ring.all() {
        let log = ring.log(index).to_lowercase();
        assert!(
            log.contains("epoll"),
            "node {index} says which driver it uses:\n{log}"
        );
    }
    ring.wait_ideal(&ring.all(), secs(20));
    every_node_answers_for_every_key(&ring);
}

#[test]
fn a_ring_of_nodes_with_two_cores_works() {
    let ring = Ring::with(3, &["shards=2"]);
    ring.wait_ideal(&ring.all(), secs(20));
    every_node_answers_for_every_key(&ring);
}

#[test]
fn a_ring_with_virtual_nodes_answers_for_every_key() {
    let ring = Ring::with(3, &["virtual_nodes=4"]);
    let check = ring.check(0);
    assert_eq!(
        check.code,
        Some(0),
        "ring --check: {}{}",
        check.stdout,
        check.stderr
    );
    every_node_answers(&ring, &keys("virtual", 48));
}

fn forms_and_serves(nodes: usize) {
    let ring = Ring::with(nodes, &[]);
    // `ready` promises a stable ring; the second look only allows for lists still being copied.
    ring.wait_ideal(&ring.all(), secs(30));
    every_node_answers_for_every_key(&ring);
    for index in ring.all() {
        let check = ring.check(index);
        assert_eq!(
            check.code,
            Some(0),
            "seen by {index}: {}{}",
            check.stdout,
            check.stderr
        );
    }
}

fn every_node_answers_for_every_key(ring: &Ring) {
    every_node_answers(ring, &keys_of_every_owner(ring));
    let all = ring.all();
    for (at, key) in keys_of_every_owner(ring).iter().enumerate() {
        let via = at % all.len();
        let owner = ring.lookup(via, key, secs(5)).expect("an owner");
        let want = ring.owner(&all, key);
        assert_eq!(
            owner,
            ring.nodes[want].p2p.to_string(),
            "the owner as node {via} finds it"
        );
    }
}

fn every_node_answers(ring: &Ring, keys: &[KeyBytes]) {
    let mut clients: Vec<_> = ring.all().iter().map(|index| ring.client(*index)).collect();
    let count = clients.len();
    for (at, key) in keys.iter().enumerate() {
        clients[at % count].write(key, format!("value {at}").as_bytes());
    }
    for (gateway, client) in clients.iter_mut().enumerate() {
        for (at, key) in keys.iter().enumerate() {
            let value = client.read(key);
            let want = format!("value {at}");
            assert_eq!(
                value.as_deref(),
                Some(want.as_bytes()),
                "key {at} through {gateway}"
            );
        }
    }
}

/// Keys of which every node owns at least one.
fn keys_of_every_owner(ring: &Ring) -> Vec<KeyBytes> {
    let all = ring.all();
    let mut unowned: BTreeSet<usize> = all.iter().copied().collect();
    let mut chosen = Vec::new();
    for key in keys("owned", 100_000) {
        let fresh = unowned.remove(&ring.owner(&all, &key));
        if fresh || chosen.len() < 16 {
            chosen.push(key);
        }
        if unowned.is_empty() && chosen.len() >= 16 {
            break;
        }
    }
    chosen
}

fn keys(prefix: &str, count: usize) -> Vec<KeyBytes> {
    (0..count)
        .map(|at| harness::dht::key(&format!("{prefix} {at}")))
        .collect()
}
