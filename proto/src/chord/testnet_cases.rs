//! What must hold of whole rings, on the test network: each case over many seeds.
//! Time, loss and crashes come from the seed of the network, so a failed seed fails again.

use std::time::Duration;

use crate::id::Id;
use crate::message::{
    Found, Join, Leave, LookupMode, Message, Neighbours, Notify, ReplyTo, RequestId, RequestIds,
};
use crate::peer::Peer;
use crate::time::Now;

use super::testnet::{INTERVAL, Net, Plan, name, sorted_peers};
use super::{Chord, ChordConfig, ChordOutput, Misbehaviour, Pace, Pointers, RouterOutput};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// `CHORDITE_SEEDS` widens every case for a long shake-out.
fn seeds(few: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("CHORDITE_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok());
    0..wanted.unwrap_or(few)
}

fn assert_all_found(net: &mut Net, targets: usize, mode: LookupMode) {
    for result in net.look_everywhere(targets, mode) {
        assert!(
            result.is_ok(),
            "seed {}: {result:?}\n{}",
            net.plan.seed,
            net.dump()
        );
    }
}

#[test]
fn rings_form_with_all_started_at_once() {
    for seed in seeds(2) {
        for count in [1, 2, 3, 5, 8, 17, 18, 32] {
            let mut net = Net::boot(Plan::new(seed), count);
            let took = net.settle(seconds(20));
            if std::env::var("CHORDITE_SHOW").is_ok() {
                println!(
                    "seed {seed}: {count} nodes ideal after {took:?}, {} messages",
                    net.messages
                );
            }
            assert_all_found(&mut net, 8, LookupMode::Cached);
        }
    }
}

#[test]
fn short_lists_form_rings_too() {
    for seed in seeds(2) {
        for (successors, count) in [(1, 2), (1, 5), (2, 3), (2, 8), (3, 20)] {
            let mut net = Net::boot(
                Plan {
                    successors,
                    ..Plan::new(seed)
                },
                count,
            );
            net.settle(seconds(30));
            assert_all_found(&mut net, 8, LookupMode::Recursive);
        }
    }
}

#[test]
fn nodes_join_one_after_the_other() {
    for seed in seeds(2) {
        let mut net = Net::new(Plan {
            successors: 3,
            ..Plan::new(seed)
        });
        net.start(0, vec![]);
        for index in 1..10 {
            net.run(seconds(1));
            net.start(index, vec![name(99), name(index - 1)]);
        }
        net.settle(seconds(20));
        assert_all_found(&mut net, 8, LookupMode::Cached);
    }
}

#[test]
fn virtual_nodes_share_their_host() {
    for seed in seeds(3) {
        let mut net = Net::boot(
            Plan {
                vnodes: 4,
                ..Plan::new(seed)
            },
            6,
        );
        net.settle(seconds(40));
        assert_all_found(&mut net, 8, LookupMode::Traced);
    }
}

#[test]
fn killed_host_takes_all_its_virtual_nodes_along() {
    for seed in seeds(2) {
        let mut net = Net::boot(
            Plan {
                vnodes: 4,
                ..Plan::new(seed)
            },
            6,
        );
        net.settle(seconds(40));
        net.kill(&name(1 + seed as usize % 5));
        net.run(3 * INTERVAL);
        assert_all_found(&mut net, 10, LookupMode::Recursive);
        net.settle(seconds(20));
    }
}

/// Each virtual node of the last host loses everybody it knew, and no other host can bring them
/// together.
#[test]
fn virtual_nodes_that_lose_all_others_find_each_other() {
    for seed in seeds(4) {
        let mut net = Net::boot(
            Plan {
                successors: 2,
                vnodes: 3,
                ..Plan::new(seed)
            },
            4,
        );
        net.settle(seconds(40));
        for host in 1..4 {
            net.kill(&name(host));
        }
        net.settle(seconds(30));
    }
}

/// Found by simulation: a virtual node that had lost everybody asked a sibling for a place that the
/// sibling could not give, at every tick, and believed meanwhile that it owned every position.
#[test]
fn a_lonely_virtual_node_finds_back_by_way_of_its_siblings() {
    for seed in seeds(6) {
        let plan = Plan {
            successors: 3,
            vnodes: 2,
            ..Plan::new(seed)
        };
        let mut net = Net::boot(plan, 8);
        net.settle(seconds(40));
        // Of the eight, those go whom one virtual node of host 7 knows and the other does not.
        let host = name(7);
        let lists: Vec<Vec<_>> = net.hosts[&host]
            .ring
            .snapshots()
            .map(|member| {
                member
                    .successors
                    .iter()
                    .map(|it| it.name().clone())
                    .collect()
            })
            .collect();
        for gone in lists[1].iter().filter(|it| !lists[0].contains(it)) {
            if *gone != host {
                net.silence(gone);
            }
        }
        net.settle(seconds(45));
    }
}

/// Found by simulation: after a partition two hosts formed two rings of two, one virtual node of
/// each host in either, and every lookup that could have told them apart was answered by the host
/// itself.
#[test]
fn two_rings_through_the_same_hosts_become_one() {
    let plan = Plan {
        successors: 2,
        vnodes: 2,
        ..Plan::new(1)
    };
    let mut net = Net::new(plan);
    net.cross(&name(0), &name(1));
    assert!(!net.is_ideal());
    net.settle(seconds(10));
}

#[test]
fn lookups_of_every_mode_find_the_owner() {
    for mode in [
        LookupMode::Cached,
        LookupMode::Recursive,
        LookupMode::Iterative,
    ] {
        let plan = Plan {
            successors: 2,
            ..Plan::new(1)
        };
        assert_all_found(&mut Net::placed(plan, 64), 16, mode);
    }
    let mut net = Net::placed(
        Plan {
            successors: 2,
            ..Plan::new(1)
        },
        64,
    );
    for result in net.look_everywhere(8, LookupMode::Traced) {
        let found = result.unwrap();
        assert_eq!(found.path.last(), Some(&found.owner));
        assert_eq!(found.path.len(), usize::from(found.route.rpcs).max(1));
    }
}

#[test]
fn second_lookup_of_an_arc_costs_one_hop() {
    let mut net = Net::placed(
        Plan {
            successors: 2,
            ..Plan::new(1)
        },
        64,
    );
    let at = name(3);
    let target = Id::from_high(0x1234_5678_9abc_def0);
    let first = net.look(&at, target, LookupMode::Cached);
    net.run(seconds(1));
    let second = net.look(&at, target, LookupMode::Cached);
    let done = &net.hosts[&at].done;
    let (first, second) = (
        done[&first].clone().unwrap(),
        done[&second].clone().unwrap(),
    );
    assert_eq!(first.owner, second.owner);
    assert!(second.route.cached && second.route.rpcs == 1 && !first.route.cached);
    let router = &mut net.hosts.get_mut(&at).unwrap().router;
    assert_eq!(router.cached(&target), Some(&first.owner));
    router.forget(&target);
    assert_eq!(router.cached(&target), None);
}

/// Stoica et al. 2003, section V-C: about ½·log2 N − 0.13 forwards with base 2 and a list of one.
#[test]
fn mean_path_is_half_the_logarithm() {
    let plan = Plan {
        successors: 1,
        finger_bits: 1,
        direct: false,
        ..Plan::new(1)
    };
    let mut net = Net::placed(plan, 256);
    let results = net.look_everywhere(40, LookupMode::Recursive);
    let forwards = |rpcs: u8| f64::from(rpcs.saturating_sub(1));
    let total: f64 = results
        .iter()
        .map(|r| forwards(r.as_ref().unwrap().route.rpcs))
        .sum();
    let mean = total / results.len() as f64;
    println!("mean forwards {mean}");
    assert!((3.6..4.2).contains(&mean), "{mean}");
}

#[test]
fn killed_nodes_are_routed_around_in_three_intervals() {
    for seed in seeds(2) {
        for neighbours in [1, 2] {
            let mut net = Net::placed(Plan::new(seed), 8);
            net.run(seconds(3));
            let names = net.names_in_order();
            let first = seed as usize % 8;
            for step in 0..neighbours {
                net.kill(&names[(first + step) % 8]);
            }
            net.run(3 * INTERVAL);
            let before = net.now;
            assert_all_found(&mut net, 10, LookupMode::Recursive);
            assert!(net.now - before < seconds(6));
            net.settle(seconds(20));
        }
    }
}

#[test]
fn lookups_during_a_crash_end_in_time_and_find_the_owner() {
    for seed in seeds(3) {
        let mut net = Net::placed(
            Plan {
                successors: 4,
                ..Plan::new(seed)
            },
            24,
        );
        net.run(seconds(3));
        let names = net.names_in_order();
        net.kill(&names[5]);
        net.kill(&names[6]);
        net.silence(&names[15]);
        assert_all_found(&mut net, 10, LookupMode::Recursive);
    }
}

#[test]
fn power_loss_without_notice_is_survived() {
    for seed in seeds(3) {
        let mut net = Net::placed(
            Plan {
                successors: 3,
                ..Plan::new(seed)
            },
            10,
        );
        net.run(seconds(3));
        let names = net.names_in_order();
        net.silence(&names[2]);
        net.silence(&names[3]);
        net.settle(seconds(30));
        assert_all_found(&mut net, 6, LookupMode::Cached);
    }
}

#[test]
fn killed_node_that_restarts_is_a_member_again() {
    for seed in seeds(3) {
        for pause in [0, 1, 10] {
            let mut net = Net::boot(Plan::new(seed), 5);
            net.settle(seconds(20));
            net.kill(&name(3));
            net.run(seconds(pause));
            net.start(3, vec![name(0)]);
            net.settle(seconds(20));
            assert_all_found(&mut net, 4, LookupMode::Cached);
        }
    }
}

/// The first node of a ring has no bootstrapper: restarted, it is a ring of its own until the
/// others, who remember it, look themselves up through it.
#[test]
fn blank_node_that_restarts_is_merged() {
    for seed in seeds(3) {
        let mut net = Net::boot(Plan::new(seed), 5);
        net.settle(seconds(20));
        net.kill(&name(0));
        net.run(seconds(10));
        net.start(0, vec![]);
        let took = net.settle(seconds(60));
        if std::env::var("CHORDITE_SHOW").is_ok() {
            println!("seed {seed}: blank restart merged after {took:?}");
        }
    }
}

#[test]
fn all_but_one_die_and_it_serves_alone() {
    for seed in seeds(5) {
        let mut net = Net::boot(Plan::new(seed), 4);
        net.settle(seconds(20));
        for index in [0, 1, 3] {
            net.kill(&name(index));
        }
        net.run(3 * INTERVAL);
        assert_all_found(&mut net, 10, LookupMode::Cached);
    }
}

#[test]
fn halves_of_a_partition_become_one_ring_again() {
    for seed in seeds(2) {
        for (count, successors) in [(2, 16), (8, 16), (16, 3), (32, 4)] {
            let mut net = Net::placed(
                Plan {
                    successors,
                    ..Plan::new(seed)
                },
                count,
            );
            net.run(seconds(3));
            let names = net.names();
            for (index, name) in names.iter().enumerate() {
                let far = if seed % 2 == 0 {
                    index % 2 == 0
                } else {
                    index < count / 2
                };
                net.set_group(name, u8::from(far));
            }
            net.run(seconds(60));
            names.iter().for_each(|name| net.set_group(name, 0));
            let took = net.settle(seconds(120));
            if std::env::var("CHORDITE_SHOW").is_ok() {
                println!("seed {seed}: {count} nodes merged after {took:?}");
            }
            assert_all_found(&mut net, 4, LookupMode::Recursive);
        }
    }
}

#[test]
fn paused_node_comes_back_into_the_ring() {
    for seed in seeds(2) {
        for broken in [false, true] {
            let mut net = Net::boot(
                Plan {
                    successors: 4,
                    ..Plan::new(seed)
                },
                5,
            );
            net.settle(seconds(20));
            let paused = name(seed as usize % 5);
            net.pause(&paused);
            net.run(seconds(20));
            net.resume(&paused, broken);
            let took = net.settle(seconds(10));
            if std::env::var("CHORDITE_SHOW").is_ok() {
                println!("seed {seed}: resumed ({broken}) after {took:?}");
            }
            assert_all_found(&mut net, 4, LookupMode::Recursive);
        }
    }
}

#[test]
fn leaving_is_quick_and_leaves_one_ring() {
    for seed in seeds(3) {
        let mut net = Net::placed(
            Plan {
                successors: 3,
                ..Plan::new(seed)
            },
            8,
        );
        net.run(seconds(3));
        let leaver = name(seed as usize % 8);
        net.leave(&leaver);
        net.run(Duration::from_millis(100));
        assert!(net.hosts[&leaver].ring.has_left());
        net.kill(&leaver);
        assert_all_found(&mut net, 6, LookupMode::Recursive);
        net.settle(seconds(10));
    }
}

/// Found by the simulation of Table III: the predecessor of a leaver asked it once more, since the
/// successor still named it, and until that was given up nobody owned the leaver's arc.
#[test]
fn the_arc_of_a_leaver_has_an_owner_at_once_even_if_its_host_is_silent() {
    for seed in seeds(5) {
        let mut net = Net::placed(Plan::new(seed), 8);
        net.run(seconds(3));
        let order = net.names_in_order();
        net.leave(&order[3]);
        while !net.hosts[&order[3]].ring.has_left() {
            net.run(Duration::from_micros(50));
        }
        net.silence(&order[3]);
        net.run(Duration::from_millis(20));
        let heir = net.hosts[&order[4]].ring.snapshots().next().unwrap();
        assert_eq!(heir.predecessor.unwrap().name(), &order[2]);
    }
}

/// Found by the simulation of churn: a member that is told of another predecessor asks the old one,
/// which it never asked before, and waited seven seconds for it. Now it asks a silent predecessor
/// by itself, with the patience that others need.
#[test]
fn the_arc_of_a_silent_member_has_an_owner_within_seconds() {
    for seed in seeds(5) {
        let mut net = Net::placed(Plan::new(seed), 8);
        net.run(seconds(10));
        let order = net.names_in_order();
        net.silence(&order[3]);
        net.run(seconds(5));
        let heir = net.hosts[&order[4]].ring.snapshots().next().unwrap();
        assert_eq!(heir.predecessor.unwrap().name(), &order[2], "seed {seed}");
    }
}

#[test]
fn all_can_leave_at_once() {
    let mut net = Net::boot(Plan::new(1), 5);
    net.settle(seconds(20));
    for name in net.names() {
        net.leave(&name);
        net.run(Duration::from_millis(1));
    }
    net.run(seconds(3));
    assert!(net.hosts.values().all(|host| host.ring.has_left()));
}

/// The invariant after every single change, while nodes join, leave and die one at a time.
#[test]
fn invariant_holds_under_churn() {
    for seed in seeds(2) {
        let mut net = Net::placed(
            Plan {
                successors: 3,
                ..Plan::new(seed)
            },
            10,
        );
        net.strict = true;
        for step in 0..8 {
            let before = net.names_in_order();
            let victim = before[(seed as usize * 7 + step * 3) % before.len()].clone();
            net.start(10 + 2 * step, vec![name(step), name(9)]);
            net.start(11 + 2 * step, vec![name(step), name(9)]);
            if net.is_up(&victim) && victim != name(9) && step % 2 == 1 {
                net.kill(&victim);
            }
            net.run(seconds(1 + seed % 4));
        }
        net.settle(seconds(30));
        assert_all_found(&mut net, 3, LookupMode::Recursive);
    }
}

#[test]
fn idle_ring_is_quiet() {
    let mut net = Net::boot(Plan::new(1), 5);
    net.settle(seconds(20));
    net.run(seconds(30));
    let before = net.messages;
    net.run(seconds(100));
    let rate = (net.messages - before) as f64 / 100.0 / 5.0;
    println!("idle: {rate} messages a second and node");
    assert!(rate < 4.0, "{rate}");
}

#[test]
fn large_idle_ring_is_quiet() {
    let mut net = Net::placed(
        Plan {
            successors: 8,
            ..Plan::new(1)
        },
        64,
    );
    net.run(seconds(100));
    let before = net.messages;
    net.run(seconds(50));
    let rate = (net.messages - before) as f64 / 50.0 / 64.0;
    println!("idle: {rate} messages a second and node");
    assert!(rate < 4.0, "{rate}");
}

#[test]
fn who_speaks_for_another_is_refused() {
    let mut net = Net::placed(Plan::new(1), 3);
    let peers = sorted_peers(&net.params, 3);
    let (victim, other) = (peers[0].name().clone(), peers[1].clone());
    let now = net.time();
    let reply = ReplyTo {
        core: 0,
        link: 1,
        request: RequestId(1),
    };
    let notify = Message::Notify(Notify {
        vnode: 0,
        candidate: other.clone(),
    });
    let ring = &mut net.hosts.get_mut(&victim).unwrap().ring;
    let verdict = ring.handle_request(reply, peers[2].name(), &notify, now);
    let expected = Misbehaviour::Impersonation {
        from: peers[2].name().clone(),
        kind: "Notify",
        claimed: Box::new(other),
    };
    assert_eq!(verdict, Err(expected));
    let leave = Leave {
        vnode: 0,
        leaver: peers[1].clone(),
        predecessor: None,
        successors: vec![],
    };
    let join = Join {
        vnode: 0,
        joiner: peers[1].clone(),
    };
    for message in [Message::Leave(leave), Message::Join(join)] {
        assert!(
            ring.handle_request(reply, peers[2].name(), &message, now)
                .is_err()
        );
    }
    let unchanged = ring.snapshots().next().unwrap();
    assert_eq!(unchanged.successors.len(), 2);
}

#[test]
fn answer_that_speaks_for_another_is_refused() {
    let net = Net::placed(Plan::new(1), 3);
    let peers = sorted_peers(&net.params, 3);
    let now = net.time();
    // A member alone with its list has asked its head; somebody else's list comes back.
    let pointers = Pointers {
        successors: peers[1..].to_vec(),
        ..Pointers::default()
    };
    let config = ChordConfig {
        params: net.params.clone(),
        stabilize_interval: INTERVAL,
        finger_bits: 4,
        pace: Pace::Adaptive,
        bootstrap: vec![],
    };
    let ids = RequestIds::new(0, 1, 0);
    let mut chord = Chord::placed(config, ids, peers[0].clone(), 1, pointers, now);
    let later = Now {
        mono: now.mono + 2 * INTERVAL,
        ..now
    };
    chord.handle_timeout(later);
    let Some(ChordOutput::Ask { to, request, .. }) = chord.poll_output() else {
        panic!("the head is asked");
    };
    assert_eq!(to, *peers[1].name());
    let said = Message::Neighbours(Neighbours {
        member: peers[2].clone(),
        predecessor: None,
        successors: vec![],
    });
    let stranger = chord.handle_answer(request, peers[2].name(), &said, later);
    assert!(matches!(stranger, Err(Misbehaviour::WrongNode { .. })));
    let impostor = chord.handle_answer(request, peers[1].name(), &said, later);
    assert!(matches!(impostor, Err(Misbehaviour::WrongMember { .. })));
    assert_eq!(chord.snapshot().successors, &peers[2..]);
}

#[test]
fn owner_must_speak_for_itself_and_for_its_own_arc() {
    let mut net = Net::placed(
        Plan {
            successors: 1,
            ..Plan::new(1)
        },
        8,
    );
    let peers = sorted_peers(&net.params, 8);
    let now = net.time();
    let router = &mut net.hosts.get_mut(peers[0].name()).unwrap().router;
    let deadline = now.mono + INTERVAL;
    router.lookup(7, peers[4].id(), LookupMode::Recursive, None, deadline, now);
    let Some(RouterOutput::Ask {
        message: Message::FindSuccessor(find),
        ..
    }) = router.poll_output()
    else {
        panic!("a hop is asked");
    };
    let found = |owner: usize| Found {
        lookup: find.lookup,
        owner: peers[owner].clone(),
        predecessor: Some(peers[owner - 1].clone()),
        hops: 1,
        timeouts: 0,
        path: None,
    };
    let impostor = router.handle_found(peers[3].name(), found(4), now);
    assert!(matches!(impostor, Err(Misbehaviour::Impersonation { .. })));
    let greedy = router.handle_found(peers[5].name(), found(5), now);
    assert!(matches!(greedy, Err(Misbehaviour::WrongArc { .. })));
    assert_eq!(router.handle_found(peers[4].name(), found(4), now), Ok(()));
    let done = std::iter::from_fn(|| router.poll_output()).last();
    assert!(matches!(
        done,
        Some(RouterOutput::Done {
            ticket: 7,
            result: Ok(_)
        })
    ));
}

/// Fingers filled by lookups alone agree with those computed from the membership.
#[test]
fn fingers_converge_to_the_ideal() {
    for bits in [1, 4] {
        let plan = Plan {
            successors: 2,
            finger_bits: bits,
            ..Plan::new(3)
        };
        let mut net = Net::boot(plan, 32);
        net.settle(seconds(40));
        net.run(seconds(240));
        let peers = sorted_peers(&net.params, 32);
        for host in net.hosts.values() {
            let snapshot = host.ring.snapshots().next().unwrap();
            let ideal = super::FingerTable::ideal(bits, &snapshot.me, &peers, 2);
            let ideal: Vec<Peer> = ideal.distinct().cloned().collect();
            assert_eq!(snapshot.fingers, ideal);
        }
    }
}
