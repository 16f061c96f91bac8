//! Temporary.
//! Measures.
use harness::dice::Dice;
use harness::sim::{Setup, World};
use node::engine::request::ClientRequest;
use proto::key::Key;
use std::time::{Duration, Instant};
fn main() {
    let arg = |n: usize, d: u64| std::env::args().nth(n).map_or(d, |s| s.parse().unwrap());
    let (nodes, seconds, ops, cores, hash) = (
        arg(1, 8) as usize,
        arg(2, 100),
        arg(3, 10),
        arg(4, 2) as u8,
        arg(5, 0),
    );
    let mut setup = Setup::new(1, nodes);
    setup.cores = cores;
    let mut world = World::new(setup);
    if hash > 0 {
        world.hash();
    }
    for node in 0..nodes {
        world.start(node, if node == 0 { &[] } else { &[0] });
    }
    let mut dice = Dice::new(1);
    let begin = Instant::now();
    let gap = Duration::from_nanos(1_000_000_000 / ops.max(1));
    let mut at = Duration::from_secs(1);
    let mut ok = 0;
    while at < Duration::from_secs(seconds) {
        world.run_to(at);
        let mut k = [0; 32];
        dice.fill(&mut k[..2]);
        let key = Key::from_bytes(k);
        let value = [7; 100];
        let request = if dice.one_in(2) {
            ClientRequest::Get { key }
        } else {
            ClientRequest::Put {
                key,
                ttl_s: 0,
                replication: 0,
                value: &value,
            }
        };
        world.ask(dice.index(nodes), 0, &request);
        while world.poll_answer().is_some() {
            ok += 1;
        }
        at += gap;
    }
    let took = begin.elapsed();
    let s = world.steps();
    println!(
        "{nodes} nodes {seconds} s in {took:?}: {:.0} x real time, {s} steps ({:.0} ns each), {ok} answers",
        seconds as f64 / took.as_secs_f64(),
        took.as_nanos() as f64 / s as f64
    );
}
