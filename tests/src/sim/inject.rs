//! Faults of network, disks, clocks and cores that a driver may inject. Each does what it says, at
//! once or from now on, and is counted where it takes effect.

use std::time::Duration;

use node::engine::wal::names::FileName;

use super::drive::DiskMood;
use super::host::Place;
use super::link::Cargo;
use super::net::{Path, Side, nanos};
use super::tally::FaultKind;
use super::world::{Event, World};

impl World {
    /// How messages travel from a host to another one, from now on.
    pub fn set_path(&mut self, from: usize, to: usize, path: Path) {
        *self.net.path_mut(from, to) = path;
    }

    /// How messages travel from a host to another one.
    #[must_use]
    pub fn path(&self, from: usize, to: usize) -> Path {
        *self.net.path(from, to)
    }

    /// Nothing gets through between two hosts, in either direction, until they are healed. Whether
    /// anything did before.
    pub fn partition(&mut self, a: usize, b: usize) -> bool {
        let changes = self.cut(a, b) | self.cut(b, a);
        if changes {
            self.tally.count(FaultKind::Partition);
            self.note(a, None, || format!("is cut off from {b}"));
        }
        changes
    }

    /// Nothing gets from one host to the other until they are healed. Whether anything did before.
    pub fn cut_one_way(&mut self, from: usize, to: usize) -> bool {
        let changes = self.cut(from, to);
        if changes {
            self.tally.count(FaultKind::OneWayPartition);
            self.note(from, None, || format!("is not heard by {to}"));
        }
        changes
    }

    /// Messages get through between two hosts again; what was sent meanwhile arrives, unless its
    /// connection has ended.
    pub fn heal(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            if self.net.set_cut(from, to, None) {
                self.note(from, None, || format!("is heard by {to} again"));
                self.resume_links(from, to);
            }
        }
    }

    /// Heals everything.
    pub fn heal_all(&mut self) {
        for a in 0..self.setup.nodes {
            for b in a + 1..self.setup.nodes {
                self.heal(a, b);
            }
        }
    }

    /// Whether messages from a host reach another one.
    #[must_use]
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.net.cut_since(from, to).is_some()
    }

    /// Breaks all links between two hosts; some of what is under way arrives, in order and without
    /// holes. How many there were.
    pub fn break_links(&mut self, a: usize, b: usize) -> usize {
        if self.is_cut(a, b) || self.is_cut(b, a) {
            return 0;
        }
        let links = self.net.links_between(a, b);
        for &link in &links {
            self.tally.count(FaultKind::LinkBroken);
            for side in [Side::Dialler, Side::Acceptor] {
                self.lose_some(link, side);
                self.transmit(link, side, Cargo::End);
            }
        }
        if !links.is_empty() {
            self.note(a, None, || format!("loses {} links with {b}", links.len()));
        }
        links.len()
    }

    /// Whether a host refuses connections from now on, although its node may serve.
    pub fn refuse_dials(&mut self, node: usize, refuses: bool) {
        self.hosts[node].refuses_dials = refuses;
    }

    /// How a host's disks behave from now on.
    pub fn set_disk(&mut self, node: usize, mood: DiskMood) {
        let host = &mut self.hosts[node];
        let is_freed = host.mood.is_stuck && !mood.is_stuck;
        host.mood = mood;
        if !is_freed {
            return;
        }
        let boot = host.process.as_ref().map_or(0, |process| process.boot);
        for core in 0..self.setup.cores {
            for number in self.hosts[node].drives[usize::from(core)].take_stuck() {
                let at = self.now + self.dice.below(nanos(mood.latency_max) + 1);
                let to = Place::new(node, core, boot);
                self.agenda.plan(at, Event::Disk { to, number });
            }
        }
    }

    /// How a host's disks behave.
    #[must_use]
    pub fn disk(&self, node: usize) -> DiskMood {
        self.hosts[node].mood
    }

    /// Turns over one bit of a file of a core's log, while the power is off. Which file it was;
    /// none when there is none, or the power is on.
    pub fn flip_bit(&mut self, node: usize, core: u8) -> Option<FileName> {
        let host = &mut self.hosts[node];
        if host.has_power {
            return None;
        }
        let drive = &mut host.drives[usize::from(core)];
        let flipped = drive.flip_bit(&mut self.dice, &mut self.tally);
        self.note(node, Some(core), || {
            format!("bit of {flipped:?} turns over")
        });
        flipped
    }

    /// Sets a host's wall clock: so many milliseconds ahead, gaining so many microseconds a second.
    pub fn set_clock(&mut self, node: usize, ahead_ms: i64, drift_ppm: i64) {
        let before_ms = self.ahead_ms(node);
        self.hosts[node].clock.set(self.now, ahead_ms, drift_ppm);
        let is_beyond = ahead_ms.unsigned_abs() > SKEW_MS_MAX;
        if is_beyond {
            self.tally.count(FaultKind::SkewBeyond);
        } else if ahead_ms != 0 || drift_ppm != 0 {
            self.tally.count(FaultKind::SkewWithin);
        }
        if ahead_ms < before_ms {
            self.tally.count(FaultKind::ClockBack);
        }
        self.note(node, None, || format!("clock is {ahead_ms} ms ahead"));
    }

    /// One of so many turns of a node's cores takes up to `max` longer; none when 0.
    pub fn set_stalls(&mut self, node: usize, one_in: u64, max: Duration) {
        self.hosts[node].stalls = (one_in, max);
    }

    /// One of so many mails between a node's cores takes up to `max` longer; none when 0.
    pub fn set_mail(&mut self, node: usize, one_in: u64, max: Duration) {
        self.hosts[node].slow_mail = (one_in, max);
    }

    fn cut(&mut self, from: usize, to: usize) -> bool {
        if !self.net.set_cut(from, to, Some(self.now)) {
            return false;
        }
        for link in self.net.links_between(from, to) {
            self.expect_stall(link, Side::Dialler);
            self.expect_stall(link, Side::Acceptor);
        }
        true
    }
}

/// The bound of RELIABILITY.md, "The contract", 4.
const SKEW_MS_MAX: u64 = 500;
