//! Small cases of the simulated network: that it carries, counts and judges what it should, and
//! that rings heal in it. Seconds, not minutes.

use super::*;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn look_around(net: &mut RingNet, lookups: usize) -> Vec<Ended> {
    for _ in 0..lookups {
        let (host, target) = (net.any_member().unwrap(), net.any_position());
        net.look(host, 0, target, seconds(5));
    }
    net.run_to(net.now() + seconds(6));
    std::iter::from_fn(|| net.poll_ended()).collect()
}

#[test]
fn standing_ring_answers_everything_and_stays_as_it_is() {
    // Over links that are there already: the handshakes of far nodes take longer than a hop may.
    let plan = Plan {
        handshakes: 0,
        ..Plan::production(1)
    };
    let mut net = RingNet::placed(plan, 200);
    let before: Vec<_> = net.snapshots().collect();
    let ended = look_around(&mut net, 300);
    assert_eq!(ended.len(), 300);
    assert!(ended.iter().all(|ended| ended.correct));
    let timeouts: u32 = ended
        .iter()
        .map(|ended| u32::from(ended.result.as_ref().unwrap().route.timeouts))
        .sum();
    assert_eq!(timeouts, 0);
    net.run_to(net.now() + seconds(60));
    let neighbours = |all: Vec<proto::chord::MemberSnapshot>| -> Vec<(Option<Peer>, Vec<Peer>)> {
        let of = |one: proto::chord::MemberSnapshot| (one.predecessor, one.successors);
        all.into_iter().map(of).collect()
    };
    let after: Vec<_> = net.snapshots().collect();
    assert_eq!(neighbours(before), neighbours(after));
    let asked = Traffic::sum(net.traffic().lookups());
    assert!(asked.messages > 300 && asked.bytes > 20 * asked.messages);
    assert!(net.traffic().upkeep()["Neighbours"].messages > 200 * 50);
}

#[test]
fn ring_heals_after_joins_leaves_and_crashes_of_every_kind() {
    for notice in [Notice::AtOnce, Notice::Keepalive, Notice::Never] {
        let mut net = RingNet::placed(Plan::production(7), 100);
        for host in 0..10 {
            net.join();
            net.leave(host, Notice::AtOnce);
            net.crash(50 + host, notice);
        }
        assert!(!net.is_up(55) && !net.is_ideal());
        net.run_to(net.now() + seconds(60));
        assert!(!net.is_up(5) && net.is_up(100));
        assert_eq!(net.members(), 90);
        assert!(net.is_ideal(), "{notice:?}");
        let ended = look_around(&mut net, 100);
        assert!(ended.iter().all(|ended| ended.correct), "{notice:?}");
    }
}

/// Found by the simulation of churn: a predecessor that was asked once, over a link that was still
/// being made, was given nine round trips times seven before it counted as dead, so that only the
/// end of the link after eight seconds or more told of it. The farthest pairs need six.
#[test]
fn arcs_of_silent_members_have_owners_before_their_links_end() {
    let mut net = RingNet::placed(Plan::production(1), 200);
    net.run_to(net.now() + seconds(100));
    let mut before: Vec<_> = net.snapshots().collect();
    before.sort_by_key(|member| member.me.id());
    // One in ten, so that no two of them are neighbours.
    for victim in before.iter().skip(5).step_by(10) {
        net.crash(host::index(victim.me.name()), Notice::Keepalive);
    }
    net.run_to(net.now() + seconds(7));
    let after: BTreeMap<_, _> = net.snapshots().map(|one| (one.me.id(), one)).collect();
    for at in (5..200).step_by(10) {
        let heir = &after[&before[at + 1].me.id()];
        assert_eq!(heir.predecessor.as_ref(), Some(&before[at - 1].me));
    }
}

#[test]
fn a_seed_reproduces_a_run() {
    let run = |seed| {
        let mut net = RingNet::placed(Plan::production(seed), 60);
        for host in 0..6 {
            net.join();
            net.crash(host, Notice::Keepalive);
        }
        let ended = look_around(&mut net, 50);
        (net.events(), Traffic::sum(net.traffic().upkeep()), ended)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).0, run(4).0);
}

#[test]
fn wrong_answers_are_seen() {
    let mut net = RingNet::placed(Plan::papers(5), 60);
    // Nobody stabilises in time: the arcs of those who went have no owner who knows it.
    for host in 0..20 {
        net.crash(host, Notice::Never);
    }
    let ended = look_around(&mut net, 200);
    assert!(ended.iter().any(|ended| !ended.correct));
    assert!(ended.iter().any(|ended| ended.correct));
}

#[test]
fn quiet_ring_costs_what_stabilisation_costs() {
    let idle = idle(Plan::production(1), 50, seconds(30));
    let (asked, _) = idle.kinds["GetNeighbours"];
    assert!((0.9..1.1).contains(&asked), "one round a second: {asked}");
    assert!(idle.messages < 5.0 && idle.bytes > 100.0);
}
