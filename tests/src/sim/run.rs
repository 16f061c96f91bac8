//! One seed from its start to its verdict: a world, its clients, what is done to it and what must
//! hold of it. First anything may happen; then a part of the nodes is healed and has to do well.
//!
//! The faults are in `faults`, what is looked at while they happen in `look`, the second half in
//! `liveness`.

use std::collections::BTreeMap;
use std::time::Duration;

use node::engine::shard::shard_of;
use node::engine::store::ScanCursor;
use proto::chord::Phase;
use proto::key::Key;
use proto::peer::Peer;

use super::agenda::Agenda;
use super::clients::{Clients, walls};
use super::faults::Undo;
use super::happening::{Happening, NodeState};
use super::history::{self, History};
use super::look::Seen;
use super::marks::{Mark, Marks};
use super::net::nanos;
use super::setup::Setup;
use super::swarm::Swarm;
use super::tally::Tally;
use super::watch::Watcher;
use super::world::World;
use crate::dice::Dice;
use crate::log_oracle::Found;

/// What became of a seed.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// What was wrong, if something was.
    pub verdict: Result<(), String>,
    /// Faults by kind.
    pub faults: Tally,
    /// The marks it hit.
    pub marks: Marks,
    /// What clients heard and hosts held.
    pub history: history::Tally,
    /// Events of the world.
    pub events: u64,
    /// Time that passed in it.
    pub simulated: Duration,
    /// The hash of all inputs and outputs, when it was wanted.
    pub hash: Option<u64>,
}

/// How a seed is run.
#[derive(Default)]
pub struct Manner {
    /// Hash all inputs and outputs.
    pub is_hashed: bool,
    /// Stop here.
    pub until: Option<Duration>,
    /// Who looks on.
    pub watcher: Option<Watcher>,
}

/// A seed that runs.
pub(super) struct Run {
    pub(super) swarm: Swarm,
    pub(super) world: World,
    pub(super) history: History,
    pub(super) clients: Clients,
    pub(super) marks: Marks,
    pub(super) dice: Dice,
    pub(super) nodes: Vec<NodeBook>,
    pub(super) seen: Seen,
    pub(super) plans: Agenda<Todo>,
    pub(super) is_liveness: bool,
    /// Everything ends then, whatever is still to be done.
    until: Duration,
}

/// What the driver knows of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeBook {
    /// It stays down.
    pub(super) is_dead: bool,
    /// A start is planned.
    pub(super) is_awaited: bool,
    /// Its process was started to found a ring.
    pub(super) founds: bool,
    /// It has been a member once.
    pub(super) was_member: bool,
    /// It is a member now.
    pub(super) is_member: bool,
    /// A bit of its disk was turned over since it last served.
    pub(super) is_damaged: bool,
    /// Its power was cut since it last served.
    pub(super) lost_power: bool,
    /// What a weak policy promised may be lost since it last served.
    pub(super) lost_weakly: bool,
    /// Its log was at rest when its process ended: what was acknowledged last is attested, and a
    /// wrong bit is told from a torn end.
    pub(super) was_at_rest: bool,
    /// Its disk has misbehaved since its process started.
    pub(super) had_disk_faults: bool,
}

/// What the driver has planned.
#[derive(Clone, Debug)]
pub(super) enum Todo {
    /// Clients ask something.
    Ask,
    /// The fault of this number in the swarm's list happens.
    Fault(usize),
    /// A node starts.
    Start(usize),
    /// A fault ends.
    Undo(Undo),
    /// Everything is looked at.
    Look,
    /// All records of a node are compared.
    Scan(usize),
}

/// Runs a seed to its verdict.
#[must_use]
pub fn run_seed(seed: u64, manner: Manner) -> Outcome {
    let mut run = Run::new(seed);
    if manner.is_hashed {
        run.world.hash();
    }
    if let Some(watcher) = manner.watcher {
        run.world.watch(watcher);
    }
    run.until = manner.until.unwrap_or(Duration::MAX);
    let verdict = match run.run() {
        Err(why) if why == STOPPED => Ok(()),
        verdict => verdict,
    };
    let verdict = verdict.map_err(|why| {
        let at = run.world.now().as_secs_f64();
        let profile = run.swarm.profile;
        format!("at {at:.6} s ({profile:?}): {why}")
    });
    run.outcome(verdict)
}

