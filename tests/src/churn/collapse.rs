//! A large part of a ring of production nodes crashes at one moment, without a word: when do
//! lookups find the owners of all positions again, and does the ring stay one?

use std::time::Duration;

use crate::ring_net::{Notice, Plan, RingNet};

/// What happened after the crash.
#[derive(Clone, Debug)]
pub struct Collapse {
    /// The share of the members that crashed.
    pub share: f64,
    /// How others heard of it.
    pub notice: Notice,
    /// For each second after the crash: lookups begun in it, those that were correct, and those
    /// that named nobody. Each was tried again for up to five seconds.
    pub seconds: Vec<[u64; 3]>,
    /// Seconds after which every pointer was right.
    pub ideal_after: Option<u64>,
}

impl Collapse {
    /// The first second from which on every lookup was correct.
    #[must_use]
    pub fn all_correct_from(&self) -> Option<usize> {
        let bad = |[lookups, correct, _]: &[u64; 3]| correct < lookups;
        let from = self
            .seconds
            .iter()
            .rposition(bad)
            .map_or(0, |last| last + 1);
        (from < self.seconds.len()).then_some(from)
    }
}

/// Crashes `share` of `nodes`; `progress` is told of every lookup that ends.
pub fn run(
    nodes: u32,
    share: f64,
    notice: Notice,
    seed: u64,
    progress: &mut dyn FnMut(u64),
) -> Collapse {
    let mut net = RingNet::placed(Plan::production(seed), nodes);
    net.run_to(net.now() + SETTLE);
    let victims = (f64::from(nodes) * share) as usize;
    while net.members() + victims > nodes as usize {
        if let Some(victim) = net.any_member() {
            net.crash(victim, notice);
        }
    }
    let crash = net.now();
    let mut collapse = Collapse {
        share,
        notice,
        seconds: vec![[0; 3]; usize::try_from(SECONDS).unwrap_or(usize::MAX)],
        ideal_after: None,
    };
    for second in 1..=SECONDS {
        for part in 0..LOOKUPS_EACH {
            net.run_to(crash + Duration::from_secs(second - 1) + PAUSE * part);
            let target = net.any_position();
            if let Some(asker) = net.any_member() {
                net.look(asker, 0, target, super::PATIENCE);
            }
        }
        net.run_to(crash + Duration::from_secs(second));
        if collapse.ideal_after.is_none() && net.is_ideal() {
            collapse.ideal_after = Some(second);
        }
        progress(u64::from(LOOKUPS_EACH));
    }
    net.run_to(net.now() + super::PATIENCE + Duration::from_secs(1));
    while let Some(ended) = net.poll_ended() {
        let second = (ended.began - crash).as_secs();
        let counts = usize::try_from(second)
            .ok()
            .and_then(|at| collapse.seconds.get_mut(at));
        if let Some([lookups, correct, failed]) = counts {
            *lookups += 1;
            *correct += u64::from(ended.correct);
            *failed += u64::from(ended.result.is_err());
        }
    }
    collapse
}

/// Time in which nodes measure how far their neighbours are, before the crash.
const SETTLE: Duration = Duration::from_secs(120);

/// Lookups of a run: what `progress` counts up to.
pub const STEPS: usize = 12_000;

/// How long lookups go on after the crash.
const SECONDS: u64 = 60;

const LOOKUPS_EACH: u32 = 200;

const PAUSE: Duration = Duration::from_millis(5);

const _: () = assert!(STEPS as u64 == SECONDS * LOOKUPS_EACH as u64);
