//! Going on purpose: a node told to stop leaves the ring, finishes and exits with 0; `dev` takes
//! its nodes along however it ends.

use std::collections::BTreeSet;
use std::fs;

use harness::certs::{Subject, issue_from};
use harness::deadline::{self, secs};
use harness::native::{Native, Own};
use harness::process;
use harness::ring::Ring;
use harness::serve::{Plan, Serve, authority_dir};
use proto::key::Key;
use proto::message::{Get, Message, RequestId, Role};
use proto::peer::NodeName;
use rustix::process::Signal;

#[test]
fn a_node_told_to_stop_leaves_and_exits_with_0() {
    let ring = Ring::with(3, &[]);
    let node = newcomer(&ring);
    let pid = node.process.pid();
    let key = harness::dht::key("while leaving");
    let mut client = ring.client(0);
    client.write(&key, b"there");
    node.process.signal(Signal::TERM);
    // A leave is no failure: nobody has to time out before the ring is whole again.
    let mut through = ring.client(1);
    deadline::until("the node has stopped", secs(10), || {
        let answer = through
            .try_read(&key, secs(5))
            .expect("an answer while a node leaves");
        drop(answer);
        (!process::runs(pid)).then_some(())
    });
    ring.wait_ideal(&ring.all(), secs(5));
    let finished = node.process.wait(secs(5));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

#[test]
fn a_node_told_to_stop_answers_what_is_in_flight() {
    let ring = Ring::with(3, &[]);
    let node = newcomer(&ring);
    let keys: Vec<_> = (0..IN_FLIGHT)
        .map(|number| harness::dht::key(&format!("in flight {number}")))
        .collect();
    let (mut client, mut native) = (node.client(), native_client(&ring, &node.plan));
    // What the paused node owns stays in flight until others take over or it wakes up.
    ring.signal(2, Signal::STOP);
    client.send(&keys.iter().flat_map(harness::dht::get).collect::<Vec<_>>());
    let mut asked: BTreeSet<RequestId> = keys
        .iter()
        .map(|key| {
            let key = Key::from_bytes(*key);
            native.send(&Message::Get(Get { key }))
        })
        .collect();
    // The node has read them all; a Ping behind them is answered at once.
    let ping = native.send(&Message::Ping);
    let ponged = native.receive(|request, _| {
        asked.remove(&request);
        (request == ping).then_some(())
    });
    ponged.expect("a Pong");
    node.process.signal(Signal::TERM);
    ring.signal(2, Signal::CONT);
    for key in &keys {
        let answer = client.receive_answer(key, secs(10));
        assert_eq!(answer.expect("every GET is answered"), None);
    }
    client.expect_closed();
    while !asked.is_empty() {
        let answered = native.receive(|request, _| asked.remove(&request).then_some(()));
        answered.unwrap_or_else(|error| panic!("{} unanswered: {error}", asked.len()));
    }
    let finished = node.process.wait(secs(20));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

#[test]
fn a_ring_of_one_told_to_stop_exits_with_0() {
    let node = Serve::single("leave", &[]);
    node.process.signal(Signal::TERM);
    let finished = node.process.wait(secs(10));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

#[test]
fn a_node_that_waits_for_its_ring_can_be_stopped() {
    let mut plan = Plan::local("lonely");
    // Nobody listens there: the node goes on asking.
    plan.bootstrapper = vec![format!("127.0.0.1:{}", harness::ports::reserve(1))];
    plan.write(&harness::certs::Authority::create("lonely"));
    let node = plan.start();
    deadline::until("the node is alive", secs(20), || {
        let reply = harness::http::get(node.plan.admin(), "/livez", secs(2)).ok()?;
        (reply.status == 200).then_some(())
    });
    let ready = harness::http::get(node.plan.admin(), "/readyz?verbose", secs(2)).expect("HTTP");
    assert_eq!(
        ready.status, 503,
        "not ready before it is a member: {}",
        ready.body
    );
    node.process.signal(Signal::TERM);
    let finished = node.process.wait(secs(10));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

#[test]
fn dev_told_to_stop_stops_its_nodes() {
    for signal in [Signal::TERM, Signal::INT] {
        let ring = Ring::with(3, &[]);
        ring.dev.signal(signal);
        let pids: Vec<u32> = ring.nodes.iter().map(|node| node.pid).collect();
        let finished = ring.dev.wait(secs(20));
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let left: Vec<_> = pids.iter().filter(|pid| process::runs(**pid)).collect();
        assert!(left.is_empty(), "still running: {left:?}");
    }
}

#[test]
fn the_nodes_of_a_killed_dev_die_with_it() {
    let ring = Ring::with(3, &[]);
    ring.dev.signal(Signal::KILL);
    for node in &ring.nodes {
        let gone = || (!process::runs(node.pid)).then_some(());
        deadline::until("a node dies with dev", secs(5), gone);
    }
}

/// A native client of the node of `plan`, with a certificate of its own.
fn native_client(ring: &Ring, plan: &Plan) -> Native {
    let subject = Subject::client(&ring.ring, &NodeName::parse(CLIENT).expect("a name"));
    let pems = issue_from(&authority_dir(&ring.dir), &subject);
    let name = NodeName::parse(CLIENT).expect("a name");
    let own = Own::new(pems, &ring.ring, &name, Role::Client);
    let to = plan.name();
    let addr = to.as_str().parse().expect("an address");
    Native::dial(addr, &own, Some(&to)).expect("a client is welcome")
}

/// A fourth node, a process of the test's own, that has joined `ring`.
fn newcomer(ring: &Ring) -> Serve {
    let mut plan = Plan::local(&ring.ring);
    plan.bootstrapper = vec![ring.nodes[0].p2p.to_string(), ring.nodes[1].p2p.to_string()];
    let subject = Subject::node(&plan.ring, &plan.name());
    plan.write_with(&issue_from(&authority_dir(&ring.dir), &subject));
    let mut node = plan.start();
    node.wait_ready();
    let members = deadline::until("four members", secs(10), || {
        let reply = harness::http::get(ring.nodes[2].admin, "/ring", secs(5)).ok()?;
        let count = reply.json().as_array().map(Vec::len);
        (count == Some(4)).then_some(4)
    });
    assert_eq!(members, 4);
    assert!(
        fs::metadata(node.plan.log_path()).is_ok(),
        "the log file is where it was asked for"
    );
    node
}

/// Requests of each client that are under way when the node is told to stop.
const IN_FLIGHT: usize = 100;

/// The name in the native client's certificate.
const CLIENT: &str = "leaving-client:1";
