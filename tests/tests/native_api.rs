//! The native API over mutual TLS with a client's certificate: versions, lifetimes, hosts, hop
//! counts and paths, and what is refused.

use harness::certs::{Authority, Subject};
use harness::deadline::{secs, until};
use harness::dht;
use harness::http;
use harness::native::{Native, Own};
use harness::ring::Ring;
use harness::serve::Serve;
use proto::codec;
use proto::key::Key;
use proto::limits::VALUE_BYTES_MAX;
use proto::message::{
    Delete, FailureCode, Get, Lookup, LookupAnswer, LookupMode, Message, Put, RequestId, Stored,
};
use proto::peer::NodeName;
use proto::version::Version;

#[test]
fn values_carry_versions_and_lifetimes() {
    let ring = Ring::with(3, &["ttl_min=10s", "ttl_default=20s", "ttl_max=30s"]);
    let mut client = client(&ring, 0);
    let mut last = Version::default();
    for (ttl_s, kept_ms) in [(0, 20_000), (1, 10_000), (25, 25_000), (1_000_000, 30_000)] {
        for key in keys(8) {
            let stored = put(&mut client, key, ttl_s, b"value").expect("stored");
            assert!(stored.version.stamp > 0 && stored.hosts >= 1, "{stored:?}");
            let (version, expiry_ms) = read(&mut client, key).expect("it is there");
            assert_eq!(version, stored.version);
            let lived = expiry_ms - version.wall_ms();
            assert!(
                lived.abs_diff(kept_ms) <= 1000,
                "TTL {ttl_s}: {lived} ms, not {kept_ms}"
            );
        }
        let stored = put(&mut client, keys(1)[0], ttl_s, b"again").expect("stored");
        assert!(stored.version > last, "versions of a key grow");
        last = stored.version;
    }
}

/// Regression: a link that failed while its answers filled the queue waited for ever, and kept its
/// place and its memory.
#[test]
fn a_link_that_fails_while_flooded_is_given_back() {
    let ring = Ring::with(1, &[]);
    let mut client = client(&ring, 0);
    let key = keys(1)[0];
    put(&mut client, key, 60, &[7; VALUE_BYTES_MAX]).expect("stored");
    let mut frames = Vec::new();
    for request in 0..200 {
        codec::encode(&mut frames, RequestId(request), &Message::Get(Get { key }));
    }
    frames.extend_from_slice(&[0xff; 64]);
    client.send_bytes(&frames);
    client.expect_refused();
    drop(client);
    until("the link is given back", secs(20), || {
        let metrics = http::get(ring.nodes[0].admin, "/metrics", secs(5)).ok()?;
        metrics
            .body
            .contains("chordite_links_accepted_open 0")
            .then_some(())
    });
}

#[test]
fn deletes_take_values_away() {
    let ring = Ring::with(2, &[]);
    let (mut one, mut two) = (client(&ring, 0), client(&ring, 1));
    for key in keys(8) {
        put(&mut one, key, 60, b"mortal").expect("stored");
        let deleted = two.ask(&Message::Delete(Delete { key }), |answer| {
            matches!(answer, Message::Stored(_))
        });
        assert!(
            deleted,
            "a delete of what is there is answered with its version"
        );
        assert_eq!(read(&mut one, key), None);
        let again = two.ask(&Message::Delete(Delete { key }), |answer| {
            matches!(answer, Message::Absent(_))
        });
        assert!(again, "a delete of nothing says so");
    }
}

#[test]
fn every_kind_of_lookup_finds_the_owner_and_counts_its_hops() {
    let ring = Ring::with(8, &["finger_bits=1"]);
    ring.wait_ideal(&ring.all(), harness::deadline::secs(30));
    let mut client = client(&ring, 3);
    for key in keys(24) {
        let owner = ring.owner(&ring.all(), key.as_bytes());
        for mode in [
            LookupMode::Recursive,
            LookupMode::Traced,
            LookupMode::Iterative,
            LookupMode::Cached,
            LookupMode::Cached,
        ] {
            let target = key.position();
            let found = look_up(&mut client, &Message::Lookup(Lookup { target, mode }));
            assert_eq!(found.owner.name(), &ring.nodes[owner].p2p, "{mode:?}");
            assert_eq!(found.owner.id(), ring.id(owner), "{mode:?}");
            let rpcs = usize::from(found.route.rpcs);
            assert_eq!(rpcs == 0, owner == 3, "{mode:?}: {found:?}");
            assert!(rpcs <= 8, "{mode:?}: {found:?}");
            assert_eq!(found.route.timeouts, 0, "{mode:?}: {found:?}");
            if mode == LookupMode::Traced && owner != 3 {
                assert_eq!(
                    found.path.len(),
                    rpcs,
                    "each node passed is named: {found:?}"
                );
                assert_eq!(
                    found.path.last(),
                    Some(&found.owner),
                    "the owner last: {found:?}"
                );
            }
        }
    }
}

