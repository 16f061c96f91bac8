//! Real nodes that do not belong together: each says why in its log, and no ring comes of it.
//! Each pair differs in one thing: ring, parameters, authority or the name that is dialled.

use harness::certs::{Authority, Subject};
use harness::deadline::secs;
use harness::http;
use harness::serve::{Plan, Serve};

/// A node that runs, and the plan of one that wants to join it.
fn pair(ring: &str) -> (Serve, Authority, Plan) {
    let authority = Authority::create(ring);
    let first = Serve::signed_by(&authority, ring, &[]);
    let mut second = Plan::local(ring);
    second.bootstrapper = vec![first.plan.name().to_string()];
    (first, authority, second)
}

/// The first node has remained alone and the second is no member of anything.
fn expect_apart(first: &Serve, second: &Serve) {
    let ring = http::get(first.plan.admin(), "/ring", secs(5))
        .expect("an answer")
        .json();
    assert_eq!(ring.as_array().map(Vec::len), Some(1), "{ring}");
    let ready = http::get(second.plan.admin(), "/readyz", secs(5)).expect("an answer");
    assert_eq!(ready.status, 503, "{}", ready.body);
}

#[test]
fn a_node_of_another_ring_is_refused() {
    let (first, authority, mut plan) = pair("one");
    plan.ring = "two".into();
    plan.write(&authority);
    let second = plan.start();
    second.wait_log(&["`one`", "`two`"]);
    first.wait_log(&["`one`", "`two`"]);
    expect_apart(&first, &second);
}

#[test]
fn a_node_with_other_parameters_is_refused() {
    let (first, authority, plan) = pair("params");
    let plan = plan.set("successors = 8");
    plan.write(&authority);
    let second = plan.start();
    second.wait_log(&["successors", "8", "16"]);
    first.wait_log(&["successors", "8", "16"]);
    expect_apart(&first, &second);
}

#[test]
fn a_node_of_another_authority_is_refused() {
    let (first, _, plan) = pair("authority");
    plan.write(&Authority::create("other"));
    let second = plan.start();
    second.wait_log(&["certificate", "not signed by a CA of this ring"]);
    first.wait_log(&["refused us", "not signed by a CA it trusts"]);
    expect_apart(&first, &second);
}

#[test]
fn a_node_that_is_not_the_one_dialled_is_refused() {
    let (first, authority, mut plan) = pair("name");
    // The same address by another name, for which the first node's certificate is not made.
    let dialled = format!("localhost:{}", first.plan.ports[1]);
    plan.bootstrapper = vec![dialled.clone()];
    plan.write(&authority);
    let second = plan.start();
    let name = first.plan.name().to_string();
    second.wait_log(&[&name, &dialled]);
    first.wait_log(&["refused us", &dialled]);
    expect_apart(&first, &second);
}

#[test]
fn trust_has_to_be_mutual() {
    let (first, _, plan) = pair("several");
    let other = Authority::create("other");
    let mut pems = other.issue(&Subject::node("several", &plan.name()));
    let own = std::fs::read_to_string(first.plan.dir.join("ca.pem")).expect("a file");
    pems.ca += &own;
    plan.write_with(&pems);
    let second = plan.start();
    // It trusts the first, but the first does not trust it: each direction is checked.
    first.wait_log(&["certificate", "not signed by a CA of this ring"]);
    second.wait_log(&["refused us", "not signed by a CA it trusts"]);
    expect_apart(&first, &second);
}
