//! Cores of whole rings, driven in memory: requests through any gateway, crashes, leaving, the
//! rules for peers.

use proto::codec;
use proto::key::Key;
use proto::message::{FailureCode, Get, LookupMode, Message, Notify, Put, RequestId, Role};
use proto::peer::Peer;
use proto::time::Now;

use super::core::Core;
use super::output::Output;
use super::request::{AdminAnswer, AdminRequest, ClientAnswer, ClientRequest};
use super::testnet::{TestNet, config, name, params};

fn put(key: Key, value: &[u8]) -> ClientRequest<'_> {
    ClientRequest::Put {
        key,
        ttl_s: 0,
        replication: 0,
        value,
    }
}

fn key(i: usize) -> Key {
    Key::from_text(&format!("key {i}"))
}

fn value_of(answer: &ClientAnswer) -> Option<&[u8]> {
    match answer {
        ClientAnswer::Value { value, .. } => Some(value),
        _ => None,
    }
}

#[test]
fn every_core_of_every_node_answers_for_every_key() {
    for (nodes, cores) in [(1, 1), (1, 3), (2, 2), (5, 2)] {
        let mut net = TestNet::new(nodes, cores);
        net.run(20_000);
        for i in 0..20 {
            let stored = net.ask((i % nodes, 0), &put(key(i), key(i).as_bytes()), 1_000);
            assert!(matches!(stored, ClientAnswer::Stored(_)), "{stored:?}");
        }
        for i in 0..20 {
            for node in 0..nodes {
                let core = u8::try_from(i).expect("small") % cores;
                let answer = net.ask((node, core), &ClientRequest::Get { key: key(i) }, 1_000);
                assert_eq!(
                    value_of(&answer),
                    Some(&key(i).as_bytes()[..]),
                    "{nodes} {cores}"
                );
            }
        }
        let gone = net.ask((0, 0), &ClientRequest::Delete { key: key(1) }, 1_000);
        assert!(matches!(gone, ClientAnswer::Stored(_)));
        let answer = net.ask((nodes - 1, 0), &ClientRequest::Get { key: key(1) }, 1_000);
        assert!(matches!(answer, ClientAnswer::Absent(_)));
    }
}

/// The owner of a lookup answers over a link of its own, perhaps after the asking process has been
/// followed by another one, which must not take the answer for that to a lookup of its own.
#[test]
fn two_starts_of_a_node_number_their_lookups_differently() {
    let first_lookup = |seed| {
        let mut config = config(1, 0, 1, &[name(0)]);
        config.seed = seed;
        let mut core = Core::new(config);
        core.start(Now::at_ms(1));
        let output = core.poll_output();
        let Some(Output::Send { frames, .. }) = output else {
            panic!("a joiner asks whom it knows: {output:?}");
        };
        let frame = codec::frames(&frames).flatten().next().expect("a frame");
        match codec::decode(&params(), frame.header.kind, frame.body) {
            Ok(Message::FindSuccessor(find)) => find.lookup,
            other => panic!("a joiner looks its own place up: {other:?}"),
        }
    };
    let (one, other) = (
        first_lookup(0x1234_5678_9abc_def0),
        first_lookup(0x8765_4321_0fed),
    );
    assert_ne!(one, other);
    assert_eq!((one.core(), one.tag()), (other.core(), other.tag()));
}

