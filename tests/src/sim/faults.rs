//! What is done to a world while its clients ask: each kind of the swarm's list at random moments,
//! to random hosts, and undone after a while.

use std::time::Duration;

use super::happening::NodeState;
use super::marks::Mark;
use super::run::{Run, Todo};
use super::swarm::{Act, Profile};

/// The end of a fault.
#[derive(Clone, Debug)]
pub(super) enum Undo {
    /// A process goes on.
    Resume(usize),
    /// A host's cores and mail are quick again.
    Stall(usize),
    /// Two groups of hosts hear each other again.
    Partition(Vec<usize>, Vec<usize>),
    /// A host takes connections again.
    Dials(usize),
    /// The ways between two hosts are as they were.
    Path(usize, usize),
    /// A host's disks behave again.
    Disk(usize),
}

impl Run {
    /// Plans the next fault of this number in the swarm's list.
    pub(super) fn plan_fault(&mut self, fault: usize, after: Duration) {
        let mean = self.swarm.faults[fault].1;
        let pause = self.around(mean);
        self.plan(after + pause, Todo::Fault(fault));
    }

    /// A fault of this number in the swarm's list happens, if it can now.
    pub(super) fn inject(&mut self, fault: usize) {
        if self.is_liveness {
            return;
        }
        let act = self.swarm.faults[fault].0;
        let node = self.dice.index(self.nodes.len());
        if !self.swarm.is_calm || self.is_quiet(act) {
            self.act(act, node);
        }
        self.plan_fault(fault, Duration::ZERO);
    }

    fn act(&mut self, act: Act, node: usize) {
        match act {
            Act::Kill => self.kill(node),
            Act::CutPower => self.cut_power(node),
            Act::FlipBit => self.flip_bit(node),
            Act::Wipe => self.wipe(node),
            Act::Leave => {
                self.world.leave(node);
            }
            Act::Pause => self.pause(node),
            Act::Stall => self.stall(node),
            Act::Partition => self.partition(),
            Act::BreakLinks => {
                let other = self.other(node);
                self.world.break_links(node, other);
            }
            Act::RefuseDials => {
                self.world.refuse_dials(node, true);
                self.plan_undo(2_000, Undo::Dials(node));
            }
            Act::SlowPath => self.slow_path(node),
            Act::SetClock => self.set_clock(node),
            Act::DiskErrors
            | Act::ShortWrites
            | Act::Interrupts
            | Act::FillDisk
            | Act::FlippedReads
            | Act::SlowDisk
            | Act::StickDisk => self.spoil_disk(act, node),
        }
    }

    /// Whether the next change of the ring is one at a time: everybody is up and at rest.
    fn is_quiet(&self, act: Act) -> bool {
        let changes_ring = matches!(act, Act::Kill | Act::Leave);
        let is_up = |node: usize| self.world.state(node) == NodeState::Serving;
        !changes_ring || ((0..self.nodes.len()).all(is_up) && self.is_ideal())
    }

    /// Whether a node's logs are at rest as its process ends; one that ends while it reads them has
    /// changed nothing.
    fn note_rest(&mut self, node: usize) {
        if self.world.state(node) != NodeState::Recovering {
            self.nodes[node].was_at_rest = self.is_at_rest(node);
        }
    }

    /// A log that takes no writes is never sealed: what came last in it is not attested.
    fn is_at_rest(&self, node: usize) -> bool {
        if self.is_poisoned(node) || self.is_full(node) {
            return false;
        }
        (0..self.swarm.setup.cores).all(|core| {
            let core = self.world.core(node, core);
            core.is_some_and(|core| core.is_recovered() && core.is_log_at_rest())
        })
    }

    fn kill(&mut self, node: usize) {
        let state = self.world.state(node);
        self.note_rest(node);
        if self.world.kill(node) {
            let is_reading = state == NodeState::Recovering;
            self.marks.hit_if(Mark::RecoveryInterrupted, is_reading);
            self.ended(node);
            self.come_back(node);
        }
    }

