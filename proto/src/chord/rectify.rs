//! Rectification (Zave 2017): a notified member takes a closer predecessor at once, and any other
//! one only after its old predecessor has been found dead.

use std::time::Duration;

use crate::id::Id;
use crate::peer::{NodeName, Peer};
use crate::planted::{self, Bug};

use super::asks::Purpose;
use super::member::Chord;
use super::{Pace, Phase};

/// The check of the old predecessor that is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Check {
    /// The closest of those who notified meanwhile: takes over if the old predecessor is dead.
    pub(super) heir: Option<Peer>,
    /// The predecessor is known to be out of the ring: it has said so itself, or is silent.
    pub(super) gone: Option<Id>,
    /// When the predecessor was last heard of.
    heard: Duration,
}

impl Chord {
    pub(super) fn rectify(&mut self, candidate: &Peer, now: Duration) {
        if self.phase != Phase::Member || candidate.id() == self.me.id() {
            return;
        }
        self.cache.remember(candidate.name(), now);
        let Some(old) = self.predecessor.clone() else {
            return self.take_predecessor(candidate, now);
        };
        if old == *candidate {
            self.check.heard = now;
            self.check.gone = None;
            return;
        }
        let is_closer = candidate.id().is_between(&old.id(), &self.me.id());
        if is_closer || self.check.gone == Some(old.id()) {
            return self.take_predecessor(candidate, now);
        }
        if planted::is(Bug::DeadPredecessor) {
            return;
        }
        let heir = self.check.heir.as_ref();
        if heir.is_none_or(|heir| candidate.id().is_between(&heir.id(), &self.me.id())) {
            self.check.heir = Some(candidate.clone());
        }
        if !self.asks.has(Purpose::Predecessor) {
            self.ask_neighbours(old, Purpose::Predecessor, now);
        }
    }

    /// A live predecessor asks for this list in every round of its own. One that has not done so
    /// for longer than a round takes is asked, so that its heir need not wait for the verdict: a
    /// question more now and then is cheaper than an arc without an owner.
    pub(super) fn watch_due(&self) -> Option<Duration> {
        let interval = self.config.stabilize_interval;
        let is_watched = self.config.pace == Pace::Adaptive && !interval.is_zero();
        let is_watched = is_watched && !planted::is(Bug::DeadPredecessor);
        let is_open = self.predecessor.is_some() && self.check.gone.is_none();
        let waits = is_watched && is_open && !self.asks.has(Purpose::Predecessor);
        waits.then_some(self.check.heard + interval * 5 / 4)
    }

    pub(super) fn watch_timeout(&mut self, now: Duration) {
        let is_due = self.watch_due().is_some_and(|due| due <= now);
        if let Some(old) = self.predecessor.clone().filter(|_| is_due) {
            self.ask_neighbours(old, Purpose::Predecessor, now);
        }
    }

    /// `from` has asked something: a predecessor that does is alive.
    pub(super) fn hear(&mut self, from: &NodeName, now: Duration) {
        if self
            .predecessor
            .as_ref()
            .is_some_and(|old| old.name() == from)
        {
            self.check.heard = now;
            self.check.gone = None;
        }
    }

    /// `who` has shown that it is a member: whatever was held against it as predecessor is void.
    pub(super) fn predecessor_alive(&mut self, who: &Peer, now: Duration) {
        if self.predecessor.as_ref() == Some(who) {
            self.check = Check::default();
            self.check.heard = now;
        }
    }

    pub(super) fn predecessor_dead(&mut self, who: &Peer, now: Duration) {
        if self.predecessor.as_ref() != Some(who) {
            return;
        }
        match self.check.heir.take() {
            Some(heir) => self.take_predecessor(&heir, now),
            None => self.check.gone = Some(who.id()),
        }
    }

    fn take_predecessor(&mut self, candidate: &Peer, now: Duration) {
        self.set_predecessor(Some(candidate.clone()));
        self.check.heard = now;
        if self.successors.head().is_none() {
            self.hasten_round(now, Duration::ZERO);
        }
    }
}
