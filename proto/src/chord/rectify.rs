//! Rectification (Zave 2017): a notified member takes a closer predecessor at once, and any other
//! one only after its old predecessor has been found dead.

use std::time::Duration;

use crate::id::Id;
use crate::peer::Peer;
use crate::planted::{self, Bug};

use super::Phase;
use super::asks::Purpose;
use super::member::Chord;

/// The check of the old predecessor that is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Check {
    /// The closest of those who notified meanwhile: takes over if the old predecessor is dead.
    pub(super) heir: Option<Peer>,
    /// The predecessor has said itself that it leaves, or that it joins anew.
    pub(super) gone: Option<Id>,
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

    pub(super) fn predecessor_dead(&mut self, who: &Peer, now: Duration) {
        let heir = self.check.heir.take();
        if self.predecessor.as_ref() == Some(who)
            && let Some(heir) = heir
        {
            self.take_predecessor(&heir, now);
        }
    }

    fn take_predecessor(&mut self, candidate: &Peer, now: Duration) {
        self.set_predecessor(Some(candidate.clone()));
        if self.successors.head().is_none() {
            self.hasten_round(now, Duration::ZERO);
        }
    }
}