/// The arc cache may still name a member that has left; what the node owns itself, it knows better.
#[test]
fn an_own_arc_goes_before_a_cached_one() {
    let mut net = TestNet::new(2, 1);
    net.run(20_000);
    let lookup = |i: usize| ClientRequest::Lookup {
        target: key(i).position(),
        mode: LookupMode::Cached,
    };
    for i in 0..20 {
        net.ask((0, 0), &lookup(i), 1_000);
    }
    net.operate(1, AdminRequest::Leave);
    net.run(5_000);
    for i in 0..20 {
        match net.ask((0, 0), &lookup(i), 1_000) {
            ClientAnswer::Owner(answer) => {
                assert_eq!(answer.owner.name(), &name(0));
                assert_eq!(answer.elapsed_us, 0, "nobody else is asked");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_second_request_of_an_arc_costs_one_rpc() {
    let mut net = TestNet::new(5, 1);
    net.run(20_000);
    for i in 0..20 {
        net.ask((0, 0), &ClientRequest::Get { key: key(i) }, 1_000);
    }
    for i in 0..20 {
        let ClientAnswer::Absent(route) =
            net.ask((0, 0), &ClientRequest::Get { key: key(i) }, 1_000)
        else {
            panic!("nothing was stored")
        };
        assert!(route.rpcs <= 1, "{route:?}");
        assert_eq!(route.cached, route.rpcs == 1);
    }
}

#[test]
fn requests_to_a_dead_owner_end_within_their_deadline_and_succeed_soon_after() {
    let mut net = TestNet::new(5, 1);
    net.run(20_000);
    let keys: Vec<_> = (0..20).map(key).collect();
    for key in &keys {
        net.ask((0, 0), &ClientRequest::Get { key: *key }, 1_000);
    }
    net.kill(3);
    for key in &keys {
        net.ask((0, 0), &ClientRequest::Get { key: *key }, 5_100);
    }
    net.run(3_000);
    for key in &keys {
        let answer = net.ask((0, 0), &put(*key, b"again"), 1_000);
        assert!(matches!(answer, ClientAnswer::Stored(_)), "{answer:?}");
    }
}

#[test]
fn lookups_name_the_owner_in_every_mode() {
    let mut net = TestNet::new(5, 2);
    net.run(20_000);
    let target = key(1).position();
    let mut owners = Vec::new();
    for mode in [
        LookupMode::Cached,
        LookupMode::Recursive,
        LookupMode::Traced,
        LookupMode::Iterative,
    ] {
        let answer = net.ask((2, 1), &ClientRequest::Lookup { target, mode }, 1_000);
        let ClientAnswer::Owner(answer) = answer else {
            panic!("{mode:?}: {answer:?}")
        };
        owners.push(answer.owner.clone());
    }
    owners.dedup();
    assert_eq!(owners.len(), 1);
}

/// Regression: an arc of the cache was handed out as the answer although its owner was gone.
#[test]
fn a_cached_lookup_is_confirmed_by_the_owner() {
    let mut net = TestNet::new(5, 1);
    net.run(20_000);
    let mode = LookupMode::Cached;
    let find = |net: &mut TestNet, i| {
        let target = key(i).position();
        match net.ask((0, 0), &ClientRequest::Lookup { target, mode }, 5_100) {
            ClientAnswer::Owner(answer) => (answer.owner.name().clone(), answer.route),
            other => panic!("no owner of key {i}: {other:?}"),
        }
    };
    for i in 0..20 {
        find(&mut net, i);
        let (owner, route) = find(&mut net, i);
        assert_eq!(route.cached, owner != name(0), "{route:?}");
    }
    net.kill(3);
    net.run(5_000);
    for i in 0..20 {
        assert_ne!(find(&mut net, i).0, name(3));
    }
}

#[test]
fn a_crawl_lists_the_ring_and_the_dead() {
    let mut net = TestNet::new(5, 1);
    net.run(20_000);
    let AdminAnswer::Ring(members) = net.operate(0, AdminRequest::Ring) else {
        panic!()
    };
    assert_eq!(members.len(), 5);
    net.kill(4);
    let AdminAnswer::Ring(members) = net.operate(0, AdminRequest::Ring) else {
        panic!()
    };
    assert_eq!(
        members
            .iter()
            .filter(|member| member.phase == "unreachable")
            .count(),
        1
    );
}

#[test]
fn a_node_that_left_is_no_member_and_refuses_requests() {
    let mut net = TestNet::new(3, 2);
    net.run(20_000);
    assert_eq!(net.operate(1, AdminRequest::Leave), AdminAnswer::Left);
    net.run(10);
    assert!(!net.core((1, 1)).expect("it lives").is_member());
    let answer = net.ask((1, 1), &ClientRequest::Get { key: key(1) }, 5_100);
    assert!(matches!(answer, ClientAnswer::Failed(_)), "{answer:?}");
    let answer = net.ask((0, 0), &put(key(1), b"v"), 1_000);
    assert!(matches!(answer, ClientAnswer::Stored(_)), "{answer:?}");
}

#[test]
fn an_empty_or_long_value_is_refused() {
    let mut net = TestNet::new(1, 1);
    net.run(1_000);
    for value in [&[][..], &[0; 1_001][..]] {
        let ClientAnswer::Failed(failed) = net.ask((0, 0), &put(key(1), value), 10) else {
            panic!("it is not valid")
        };
        assert_eq!(failed.code, FailureCode::Invalid);
    }
}

#[test]
fn a_gateway_that_is_wrong_about_the_owner_is_told() {
    let mut net = TestNet::new(2, 1);
    net.run(20_000);
    let mine = (0..)
        .map(key)
        .find(|key| net.core((0, 0)).expect("lives").owns(key));
    let mine = mine.expect("node 0 owns something");
    let mut frame = Vec::new();
    codec::encode(&mut frame, RequestId(1), &Message::Get(Get { key: mine }));
    let before = net.core((1, 0)).expect("lives").counters().owner_requests;
    net.inject((1, 0), &name(0), Role::Node, &frame);
    assert_eq!(
        net.core((1, 0)).expect("lives").counters().owner_requests,
        before + 1
    );
    assert!(net.closed().is_empty());
}

#[test]
fn a_notify_for_somebody_else_closes_the_link() {
    let mut net = TestNet::new(2, 2);
    net.run(20_000);
    let candidate = Peer::derive(&params(), &name(7), 0).expect("a peer");
    let mut frame = Vec::new();
    let notify = Message::Notify(Notify {
        vnode: 0,
        candidate,
    });
    codec::encode(&mut frame, RequestId(1), &notify);
    net.inject((0, 1), &name(8), Role::Node, &frame);
    assert_eq!(net.closed().len(), 1, "{:?}", net.closed());
}

/// A native client's put of key 5 at core 1 of node 2.
fn put_natively(net: &mut TestNet) {
    let mut frame = Vec::new();
    let message = Put {
        key: key(5),
        ttl_s: 10,
        replication: 0,
        value: b"native",
    };
    codec::encode(&mut frame, RequestId(1), &Message::Put(message));
    net.inject((2, 1), &name(99), Role::Client, &frame);
    net.run(100);
}

#[test]
fn a_native_client_is_served_as_by_a_gateway() {
    let mut net = TestNet::new(3, 2);
    net.run(20_000);
    put_natively(&mut net);
    let answer = net.ask((0, 0), &ClientRequest::Get { key: key(5) }, 1_000);
    assert_eq!(value_of(&answer), Some(&b"native"[..]));
}

#[test]
fn a_core_that_stops_refuses_native_clients_and_goes_on_for_its_fronts() {
    let mut net = TestNet::new(3, 2);
    net.run(20_000);
    net.on((2, 1), |core, _| core.refuse_clients());
    put_natively(&mut net);
    let answer = net.ask((2, 1), &ClientRequest::Get { key: key(5) }, 1_000);
    assert!(matches!(answer, ClientAnswer::Absent(_)), "{answer:?}");
    assert_eq!(
        net.core((2, 1)).expect("it lives").client_operations_len(),
        0
    );
}

#[test]
fn lookups_are_counted_with_what_they_cost() {
    let mut net = TestNet::new(5, 1);
    net.run(20_000);
    for i in 0..20 {
        let target = key(i).position();
        let mode = LookupMode::Recursive;
        net.ask((0, 0), &ClientRequest::Lookup { target, mode }, 1_000);
    }
    let core = net.core((0, 0)).expect("it lives");
    let counters = core.counters();
    assert_eq!((counters.lookups_client, counters.lookups_failed), (20, 0));
    assert!(
        counters.lookups_ring > 0 && counters.lookup_rpcs > 0,
        "{counters:?}"
    );
    assert_eq!((core.members_known(), counters.lookup_timeouts), (4, 0));
}