impl Run {
    fn new(seed: u64) -> Self {
        let swarm = Swarm::new(seed);
        let world = World::new(swarm.setup.clone());
        let names = (0..swarm.setup.nodes).map(|node| {
            let peer = Peer::derive(&swarm.setup.params, &Setup::name(node), 0);
            peer.map_or(0, |peer| peer.id().high())
        });
        let names: Vec<u64> = names.collect();
        let (keys, ttl) = (swarm.load.keys, swarm.setup.ttl);
        let mut run = Self {
            history: History::new(&names, keys, ttl, seed),
            clients: Clients::new(seed),
            marks: Marks::default(),
            dice: Dice::new(seed ^ 0xfa_0175),
            nodes: vec![NodeBook::default(); swarm.setup.nodes],
            seen: Seen::default(),
            plans: Agenda::new(),
            is_liveness: false,
            until: Duration::MAX,
            world,
            swarm,
        };
        run.plan_all();
        run
    }

    fn plan_all(&mut self) {
        let gap_ms = if self.swarm.is_calm { 400 } else { 800 };
        for node in 0..self.nodes.len() {
            let after = self.dice.below(gap_ms) + if node == 0 { 0 } else { 200 };
            let after = if self.swarm.is_calm {
                gap_ms * node as u64
            } else {
                after * u64::from(node > 0)
            };
            self.nodes[node].is_awaited = true;
            self.plan(Duration::from_millis(after), Todo::Start(node));
            self.plan(Duration::from_millis(1_000 + after), Todo::Scan(node));
        }
        for fault in 0..self.swarm.faults.len() {
            self.plan_fault(fault, START_OF_FAULTS);
        }
        self.plan(START_OF_CLIENTS, Todo::Ask);
        self.plan(LOOK_PAUSE, Todo::Look);
    }

    fn run(&mut self) -> Result<(), String> {
        self.run_to(self.swarm.safety)?;
        self.live()
    }

    /// Lets everything happen that does until `end`; the error [`STOPPED`] when the run ends
    /// before.
    pub(super) fn run_to(&mut self, end: Duration) -> Result<(), String> {
        if end > self.until {
            self.run_through(self.until)?;
            return Err(STOPPED.to_owned());
        }
        self.run_through(end)
    }

    fn run_through(&mut self, end: Duration) -> Result<(), String> {
        loop {
            let planned = self.plans.next_at().map(Duration::from_nanos);
            let next = self.world.next_at();
            let is_plan = planned.is_some_and(|at| next.is_none_or(|next| at <= next));
            let at = if is_plan { planned } else { next };
            let Some(at) = at.filter(|at| *at <= end) else {
                self.world.run_to(end);
                return Ok(());
            };
            if is_plan {
                self.world.wait_until(at.max(self.world.now()));
                if let Some((_, todo)) = self.plans.pop() {
                    self.carry_out(todo)?;
                }
                self.after_step(true)?;
            } else if let Some(step) = self.world.step() {
                self.after_step(step.ring_changed)?;
            }
        }
    }

    /// Plans something for `after` from now.
    pub(super) fn plan(&mut self, after: Duration, todo: Todo) {
        self.plans.plan(nanos(self.world.now() + after), todo);
    }

    fn carry_out(&mut self, todo: Todo) -> Result<(), String> {
        match todo {
            Todo::Ask => self.ask(),
            Todo::Fault(fault) => self.inject(fault),
            Todo::Start(node) => self.start(node),
            Todo::Undo(undo) => self.undo(undo),
            Todo::Look => {
                self.plan(LOOK_PAUSE, Todo::Look);
                return self.look();
            }
            Todo::Scan(node) => {
                let pause_ms = 300 + self.dice.below(1_400);
                self.plan(Duration::from_millis(pause_ms), Todo::Scan(node));
                return self.scan(node);
            }
        }
        Ok(())
    }