#[test]
fn a_full_node_refuses_writes_and_keeps_what_it_has() {
    let authority = Authority::create("full");
    let node = Serve::signed_by(&authority, "full", &["memory_max = 1MiB"]);
    let name = NodeName::parse("localhost:1").expect("a name");
    let dir = node.plan.dir.join("client");
    authority.issue(&Subject::client("full", &name)).write(&dir);
    let mut client = connect(&dir, "full", &node.plan.name());
    let mut full = None;
    for at in 0..64 {
        let key = Key::from_text(&format!("full {at}"));
        if let Err(code) = put(&mut client, key, 60, &[1; 60_000]) {
            full = Some((at, code));
            break;
        }
    }
    let (stored, code) = full.expect("1 MiB is full some time");
    assert_eq!(code, FailureCode::MemoryFull);
    assert!(
        (8..=18).contains(&stored),
        "{stored} values of 60,000 bytes in 1 MiB"
    );
    for at in 0..stored {
        let key = Key::from_text(&format!("full {at}"));
        assert!(
            read(&mut client, key).is_some(),
            "value {at} is dropped in silence"
        );
    }
    let last = Key::from_text(&format!("full {stored}"));
    assert_eq!(
        read(&mut client, last),
        None,
        "what was refused is not there"
    );
}

#[test]
fn many_requests_of_one_link_are_answered_each_by_its_id() {
    let ring = Ring::with(3, &[]);
    let mut client = client(&ring, 1);
    let value = vec![3; VALUE_BYTES_MAX];
    let mut waiting = std::collections::BTreeSet::new();
    for key in keys(64) {
        let put = Put {
            key,
            ttl_s: 60,
            replication: 0,
            value: &value,
        };
        waiting.insert(client.send(&Message::Put(put)));
    }
    while !waiting.is_empty() {
        let (request, stored) = client
            .receive(|request, answer| Some((request, matches!(answer, Message::Stored(_)))))
            .expect("an answer");
        assert!(stored && waiting.remove(&request), "answer to {request:?}");
    }
    for key in keys(64) {
        assert!(read(&mut client, key).is_some());
    }
}

fn client(ring: &Ring, via: usize) -> Native {
    connect(&ring.dir.join("client"), &ring.ring, &ring.nodes[via].p2p)
}

fn connect(dir: &std::path::Path, ring: &str, to: &NodeName) -> Native {
    let own = Own::of_client(dir, ring);
    let addr = to.as_str().parse().expect("an address");
    Native::dial(addr, &own, Some(to)).expect("a client is welcome")
}

fn put(client: &mut Native, key: Key, ttl_s: u32, value: &[u8]) -> Result<Stored, FailureCode> {
    let put = Message::Put(Put {
        key,
        ttl_s,
        replication: 0,
        value,
    });
    client.ask(&put, |answer| match answer {
        Message::Stored(stored) => Ok(*stored),
        Message::Failed(failed) => Err(failed.code),
        other => panic!("a PUT is answered with {other:?}"),
    })
}

fn read(client: &mut Native, key: Key) -> Option<(Version, u64)> {
    client.ask(&Message::Get(Get { key }), |answer| match answer {
        Message::Value(value) => Some((value.version, value.expiry_ms)),
        Message::Absent(_) => None,
        other => panic!("a GET is answered with {other:?}"),
    })
}

fn look_up(client: &mut Native, lookup: &Message<'_>) -> LookupAnswer {
    client.ask(lookup, |answer| match answer {
        Message::LookupAnswer(found) => found.clone(),
        other => panic!("a lookup is answered with {other:?}"),
    })
}

fn keys(count: usize) -> Vec<Key> {
    (0..count)
        .map(|at| Key::from_bytes(dht::key(&format!("native {at}"))))
        .collect()
}