    fn cut_power(&mut self, node: usize) {
        let state = self.world.state(node);
        if state != NodeState::Down {
            self.note_rest(node);
        }
        if self.world.cut_power(node) {
            let is_reading = state == NodeState::Recovering;
            self.marks.hit_if(Mark::RecoveryInterrupted, is_reading);
            self.nodes[node].lost_power = true;
            self.nodes[node].lost_weakly = true;
            self.ended(node);
            self.come_back(node);
        }
    }

    /// Bits turn over where the log is at rest: what was acknowledged last is attested then, and
    /// the node must not start as if it had never been.
    fn flip_bit(&mut self, node: usize) {
        // A log that has given up, or is full, may never have attested its last batches: damage
        // there cannot be told from a torn tail.
        let is_attested = !self.is_poisoned(node) && !self.is_full(node);
        if !is_attested || !self.is_at_rest(node) || self.nodes[node].is_damaged {
            return;
        }
        self.cut_power(node);
        for core in 0..self.swarm.setup.cores {
            if self.world.flip_bit(node, core).is_some() {
                self.nodes[node].is_damaged = true;
            }
        }
    }

    fn wipe(&mut self, node: usize) {
        if self.world.state(node) == NodeState::Serving {
            self.kill(node);
        }
        self.replace_disks(node);
    }

    /// Puts new disks into a host that runs no process.
    pub(super) fn replace_disks(&mut self, node: usize) {
        if self.world.wipe(node) {
            self.history.replace(node, self.world.now());
            let book = &mut self.nodes[node];
            book.is_damaged = false;
            book.lost_power = false;
            book.lost_weakly = false;
        }
    }

    /// A node that went down comes back in a while.
    pub(super) fn come_back(&mut self, node: usize) {
        if self.nodes[node].is_awaited || self.nodes[node].is_dead {
            return;
        }
        self.nodes[node].is_awaited = true;
        let pause_ms = match self.swarm.profile {
            Profile::Log => 10 + self.dice.below(300),
            Profile::Ring | Profile::Mixed => 20 + self.dice.below(4_000),
            Profile::Calm => 3_000 + self.dice.below(3_000),
        };
        self.plan(Duration::from_millis(pause_ms), Todo::Start(node));
    }

    fn pause(&mut self, node: usize) {
        if self.world.pause(node) {
            let time_ms = self.plan_undo(3_000, Undo::Resume(node));
            let now = self.world.now();
            self.clients
                .excuse(node, Duration::from_millis(time_ms), now);
        }
    }

    fn stall(&mut self, node: usize) {
        let one_in = 20 + self.dice.below(200);
        let max = Duration::from_millis(1 + self.dice.below(80));
        self.world.set_stalls(node, one_in, max);
        self.world.set_mail(node, 1 + one_in / 8, max);
        self.plan_undo(2_000, Undo::Stall(node));
    }

    fn partition(&mut self) {
        let nodes = self.nodes.len();
        let first = self.dice.index(nodes);
        let mut sides = (vec![first], Vec::new());
        for node in (0..nodes).filter(|node| *node != first) {
            let side = if self.dice.one_in(3) {
                &mut sides.0
            } else {
                &mut sides.1
            };
            side.push(node);
        }
        let is_one_way = self.dice.one_in(3);
        for &a in &sides.0 {
            for &b in &sides.1 {
                if is_one_way {
                    self.world.cut_one_way(a, b);
                } else {
                    self.world.partition(a, b);
                }
            }
        }
        let (a, b) = sides;
        let most_ms = if self.dice.one_in(4) { 14_000 } else { 4_000 };
        self.plan_undo(most_ms, Undo::Partition(a, b));
    }

    fn slow_path(&mut self, node: usize) {
        let other = self.other(node);
        let mut path = self.swarm.setup.path;
        path.slow_one_in = 1 + self.dice.below(10);
        path.slow_max = Duration::from_millis(10 + self.dice.below(1_500));
        path.duplicate_one_in = 2 + self.dice.below(10);
        self.world.set_path(node, other, path);
        self.world.set_path(other, node, path);
        self.plan_undo(3_000, Undo::Path(node, other));
    }

