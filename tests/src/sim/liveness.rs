//! The second half of a seed: some of the nodes are healed, the others stay dead, and within a
//! bound everything is well: the ring is ideal, everybody finds the same owner of every position,
//! writes and reads through every node succeed, and what they say is what the owner holds.

use std::time::Duration;

use node::engine::request::{ClientAnswer, Ticket};
use proto::id::Id;
use proto::message::{FailureCode, LookupMode};

use super::clients::Clients;
use super::happening::NodeState;
use super::history::History;
use super::look::shown;
use super::run::{Run, Todo};
use super::swarm::Profile;
use super::world::World;
use crate::log_script::key_of;

impl Run {
    /// Heals a part of the nodes and has everything checked.
    pub(super) fn live(&mut self) -> Result<(), String> {
        self.is_liveness = true;
        self.undo_all();
        let core = self.choose_core();
        self.settle(&core)?;
        self.check_lookups(&core)?;
        self.check_records(&core)?;
        if self.swarm.profile == Profile::Log || self.dice.one_in(4) {
            self.check_after_power_cut(&core)?;
        }
        Ok(())
    }

    /// The nodes that are healed; the others are dead from now on.
    fn choose_core(&mut self) -> Vec<usize> {
        let nodes = self.nodes.len();
        let mut core: Vec<usize> = (0..nodes).filter(|_| !self.dice.one_in(4)).collect();
        if core.is_empty() {
            core.push(self.dice.index(nodes));
        }
        for node in (0..nodes).filter(|node| !core.contains(node)) {
            self.nodes[node].is_dead = true;
            if self.dice.one_in(2) {
                self.world.kill(node);
            } else {
                self.world.cut_power(node);
            }
            self.ended(node);
        }
        core
    }

    /// Waits until the ring is ideal. Operators start what is down, and what cannot go on by
    /// itself: a log that has given up, nodes of which none has a ring to join.
    fn settle(&mut self, core: &[usize]) -> Result<(), String> {
        let begun = self.world.now();
        let bound = begun + SETTLE_MIN + self.swarm.setup.stabilize_interval * SETTLE_INTERVALS;
        // What was under way when the faults ended ends first: requests, and slow jobs that fail.
        let quiet = begun + self.swarm.setup.request_deadline + RIPPLES;
        while self.world.now() < bound {
            for node in core {
                self.see_to(*node);
            }
            self.found(core);
            let next = self.world.now() + LOOK_PAUSE;
            self.run_to(next)?;
            let takes_writes = |node: usize| !self.is_full(node) && !self.is_poisoned(node);
            let is_well = |node: &usize| self.is_whole(*node) && takes_writes(*node);
            if self.world.now() >= quiet && core.iter().all(is_well) && self.is_ideal() {
                return Ok(());
            }
        }
        let states = core.iter().map(|node| self.world.state(*node));
        let states: Vec<_> = states.collect();
        Err(format!(
            "healed at {begun:?}, and at {bound:?} the ring is not ideal: {states:?}\n{}",
            shown(&self.members())
        ))
    }

    fn see_to(&mut self, node: usize) {
        match self.world.state(node) {
            NodeState::Down | NodeState::Off if !self.nodes[node].is_awaited => {
                self.nodes[node].is_awaited = true;
                self.plan(Duration::from_millis(100), Todo::Start(node));
            }
            NodeState::Serving if self.is_poisoned(node) => {
                self.world.kill(node);
                self.ended(node);
            }
            _ => {}
        }
    }

    /// When all are up and none is a member or about to found a ring, one of them has to.
    fn found(&mut self, core: &[usize]) {
        let is_up = |node: &usize| self.world.state(*node) == NodeState::Serving;
        let has_ring = |node: &usize| self.is_member(*node) || self.nodes[*node].founds;
        if core.iter().all(is_up) && !core.iter().any(has_ring) {
            let node = core[self.dice.index(core.len())];
            self.world.kill(node);
            self.ended(node);
            self.start(node);
        }
    }

