//! Finding other rings (CHORD.md, "Operations", last paragraph): a member looks itself up through
//! members it has known, and when the owner of its own id is somebody else, it has a successor to
//! consider.
//!
//! Why that merges two rings: of all members of both, some a is directly followed by a b of the
//! other. The other ring names b as owner of a's id, which is closer than a's successor, so a takes
//! b as candidate of stabilisation's step 2 and notifies it. From then on a's ring hangs on b's as
//! appendage, and whoever is last before a member of the other ring does the same, until the
//! predecessors have pulled in everybody. A ring that winds round the circle twice unwinds in the
//! same way.

use std::time::Duration;

use crate::peer::{NodeName, Peer};

use super::asks::Purpose;
use super::bounds::{EAGERNESS, SELF_LOOKUP_INTERVALS};
use super::member::{Chord, Reason};
use super::{LookupResult, Phase};

/// The clockwork of self-lookups.
#[derive(Clone, Debug)]
pub(super) struct Merging {
    next: Duration,
    /// Stabilise intervals until the next try of a member that is alone.
    lonely: u32,
    /// When something that siblings let it know of may be tried next.
    reunion: Duration,
}

impl Default for Merging {
    fn default() -> Self {
        Self {
            next: Duration::MAX,
            lonely: 1,
            reunion: Duration::ZERO,
        }
    }
}

impl Chord {
    pub(super) fn first_self_lookup(&mut self, now: Duration) {
        let interval = self.config.stabilize_interval;
        let pause = self.dice.around(interval * SELF_LOOKUP_INTERVALS / 2);
        self.merging.next = now + pause;
    }

    pub(super) fn merge_due(&self) -> Option<Duration> {
        let waits = self.merging.next != Duration::MAX && !self.cache.is_empty();
        waits.then_some(self.merging.next)
    }

    /// The ring around this member has changed: strangers may be within reach now.
    pub(super) fn hasten_self_lookup(&mut self, now: Duration) {
        self.merging.lonely = 1;
        let near = |name: &_| self.is_near(name);
        if self.cache.has_stranger(near) {
            let pause = self.dice.around(self.config.stabilize_interval);
            self.merging.next = self.merging.next.min(now + pause);
        }
    }

    pub(super) fn merge_timeout(&mut self, now: Duration) {
        if self.merge_due().is_none_or(|due| due > now) {
            return;
        }
        let pause = if self.is_alone() {
            self.merging.lonely = (self.merging.lonely * 2).min(SELF_LOOKUP_INTERVALS);
            self.merging.lonely / 2
        } else {
            SELF_LOOKUP_INTERVALS
        };
        let pause = self.config.stabilize_interval * pause.max(1);
        self.merging.next = now + self.dice.around(pause);
        if self.is_looking(Reason::Merge, now) {
            return;
        }
        let mut dice = self.dice.clone();
        let via = self.cache.stranger(&mut dice, |name| self.is_near(name));
        self.dice = dice;
        if via.is_some() {
            self.look_up(Reason::Merge, self.me.id(), via, now);
        }
    }

    pub(super) fn self_found(&mut self, result: LookupResult, now: Duration) {
        let Ok(found) = result else {
            return;
        };
        if found.owner.id() == self.me.id() {
            return;
        }
        if self.is_alone() {
            let before = found.predecessor.unwrap_or(found.owner);
            if before.id() != self.me.id() {
                self.ask_for_place(before, now);
            }
            return;
        }
        let me = self.me.id();
        match self.successors.head() {
            Some(head) if *head == found.owner => self.hasten_round(now, Duration::ZERO),
            Some(head) if !found.owner.id().is_between(&me, &head.id()) => {}
            _ => self.ask_candidate(found.owner, now),
        }
        // More of the other ring may lie close by.
        let pause = self.dice.around(2 * self.config.stabilize_interval);
        self.merging.next = self.merging.next.min(now + pause);
    }

    /// Whether `other`, a member, should be its head and is not.
    pub(super) fn skips(&self, other: &Peer) -> bool {
        let head = self.successors.head();
        let in_ring = self.phase == Phase::Member;
        in_ring && head.is_some_and(|head| other.id().is_between(&self.me.id(), &head.id()))
    }

    /// Whether something may be tried again that its siblings let it know of.
    pub(super) fn may_reunite(&mut self, now: Duration) -> bool {
        let is_busy = self.is_looking(Reason::Merge, now) || self.asks.has(Purpose::Join);
        let may = self.merging.reunion <= now && !is_busy;
        if may {
            let pause = self.config.stabilize_interval / EAGERNESS;
            self.merging.reunion = now + self.dice.around(pause);
        }
        may
    }

    /// Looks itself up through a node that a sibling knows.
    pub(super) fn look_home(&mut self, via: NodeName, now: Duration) {
        self.look_up(Reason::Merge, self.me.id(), Some(via), now);
    }

    /// Whether nobody else is known to be in the ring.
    pub(super) fn is_alone(&self) -> bool {
        self.successors.head().is_none() && self.predecessor.is_none()
    }

    fn is_near(&self, name: &NodeName) -> bool {
        self.neighbours().any(|peer| peer.name() == name)
    }
}