    fn ask(&mut self) {
        if self.is_liveness {
            return;
        }
        let load = self.swarm.load;
        let burst = 1 + self.dice.below(load.burst_max);
        for _ in 0..burst {
            self.clients
                .ask_any(&mut self.world, &mut self.history, &load);
        }
        let pause = load.pause * u32::try_from(burst).expect("a short burst");
        let pause = self.around(pause);
        self.plan(pause, Todo::Ask);
    }

    /// A time between half of `mean` and three halves of it.
    pub(super) fn around(&mut self, mean: Duration) -> Duration {
        let nanos = nanos(mean);
        Duration::from_nanos(nanos / 2 + self.dice.below(nanos.max(1)))
    }

    /// Starts a node that is down, so that it founds a ring when nobody else has one.
    pub(super) fn start(&mut self, node: usize) {
        self.nodes[node].is_awaited = false;
        let is_down = matches!(self.world.state(node), NodeState::Down | NodeState::Off);
        if !is_down || self.nodes[node].is_dead {
            return;
        }
        let others = (0..self.nodes.len()).filter(|other| *other != node);
        let others: Vec<usize> = others.collect();
        let has_ring = |other: &usize| {
            let is_up = !matches!(self.world.state(*other), NodeState::Down | NodeState::Off);
            is_up && (self.is_member(*other) || self.nodes[*other].founds)
        };
        let founds = !others.iter().any(has_ring);
        let mut mood = self.world.disk(node);
        // A wrong bit in batches that nothing attests yet cannot be told from a torn tail: reads
        // are spared where the last run ended before its log had rested.
        if !self.nodes[node].was_at_rest {
            mood.flipped_one_in = 0;
            self.world.set_disk(node, mood);
        }
        let book = &mut self.nodes[node];
        book.founds = founds;
        book.had_disk_faults = mood != self.swarm.setup.disk;
        let bootstrap = if founds { &[][..] } else { &others[..] };
        self.world.start(node, bootstrap);
    }

    /// Whether all members of a node are in the ring.
    pub(super) fn is_member(&self, node: usize) -> bool {
        let core = self.world.core(node, 0);
        let ring = core.and_then(|core| core.ring());
        ring.is_some_and(|ring| {
            ring.members()
                .iter()
                .any(|member| member.phase() == Phase::Member)
        })
    }

    fn after_step(&mut self, ring_changed: bool) -> Result<(), String> {
        self.clients
            .hear(&mut self.world, &mut self.history, &mut self.marks)?;
        while let Some(happening) = self.world.poll_happening() {
            self.take_note(happening)?;
        }
        if ring_changed && self.swarm.is_calm {
            self.look_at_calm_ring()?;
        }
        if self.world.steps() > STEPS_MAX {
            return Err(format!("{STEPS_MAX} events are too many"));
        }
        Ok(())
    }