    /// Everybody finds the same owner of a position, and it is the right one.
    fn check_lookups(&mut self, core: &[usize]) -> Result<(), String> {
        for round in 0..LOOKUPS {
            let members = self.members();
            let target = match round {
                0 => members[self.dice.index(members.len())].id,
                _ => Id::from_high(self.dice.roll()),
            };
            let owner = members.iter().map(|member| member.id);
            let owner = owner.min_by_key(|id| target.distance_to(id));
            for &node in core {
                let mode = [LookupMode::Cached, LookupMode::Recursive][self.dice.index(2)];
                let asked =
                    self.clients
                        .look_up(&mut self.world, &self.history, node, target, mode);
                let answer = self.await_answer(node, asked)?;
                match &answer {
                    ClientAnswer::Owner(found) if Some(found.owner.id()) == owner => {}
                    other => {
                        return Err(format!(
                            "node {node} is asked for the owner of {target:?}, which is {owner:?}, \
                             and says {other:?}"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// A write through every node succeeds, and every node says of it what the owner holds.
    fn check_records(&mut self, core: &[usize]) -> Result<(), String> {
        for &node in core {
            let key = self.dice.index(self.swarm.load.keys);
            let is_put = self.dice.below(4) > 0;
            let answer = self.insist(node, |clients, world, history| {
                if is_put {
                    clients.put(world, history, node, key, 40, 0)
                } else {
                    clients.delete(world, history, node, key)
                }
            })?;
            let is_well = match &answer {
                ClientAnswer::Stored(_) => true,
                ClientAnswer::Absent(_) => !is_put,
                _ => self.is_memory_full(&answer),
            };
            if !is_well {
                return Err(format!("a write of key {key} through {node}: {answer:?}"));
            }
            self.check_key(core, key)?;
        }
        Ok(())
    }

    /// What every node says of a key is what its owner holds.
    fn check_key(&mut self, core: &[usize], key: usize) -> Result<(), String> {
        let name = key_of(u16::try_from(key).expect("few keys"));
        let position = name.position();
        let owns = |node: &usize| {
            let core = self.world.core(*node, 0);
            let ring = core.and_then(|core| core.ring());
            ring.is_some_and(|ring| ring.view().owner_of(&position).is_some())
        };
        let owners: Vec<usize> = core.iter().copied().filter(owns).collect();
        let [owner] = owners[..] else {
            return Err(format!("key {key} is owned by {owners:?}"));
        };
        for &node in core {
            let answer = self.insist(node, |clients, world, history| {
                clients.get(world, history, node, key)
            })?;
            let held = self.records(owner).remove(&name);
            let is_same = match (&answer, &held) {
                (ClientAnswer::Absent(_), None) => true,
                (ClientAnswer::Value { version, value, .. }, Some(held)) => {
                    *version == held.version && *value == held.value
                }
                // A lifetime that ends between the read and the look.
                (ClientAnswer::Value { expiry_ms, .. }, None) => {
                    *expiry_ms <= self.world.clocks(owner).wall_ms
                }
                _ => false,
            };
            if !is_same {
                let held = held.map(|held| held.version);
                return Err(format!(
                    "node {node} says {answer:?} of key {key}, and owner {owner} holds {held:?}"
                ));
            }
        }
        Ok(())
    }

    /// The power of everybody is cut: what was promised is there.
    fn check_after_power_cut(&mut self, core: &[usize]) -> Result<(), String> {
        for &node in core {
            self.world.cut_power(node);
            let book = &mut self.nodes[node];
            book.lost_power = true;
            book.lost_weakly = true;
            self.ended(node);
        }
        for &node in core {
            self.start(node);
        }
        let bound = self.world.now() + RECOVERY_MAX;
        while self.world.now() < bound {
            let next = self.world.now() + LOOK_PAUSE;
            self.run_to(next)?;
            let serves = |node: &usize| self.world.state(*node) == NodeState::Serving;
            if core.iter().all(serves) {
                return Ok(());
            }
        }
        Err(format!(
            "not everybody serves {RECOVERY_MAX:?} after a power cut"
        ))
    }

    /// Asks until it goes well. Everything does at once, unless a host lost its power: whoever
    /// still believes in it finds out by its silence, which may take a request's whole time.
    /// A node that has too much to do is asked again later.
    fn insist(
        &mut self,
        node: usize,
        mut ask: impl FnMut(&mut Clients, &mut World, &mut History) -> Option<Ticket>,
    ) -> Result<ClientAnswer, String> {
        let is_excused = (0..self.nodes.len()).any(|it| self.world.state(it) == NodeState::Off);
        let mut tries = TRIES_MAX;
        loop {
            tries -= 1;
            let asked = ask(&mut self.clients, &mut self.world, &mut self.history);
            let answer = self.await_answer(node, asked)?;
            let code = match &answer {
                ClientAnswer::Failed(failed) => Some(failed.code),
                _ => None,
            };
            let goes_on = match code {
                Some(FailureCode::NoRoute | FailureCode::Unknown) => is_excused,
                // Clients of before still have requests under way.
                Some(FailureCode::Overloaded) => true,
                _ => false,
            };
            if !goes_on || tries == 0 {
                return Ok(answer);
            }
            let pause = self.swarm.setup.request_deadline / 2;
            self.run_to(self.world.now() + pause)?;
        }
    }

    fn await_answer(&mut self, node: usize, asked: Option<Ticket>) -> Result<ClientAnswer, String> {
        let ticket = asked.ok_or_else(|| format!("node {node} takes no requests"))?;
        self.clients.await_answer(ticket);
        loop {
            if let Some(answer) = self.clients.take_awaited() {
                return Ok(answer);
            }
            let next = self.world.now() + ANSWER_PAUSE;
            self.run_to(next)?;
        }
    }

    fn is_memory_full(&self, answer: &ClientAnswer) -> bool {
        let is_small = self.swarm.setup.memory_max < 1 << 24;
        is_small
            && matches!(answer, ClientAnswer::Failed(failed)
                if failed.code == FailureCode::MemoryFull)
    }
}

/// How often something is asked where a host lost its power.
const TRIES_MAX: usize = 4;

/// Longer than any job of a slow disk.
const RIPPLES: Duration = Duration::from_millis(1_200);

/// Positions that everybody looks up.
const LOOKUPS: usize = 3;

/// Time in which the ring must become ideal: this and so many stabilise intervals.
const SETTLE_MIN: Duration = Duration::from_secs(20);
/// See [`SETTLE_MIN`].
const SETTLE_INTERVALS: u32 = 60;

/// Time in which every node must have read its log.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

const LOOK_PAUSE: Duration = Duration::from_millis(100);
const ANSWER_PAUSE: Duration = Duration::from_millis(2);
