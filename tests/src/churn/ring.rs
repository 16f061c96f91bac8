//! Production nodes under churn. Every host has two cores: the lookups of the first are tried again
//! until they are found or their patience ends, those of the second get one attempt. Both route by
//! the same view and meet the same crashes.

use std::time::Duration;

use crate::dice::Dice;
use crate::ring_net::{Ended, Plan, Queue, RingNet, Traffic, exponential};

use super::{Costs, Figures, LOOKUPS_PER_SECOND, PATIENCE, Setting};

/// Runs a ring under `setting`: figures with retry and without, and what a node sends.
pub(super) fn run(setting: &Setting, progress: &mut dyn FnMut(u64)) -> (Figures, Figures, Costs) {
    let plan = Plan {
        retries: vec![true, false],
        ..Plan::production(setting.seed)
    };
    let net = RingNet::placed(plan, setting.nodes);
    let mut churned = Churned::new(setting, net);
    churned.run(setting.warm_up());
    churned.net.count_anew();
    let began = churned.net.now();
    let mut figures = [Figures::default(), Figures::default()];
    churned.next_lookup = churned.net.now();
    while figures[0].lookups < setting.lookups {
        churned.run(TICK);
        let mut ended = 0;
        while let Some(lookup) = churned.net.poll_ended() {
            ended += 1;
            count(&mut figures[usize::from(lookup.core)], &lookup);
        }
        progress(ended);
    }
    let span = churned.net.now() - began;
    let costs = churned.costs(setting, span, figures[0].lookups + figures[1].lookups);
    let [retried, single] = figures;
    (retried, single, costs)
}

/// A ring whose members crash and are replaced.
struct Churned {
    net: RingNet,
    setting: Setting,
    dice: Dice,
    ends: Queue<u32>,
    next_lookup: Duration,
}

impl Churned {
    fn new(setting: &Setting, net: RingNet) -> Self {
        let mut dice = Dice::new(!setting.seed);
        let mut ends = Queue::new();
        for host in 0..setting.nodes {
            ends.push(net.now() + setting.sessions.rest(&mut dice), host);
        }
        Self {
            net,
            setting: *setting,
            dice,
            ends,
            next_lookup: Duration::MAX,
        }
    }

    fn run(&mut self, span: Duration) {
        let until = self.net.now() + span;
        loop {
            let end = self.ends.due().unwrap_or(Duration::MAX);
            let next = end.min(self.next_lookup);
            if next > until {
                return self.net.run_to(until);
            }
            self.net.run_to(next);
            if end <= self.next_lookup {
                self.replace();
            } else {
                self.look();
            }
        }
    }

    fn replace(&mut self) {
        if let Some((_, host)) = self.ends.pop() {
            self.net.crash(host, self.setting.notice);
            let newcomer = self.net.join();
            let stay = self.setting.sessions.draw(&mut self.dice);
            self.ends.push(self.net.now() + stay, newcomer);
        }
    }

    fn look(&mut self) {
        let pause = exponential(&mut self.dice) / LOOKUPS_PER_SECOND;
        self.next_lookup += Duration::from_secs_f64(pause);
        for core in 0..2 {
            let target = self.net.any_position();
            if let Some(asker) = self.net.any_member() {
                self.net.look(asker, core, target, PATIENCE);
            }
        }
    }

    fn costs(&self, setting: &Setting, span: Duration, lookups: u64) -> Costs {
        let share = 1.0 / (f64::from(setting.nodes) * span.as_secs_f64());
        let upkeep = Traffic::sum(self.net.traffic().upkeep());
        let asked = Traffic::sum(self.net.traffic().lookups());
        Costs {
            messages: upkeep.messages as f64 * share,
            bytes: upkeep.bytes as f64 * share,
            lookup_bytes: asked.bytes as f64 / lookups.max(1) as f64,
        }
    }
}

fn count(figures: &mut Figures, ended: &Ended) {
    let route = ended.result.as_ref().map(|found| found.route);
    let (hops, timeouts) = route.map_or((0, 0), |route| (route.rpcs, route.timeouts));
    figures.add(
        route.is_ok(),
        ended.correct,
        u64::from(hops),
        u64::from(timeouts),
        ended.at - ended.began,
    );
}

/// How often ended lookups are collected.
const TICK: Duration = Duration::from_secs(10);
