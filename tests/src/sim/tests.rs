//! The world does what it says: a ring forms, what was acknowledged survives, faults are felt, and
//! a seed gives one run.

use std::time::Duration;

use node::engine::request::{ClientAnswer, ClientRequest, Ticket};
use proto::chord::invariant::is_ideal;
use proto::key::Key;

use super::{DiskMood, FaultKind, Happening, NodeState, Path, Setup, World};

fn key(number: u8) -> Key {
    Key::from_bytes([number; 32])
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Nodes that have formed a ring.
fn ring(setup: Setup) -> World {
    let nodes = setup.nodes;
    let mut world = World::new(setup);
    for node in 0..nodes {
        let bootstrap = if node == 0 { vec![] } else { vec![0] };
        world.start(node, &bootstrap);
    }
    settle(&mut world, nodes);
    world
}

/// Waits until so many members form the ideal ring.
fn settle(world: &mut World, members: usize) {
    let until = world.now() + seconds(60);
    while world.now() < until {
        world.run_for(Duration::from_millis(100));
        let mut states = world.member_states();
        states.retain(|state| state.live);
        if states.len() == members && is_ideal(&states, world.setup().params.successors.into()) {
            return;
        }
    }
    panic!("no ring of {members}: {:?}", world.member_states());
}

fn answer(world: &mut World, ticket: Ticket) -> Option<ClientAnswer> {
    let until = world.now() + seconds(6);
    while world.now() < until {
        while let Some((_, answered, answer)) = world.poll_answer() {
            if answered == ticket {
                return Some(answer);
            }
        }
        world.run_for(Duration::from_millis(1));
    }
    None
}

fn ask(world: &mut World, node: usize, request: &ClientRequest<'_>) -> ClientAnswer {
    let core = request.key().map_or(0, |key| key.as_bytes()[0] % 2);
    let ticket = world.ask(node, core, request).expect("it serves");
    answer(world, ticket).expect("requests end by their deadline")
}

fn put(world: &mut World, node: usize, number: u8) -> ClientAnswer {
    let value = [number; 100];
    let request = ClientRequest::Put {
        key: key(number),
        ttl_s: 0,
        replication: 0,
        value: &value,
    };
    ask(world, node, &request)
}

fn get(world: &mut World, node: usize, number: u8) -> ClientAnswer {
    ask(world, node, &ClientRequest::Get { key: key(number) })
}

#[test]
fn a_ring_forms_and_serves_from_every_node() {
    let mut world = ring(Setup::new(1, 3));
    for number in 0..20 {
        let stored = put(&mut world, usize::from(number) % 3, number);
        assert!(matches!(stored, ClientAnswer::Stored(_)), "{stored:?}");
        for node in 0..3 {
            let found = get(&mut world, node, number);
            assert!(
                matches!(&found, ClientAnswer::Value { value, .. } if value[..] == [number; 100]),
                "{found:?}"
            );
        }
    }
}

#[test]
fn what_is_acknowledged_survives_cuts_of_the_power() {
    for seed in 0..20 {
        let mut world = ring(Setup::new(seed, 1));
        let mut acknowledged = Vec::new();
        for number in 0..30 {
            if let ClientAnswer::Stored(_) = put(&mut world, 0, number) {
                acknowledged.push(number);
            }
            if number % 10 == 9 {
                let lost = key(number + 100);
                let request = ClientRequest::Delete { key: lost };
                world.ask(0, 1, &request);
                assert!(world.cut_power(0));
                assert_eq!(world.state(0), NodeState::Off);
                world.start(0, &[]);
                settle(&mut world, 1);
            }
        }
        assert_eq!(acknowledged.len(), 30);
        for number in acknowledged {
            let found = get(&mut world, 0, number);
            assert!(matches!(found, ClientAnswer::Value { .. }), "{found:?}");
        }
        assert_eq!(world.tally().of(FaultKind::PowerCut), 3);
    }
}

#[test]
fn a_partition_is_felt_and_heals() {
    let mut world = ring(Setup::new(3, 4));
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        assert!(world.partition(a, b));
    }
    world.run_for(seconds(40));
    let states = world.member_states();
    assert!(!is_ideal(&states, 4), "both sides go on by themselves");
    world.heal_all();
    settle(&mut world, 4);
    let tally = world.tally();
    assert_eq!(tally.of(FaultKind::Partition), 4);
    assert!(tally.of(FaultKind::HeldMessage) > 0);
}

#[test]
fn requests_to_an_owner_that_is_not_heard_end_by_their_deadline() {
    let mut world = ring(Setup::new(4, 2));
    for number in 0..8 {
        get(&mut world, 0, number);
    }
    world.cut_one_way(1, 0);
    for number in 0..8 {
        put(&mut world, 0, number);
        get(&mut world, 0, number);
    }
    assert!(world.tally().of(FaultKind::HeldMessage) > 0);
    assert!(world.is_cut(1, 0) && !world.is_cut(0, 1));
}

#[test]
fn nodes_come_and_go_in_every_way() {
    let mut world = ring(Setup::new(5, 4));
    assert!(world.leave(1));
    world.run_for(seconds(15));
    let mut happenings = std::iter::from_fn(|| world.poll_happening());
    let stopped = Happening::Stopped {
        node: 1,
        gracefully: true,
    };
    assert!(happenings.any(|happening| happening == stopped));
    settle(&mut world, 3);
    assert!(world.kill(2));
    settle(&mut world, 2);
    assert!(world.pause(3));
    world.run_for(seconds(3));
    world.resume(3);
    assert!(world.wipe(1));
    world.start(1, &[0, 3]);
    world.start(2, &[3]);
    settle(&mut world, 4);
    assert!(world.break_links(0, 1) > 0);
    settle(&mut world, 4);
}

#[test]
fn one_seed_gives_one_run() {
    let run = |seed| {
        let mut setup = Setup::new(seed, 4);
        setup.path = Path {
            slow_one_in: 20,
            duplicate_one_in: 10,
            ..Path::default()
        };
        setup.disk = DiskMood {
            slow_one_in: 10,
            ..DiskMood::default()
        };
        let mut world = World::new(setup);
        world.hash();
        for node in 0..4 {
            world.start(node, if node == 0 { &[] } else { &[0] });
            world.set_stalls(node, 50, Duration::from_millis(20));
            world.set_mail(node, 5, Duration::from_millis(5));
        }
        world.run_to(seconds(10));
        for number in 0..200u8 {
            let request = ClientRequest::Put {
                key: key(number),
                ttl_s: 0,
                replication: 0,
                value: &[number; 100],
            };
            world.ask(usize::from(number) % 4, number % 2, &request);
            world.run_for(Duration::from_millis(2));
        }
        world.kill(3);
        world.cut_power(1);
        world.run_for(seconds(5));
        for kind in [
            FaultKind::SlowMessage,
            FaultKind::Duplicate,
            FaultKind::Reordered,
            FaultKind::SlowDisk,
            FaultKind::Stall,
            FaultKind::SlowMail,
        ] {
            assert!(world.tally().of(kind) > 0, "{kind:?}");
        }
        (world.digest(), world.steps(), *world.tally())
    };
    let (first, again, other) = (run(7), run(7), run(8));
    assert_eq!(first, again);
    assert_ne!(first.0, other.0);
}
