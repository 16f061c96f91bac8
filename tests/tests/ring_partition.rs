//! Two halves of a ring in network namespaces of their own, cut apart and joined again: each half
//! becomes a ring, and both become one.

use std::env;
use std::path::Path;
use std::thread;

use harness::certs::Authority;
use harness::circle::{Circle, Node};
use harness::deadline::secs;
use harness::namespace::{self, Switch};
use harness::permit::Permit;
use harness::process::Process;
use harness::serve::{Plan, Serve};
use harness::{binaries, dht};

#[test]
fn two_halves_cut_apart_and_joined_again_are_one_ring() {
    if let Some(why) = namespace::obstacle() {
        assert!(
            env::var_os("CI").is_none(),
            "CI has to run this test: {why}"
        );
        println!("skipped: {why}");
        return;
    }
    let _permit = Permit::take(2 * HALF);
    let switch = Switch::create(2);
    let (_nodes, circle) = start(&switch);
    let all = circle.all();
    let halves = [&all[..HALF], &all[HALF..]];
    switch.inside(0, || circle.wait_ideal(&all, secs(60)));

    switch.pull(1);
    thread::scope(|scope| {
        for (side, half) in halves.into_iter().enumerate() {
            let (switch, circle) = (&switch, &circle);
            scope.spawn(move || {
                switch.inside(side, || {
                    circle.wait_ideal(half, secs(60));
                    answers(circle, half);
                });
            });
        }
    });

    switch.plug(1);
    switch.inside(0, || {
        circle.wait_ideal(&all, secs(60));
        answers(&circle, &all);
    });
    let admin = circle.nodes[0].admin.to_string();
    let chordite = binaries::chordite().display().to_string();
    let args = [
        "netns",
        "exec",
        &switch.name(0),
        &chordite,
        "ring",
        "--check",
        "-a",
        &admin,
    ];
    let check = Process::finish(Path::new("ip"), &args, secs(20));
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
}

/// Every node of `live` finds the true owner of some keys.
fn answers(circle: &Circle, live: &[usize]) {
    for via in live {
        for at in 0..8 {
            let key = dht::key(&format!("half {at}"));
            let owner = circle.lookup(*via, &key, secs(5)).expect("an owner");
            assert_eq!(
                owner,
                circle.nodes[circle.owner(live, &key)].p2p.to_string()
            );
        }
    }
}

fn start(switch: &Switch) -> (Vec<Serve>, Circle) {
    let authority = Authority::create("partition");
    let plans: Vec<Plan> = (0..2 * HALF).map(|index| plan(switch, index)).collect();
    // Both halves know a member of each half, as an operator would configure it.
    let known = vec![plans[0].name().to_string(), plans[HALF].name().to_string()];
    let mut serves = Vec::new();
    let mut circle = Circle {
        ring: "partition".into(),
        nodes: Vec::new(),
    };
    for (index, mut plan) in plans.into_iter().enumerate() {
        if index > 0 {
            plan.bootstrapper.clone_from(&known);
        }
        plan.write(&authority);
        let (api, p2p, admin, dir) = (plan.api(), plan.name(), plan.admin(), plan.dir.clone());
        let serve = plan.start_in(&switch.name(index / HALF));
        let pid = serve.process.pid();
        circle.nodes.push(Node {
            index,
            pid,
            api,
            p2p,
            admin,
            dir,
        });
        serves.push(serve);
    }
    (serves, circle)
}

fn plan(switch: &Switch, index: usize) -> Plan {
    let mut plan = Plan::local("partition");
    plan.host = switch.address(index / HALF);
    plan
}

const HALF: usize = 3;