    fn set_clock(&mut self, node: usize) {
        let most_ms = match self.dice.below(3) {
            0 => 400,
            1 => 3_000,
            _ => 20_000,
        };
        let before_ms = self.world.clocks(node).wall_ms;
        let ahead_ms = self.dice.below(2 * most_ms).cast_signed() - most_ms.cast_signed();
        let drift_ppm = self.dice.below(400).cast_signed() - 200;
        self.world.set_clock(node, ahead_ms, drift_ppm);
        let after_ms = self.world.clocks(node).wall_ms;
        self.history
            .jump(node, self.world.now(), before_ms, after_ms);
    }

    fn spoil_disk(&mut self, act: Act, node: usize) {
        let mut mood = self.world.disk(node);
        let most = if self.dice.one_in(2) { 6 } else { 60 };
        let rate = 1 + self.dice.below(most);
        match act {
            Act::DiskErrors => mood.error_one_in = rate,
            Act::ShortWrites => mood.short_one_in = rate,
            Act::Interrupts => mood.interrupted_one_in = rate,
            Act::FillDisk => mood.is_full = true,
            Act::FlippedReads if self.world.state(node) == NodeState::Recovering => return,
            Act::FlippedReads => mood.flipped_one_in = rate,
            Act::StickDisk => mood.is_stuck = true,
            _ => {
                mood.slow_one_in = rate;
                mood.slow_max = Duration::from_millis(20 + self.dice.below(1_000));
            }
        }
        self.world.set_disk(node, mood);
        if !matches!(act, Act::SlowDisk | Act::StickDisk) {
            self.nodes[node].had_disk_faults = true;
            self.nodes[node].lost_weakly = true;
        }
        let most_ms = if act == Act::StickDisk { 6_000 } else { 2_000 };
        self.plan_undo(most_ms, Undo::Disk(node));
    }

    /// Ends a fault.
    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Resume(node) => self.world.resume(node),
            Undo::Stall(node) => {
                self.world.set_stalls(node, 0, Duration::ZERO);
                self.world.set_mail(node, 0, Duration::ZERO);
            }
            Undo::Partition(one, other) => {
                for a in one {
                    other.iter().for_each(|b| self.world.heal(a, *b));
                }
            }
            Undo::Dials(node) => self.world.refuse_dials(node, false),
            Undo::Path(a, b) => {
                let path = self.swarm.setup.path;
                self.world.set_path(a, b, path);
                self.world.set_path(b, a, path);
            }
            Undo::Disk(node) => self.mend(node),
        }
    }

    /// A host's disks behave again. A log that has given up goes on with the next process: an
    /// operator sees to that.
    pub(super) fn mend(&mut self, node: usize) {
        let usual = self.swarm.setup.disk;
        self.world.set_disk(node, usual);
        if self.is_poisoned(node) && self.dice.one_in(2) {
            self.kill(node);
        }
    }

    /// Undoes everything and leaves nobody stopped.
    pub(super) fn undo_all(&mut self) {
        let path = self.swarm.setup.path;
        self.world.heal_all();
        for node in 0..self.nodes.len() {
            self.world.set_disk(node, self.swarm.setup.disk);
            self.undo(Undo::Resume(node));
            self.undo(Undo::Stall(node));
            self.undo(Undo::Dials(node));
            for other in 0..self.nodes.len() {
                self.world.set_path(node, other, path);
            }
        }
    }

    /// Plans the end of a fault after up to so many milliseconds, and says after how many.
    fn plan_undo(&mut self, most_ms: u64, undo: Undo) -> u64 {
        let time_ms = 50 + self.dice.below(most_ms);
        self.plan(Duration::from_millis(time_ms), Todo::Undo(undo));
        time_ms
    }

    /// Another host than this one; itself when it is the only one.
    fn other(&mut self, node: usize) -> usize {
        let nodes = self.nodes.len();
        let step = 1 + self.dice.index(nodes.saturating_sub(1));
        (node + step) % nodes
    }
}