    fn take_note(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Recovered { report, .. } => {
                self.marks.hit_if(Mark::TornTailCut, report.torn_bytes > 0);
                self.marks
                    .hit_if(Mark::ManySegmentsRecovered, report.segments >= 3);
                self.marks
                    .hit_if(Mark::DamageSurvived, !report.warnings.is_empty());
                Ok(())
            }
            Happening::Serving { node } => self.served(node),
            Happening::Refused { node, core, error } => self.refused(node, core, &error),
            Happening::Stopped { node, gracefully } => {
                let mark = if gracefully {
                    Mark::LeftInOrder
                } else {
                    Mark::LeftInHaste
                };
                self.marks.hit(mark);
                self.nodes[node].was_at_rest = gracefully;
                self.ended(node);
                self.come_back(node);
                Ok(())
            }
            Happening::Misbehaved { node, peer, reason } => Err(format!(
                "node {node} closed a link because node {peer} broke the rules: {reason}"
            )),
            Happening::Admin { .. } => Ok(()),
        }
    }

    /// A node has read its logs: it has all that was promised.
    fn served(&mut self, node: usize) -> Result<(), String> {
        let book = self.nodes[node].clone();
        if book.lost_weakly && !self.swarm.is_strict() {
            let (records, cores) = (self.records(node), self.swarm.setup.cores);
            let shard = |key: &Key| usize::from(shard_of(key, cores).0);
            let at = self.world.now();
            self.history.settle_weak(node, &records, at, shard);
        }
        self.scan(node)?;
        self.marks.hit_if(Mark::PowerCutSurvived, book.lost_power);
        self.nodes[node] = NodeBook {
            is_damaged: false,
            lost_power: false,
            // A disk that still misbehaves may fail a sync, and what it covered is lost.
            lost_weakly: self.world.disk(node) != self.swarm.setup.disk,
            ..book
        };
        Ok(())
    }

    /// A node has refused to start. With damaged records that is right, and its disks are replaced;
    /// with a disk that does not read well it is tried again.
    fn refused(&mut self, node: usize, core: u8, error: &str) -> Result<(), String> {
        let book = &self.nodes[node];
        if book.is_damaged {
            self.marks.hit(Mark::DamageRefused);
            self.replace_disks(node);
        } else if !book.had_disk_faults {
            return Err(format!("core {core} of node {node} refuses: {error}"));
        }
        self.ended(node);
        self.mend(node);
        self.come_back(node);
        Ok(())
    }

    /// A node has ended: its clients hear nothing more.
    pub(super) fn ended(&mut self, node: usize) {
        self.clients.forget(node, &mut self.history);
        let book = &mut self.nodes[node];
        book.founds = false;
        book.is_member = false;
    }

    /// Compares all records of a node that serves with what was promised.
    pub(super) fn scan(&mut self, node: usize) -> Result<(), String> {
        let is_served = |state| matches!(state, NodeState::Serving | NodeState::Stopping);
        if !is_served(self.world.state(node)) || self.world.is_paused(node) {
            return Ok(());
        }
        let records = self.records(node);
        let (at, walls) = (self.world.now(), walls(&self.world));
        self.history.scan(node, &records, at, &walls)
    }

    /// All records that a node shows.
    pub(super) fn records(&self, node: usize) -> BTreeMap<Key, Found> {
        let wall_ms = self.world.clocks(node).wall_ms;
        let mut records = BTreeMap::new();
        for core in 0..self.swarm.setup.cores {
            let Some(core) = self.world.core(node, core) else {
                continue;
            };
            let mut cursor = Some(ScanCursor::default());
            while let Some(at) = cursor {
                cursor = core.shard().store().scan(at, wall_ms, |record| {
                    let found = Found {
                        version: record.version,
                        expiry_ms: record.expiry_ms,
                        value: record.value.to_vec(),
                    };
                    records.insert(record.key, found);
                });
            }
        }
        records
    }

    fn outcome(self, verdict: Result<(), String>) -> Outcome {
        let mut marks = self.marks;
        let tally = self.history.tally;
        marks.hit_if(Mark::LifetimeOver, tally.expired > 0);
        marks.hit_if(Mark::UnknownApplied, tally.unknown_applied > 0);
        marks.hit_if(Mark::AppliedTwice, tally.repeated > 0);
        marks.hit_if(Mark::LostWeakly, tally.lost_weakly > 0);
        Outcome {
            verdict,
            faults: *self.world.tally(),
            marks,
            history: tally,
            events: self.world.steps(),
            simulated: self.world.now(),
            hash: self.world.digest(),
        }
    }
}

/// A run was to be shown no further.
const STOPPED: &str = "stopped";

/// When clients begin to ask.
const START_OF_CLIENTS: Duration = Duration::from_millis(300);

/// When the first faults may happen.
const START_OF_FAULTS: Duration = Duration::from_millis(1_000);

/// Time between two looks at everything.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A run with more events than this does not end.
const STEPS_MAX: u64 = 5_000_000;
