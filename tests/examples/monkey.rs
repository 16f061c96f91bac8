//! Temporary.
//! Random faults.
use harness::dice::Dice;
use harness::sim::*;
use node::engine::request::ClientRequest;
use proto::chord::invariant;
use proto::key::Key;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn run(seed: u64, verbose: bool) -> (World, Result<(), String>) {
    let mut dice = Dice::new(seed ^ 0xabcdef);
    let nodes = 2 + dice.index(6);
    let mut setup = Setup::new(seed, nodes);
    setup.cores = 1 + dice.below(3) as u8;
    setup.params.successors = u8::try_from(2 + dice.below(4)).unwrap();
    setup.virtual_nodes = 1 + dice.below(3) as u16;
    setup.stabilize_interval = Duration::from_millis([200, 500, 1000][dice.index(3)]);
    let disk_faults = dice.one_in(2);
    setup.path.slow_one_in = [0, 20, 200][dice.index(3)];
    setup.path.duplicate_one_in = [0, 10][dice.index(2)];
    let cores = setup.cores;
    let s = usize::from(setup.params.successors);
    let vn = usize::from(setup.virtual_nodes);
    let mut world = World::new(setup);
    if verbose {
        world.watch(Box::new(|line| println!("{line}")));
    }
    for node in 0..nodes {
        world.start(node, if node == 0 { &[] } else { &[0] });
    }
    let mut broken = BTreeMap::new();
    for _ in 0..200 {
        let node = dice.index(nodes);
        let other = dice.index(nodes);
        match dice.below(24) {
            0 if node > 1 => {
                if world.state(node) != NodeState::Off {
                    world.kill(node);
                }
            }
            1 if node > 1 => {
                world.cut_power(node);
            }
            2..=4 => {
                let b: Vec<usize> = (0..nodes)
                    .filter(|n| *n != node && world.state(*n) == NodeState::Serving)
                    .collect();
                world.start(node, &b);
            }
            5 => {
                world.pause(node);
            }
            6 | 7 => {
                world.resume(node);
            }
            8 => {
                if node != other {
                    world.partition(node, other);
                }
            }
            9 => {
                if node != other {
                    world.cut_one_way(node, other);
                }
            }
            10 | 11 => {
                world.heal(node, other);
            }
            12 => {
                if node != other {
                    world.break_links(node, other);
                }
            }
            13 if node > 1 => {
                world.leave(node);
            }
            14 => {
                let ms = dice.below(2000) as i64 - 1000;
                world.set_clock(node, ms, dice.below(1000) as i64 - 500);
            }
            15 if disk_faults => {
                let mut m = DiskMood::default();
                match dice.below(6) {
                    0 => m.is_full = true,
                    1 => m.is_stuck = true,
                    2 => m.error_one_in = 100,
                    3 => m.short_one_in = 50,
                    4 => m.interrupted_one_in = 10,
                    _ => m.slow_one_in = 5,
                }
                world.set_disk(node, m);
            }
            16 | 17 => {
                world.set_disk(node, DiskMood::default());
            }
            18 => {
                world.set_stalls(node, 20, Duration::from_millis(50));
                world.set_mail(node, 10, Duration::from_millis(20));
            }
            19 => {
                world.refuse_dials(node, dice.one_in(2));
            }
            20 if node > 1 => {
                if !matches!(world.state(node), NodeState::Off) && dice.one_in(3) {
                    world.kill(node);
                    world.wipe(node);
                }
            }
            _ => {}
        }
        for _ in 0..dice.below(20) {
            let mut k = [0; 32];
            dice.fill(&mut k[..1]);
            let key = Key::from_bytes(k);
            let value = vec![7; 1 + dice.index(2000)];
            let request = match dice.below(5) {
                0 | 1 => ClientRequest::Get { key },
                2 => ClientRequest::Delete { key },
                _ => ClientRequest::Put {
                    key,
                    ttl_s: dice.below(20) as u32,
                    replication: 0,
                    value: &value,
                },
            };
            world.ask(dice.index(nodes), dice.below(cores.into()) as u8, &request);
            world.run_for(Duration::from_micros(dice.below(20_000)));
        }
        world.run_for(Duration::from_millis(dice.below(400)));
        while let Some(h) = world.poll_happening() {
            match h {
                Happening::Misbehaved { .. } => return (world, Err(format!("{h:?}"))),
                Happening::Refused { node, error, .. } => {
                    broken.insert(node, error);
                }
                _ => {}
            }
        }
        while world.poll_answer().is_some() {}
    }
    world.heal_all();
    for node in 0..nodes {
        world.set_disk(node, DiskMood::default());
        world.refuse_dials(node, false);
        world.resume(node);
        world.set_stalls(node, 0, Duration::ZERO);
        world.set_mail(node, 0, Duration::ZERO);
    }
    if broken.contains_key(&0) || broken.contains_key(&1) {
        return (world, Ok(()));
    }
    let mut refused = 0;
    // settle stops
    let live = |w: &World| {
        (0..nodes)
            .filter(|n| w.state(*n) == NodeState::Serving)
            .count()
    };
    let until = world.now() + Duration::from_secs(60);
    let begin = world.now();
    loop {
        world.run_for(Duration::from_millis(500));
        while let Some(h) = world.poll_happening() {
            if let Happening::Refused { node, error, .. } = h {
                refused += 1;
                if refused > 10 {
                    return (world, Err(format!("{node} refused {error}")));
                }
            }
        }
        for node in 0..nodes {
            if matches!(world.state(node), NodeState::Down | NodeState::Off) {
                let b: Vec<usize> = (0..nodes)
                    .filter(|n| *n != node && world.state(*n) == NodeState::Serving)
                    .collect();
                world.start(node, &b);
            }
        }
        let mut states = world.member_states();
        states.retain(|st| st.live);
        if live(&world) == nodes && states.len() == nodes * vn && invariant::is_ideal(&states, s) {
            break;
        }
        if world.now() > until {
            let l = live(&world);
            return (
                world,
                Err(format!(
                    "not ideal: {} nodes, {} live, {} states {:?}",
                    nodes,
                    l,
                    states.len(),
                    invariant::check(&states, s)
                )),
            );
        }
    }
    let _ = begin;
    (world, Ok(()))
}
fn main() {
    let arg = |n: usize, d: u64| std::env::args().nth(n).map_or(d, |s| s.parse().unwrap());
    let (from, count) = (arg(1, 0), arg(2, 100));
    let verbose = std::env::args().nth(3).is_some();
    let begin = Instant::now();
    let mut tally = Tally::default();
    let mut virt = Duration::ZERO;
    let mut bad = 0;
    for seed in from..from + count {
        let r = std::panic::catch_unwind(|| run(seed, verbose));
        match r {
            Err(_) => {
                println!("seed {seed}: PANIC");
                bad += 1;
            }
            Ok((world, r)) => {
                tally += *world.tally();
                virt += world.now();
                if let Err(e) = r {
                    println!("seed {seed}: {e}");
                    bad += 1;
                }
            }
        }
    }
    for k in FaultKind::ALL {
        print!("{k:?} {} ", tally.of(k));
    }
    println!(
        "\n{count} seeds, {bad} bad, {virt:?} in {:?}: {:.0}x",
        begin.elapsed(),
        virt.as_secs_f64() / begin.elapsed().as_secs_f64()
    );
}
