//! Stabilisation in two steps (CHORD.md, "Operations"; Zave 2017, section 5): ask the head of the
//! list for its own, adopt it whole, and look at the head's predecessor as a closer successor.

use std::time::Duration;

use crate::id::Id;
use crate::message::{Message, Neighbours, Notify};
use crate::peer::Peer;

use super::asks::Purpose;
use super::bounds::{CHASES_MAX, EAGERNESS};
use super::member::Chord;
use super::{Pace, Phase};

/// The clockwork of stabilisation, and the round under way.
#[derive(Clone, Debug)]
pub(super) struct Stabilising {
    next: Duration,
    pause: Duration,
    quiet: u8,
    round: Option<Round>,
    /// Candidates found dead lately, with the time until which they are not asked again: a head may
    /// name its dead predecessor until it has found out by itself.
    graves: Vec<(Id, Duration)>,
}

#[derive(Clone, Debug, Default)]
struct Round {
    changed: bool,
    chases: u8,
}

impl Default for Stabilising {
    fn default() -> Self {
        Self {
            next: Duration::MAX,
            pause: Duration::ZERO,
            quiet: 0,
            round: None,
            graves: Vec::new(),
        }
    }
}

impl Chord {
    pub(super) fn round_due(&self) -> Option<Duration> {
        let idle = self.stabilising.round.is_none();
        (idle && self.stabilising.next != Duration::MAX).then_some(self.stabilising.next)
    }

    pub(super) fn round_timeout(&mut self, now: Duration) {
        if self.round_due().is_some_and(|due| due <= now) {
            self.stabilising.next = Duration::MAX;
            self.stabilising.round = Some(Round::default());
            self.stabilising.graves.retain(|(_, until)| *until > now);
            self.ask_head(now);
        }
    }

    /// The next round begins at once, whatever the pace: a new member's first, and the one after a
    /// neighbour said that it leaves.
    pub(super) fn round_at_once(&mut self, now: Duration) {
        self.stabilising.next = now;
        self.stabilising.pause = self.eager_pause();
        self.stabilising.quiet = 0;
    }

    /// The next round begins after `pause` at the latest.
    pub(super) fn hasten_round(&mut self, now: Duration, pause: Duration) {
        if self.config.pace == Pace::Papers {
            return;
        }
        self.stabilising.next = self.stabilising.next.min(now + pause);
        self.stabilising.pause = self.eager_pause();
        self.stabilising.quiet = 0;
    }

    /// Rounds keep the quiet pace until something changes.
    pub(super) fn calm_down(&mut self, now: Duration) {
        let interval = self.config.stabilize_interval;
        self.stabilising.pause = interval;
        let share = u32::try_from(self.dice.below(1024)).unwrap_or(0);
        self.stabilising.next = now + interval * share / 1024;
    }

    pub(super) fn head_answered(&mut self, head: &Peer, said: &Neighbours, now: Duration) {
        if self.successors.head() != Some(head) {
            // The head left or was replaced while it answered.
            return self.ask_head(now);
        }
        self.adopt(head, said, now);
        self.consider(head, said.predecessor.as_ref(), now);
    }

    pub(super) fn head_dead(&mut self, head: &Peer, now: Duration) {
        self.successors.remove(&head.id());
        self.mark_dead(head, now);
        self.note_change();
        self.ask_head(now);
    }

    pub(super) fn candidate_answered(&mut self, who: &Peer, said: &Neighbours, now: Duration) {
        let head = self.successors.head();
        if head.is_some_and(|head| !who.id().is_between(&self.me.id(), &head.id())) {
            return self.end_round(now);
        }
        self.adopt(who, said, now);
        self.consider(who, said.predecessor.as_ref(), now);
    }

    pub(super) fn candidate_dead(&mut self, who: &Peer, now: Duration) {
        self.mark_dead(who, now);
        match self.successors.head().cloned() {
            Some(head) => self.notify(&head),
            None if self.predecessor.as_ref() == Some(who) => {
                // Nobody is left: a ring of one.
                self.set_predecessor(None);
                self.note_change();
            }
            None => {}
        }
        self.end_round(now);
    }

    /// Asks a candidate outside of a regular round: what step 2 does with a head's predecessor.
    pub(super) fn ask_candidate(&mut self, candidate: Peer, now: Duration) {
        if self.stabilising.round.is_none() {
            self.stabilising.round = Some(Round::default());
            self.ask_neighbours(candidate, Purpose::Candidate, now);
        }
    }

    /// Nothing of a round survives a departure.
    pub(super) fn drop_round(&mut self) {
        self.stabilising = Stabilising::default();
    }

    pub(super) const fn is_stabilising(&self) -> bool {
        self.stabilising.round.is_some()
    }

    /// Whom this member found dead lately, in the order of the ids.
    pub(super) fn buried(&self) -> Vec<Id> {
        let graves = self.stabilising.graves.iter();
        let mut buried: Vec<_> = graves.map(|(id, _)| *id).collect();
        buried.sort_unstable();
        buried.dedup();
        buried
    }

    fn ask_head(&mut self, now: Duration) {
        if let Some(head) = self.successors.head().cloned() {
            return self.ask_neighbours(head, Purpose::Head, now);
        }
        // Alone, a member is its own successor; its predecessor then is the candidate of step 2.
        match self.predecessor.clone() {
            Some(candidate) => self.ask_neighbours(candidate, Purpose::Candidate, now),
            None => self.end_round(now),
        }
    }

    /// `head` has just answered: its whole list is adopted.
    fn adopt(&mut self, head: &Peer, said: &Neighbours, now: Duration) {
        if self.successors.adopt(Some(head), &said.successors) {
            self.note_change();
            for peer in self.successors.peers() {
                self.cache.remember(peer.name(), now);
            }
        }
    }

    /// A head has said who its predecessor is: a closer successor, this member, or somebody who
    /// does not know of this member.
    fn consider(&mut self, head: &Peer, predecessor: Option<&Peer>, now: Duration) {
        let closer = predecessor.filter(|p| p.id().is_between(&self.me.id(), &head.id()));
        if let Some(candidate) = closer
            && self.may_chase(candidate)
        {
            return self.ask_neighbours(candidate.clone(), Purpose::Candidate, now);
        }
        if predecessor != Some(&self.me) {
            self.notify(head);
        }
        self.end_round(now);
    }

    fn may_chase(&mut self, candidate: &Peer) -> bool {
        let buried = self
            .stabilising
            .graves
            .iter()
            .any(|(id, _)| *id == candidate.id());
        let Some(round) = &mut self.stabilising.round else {
            return false;
        };
        round.chases += 1;
        !buried && round.chases <= CHASES_MAX
    }

    pub(super) fn notify(&mut self, head: &Peer) {
        let notify = Notify {
            vnode: head.vnode(),
            candidate: self.me.clone(),
        };
        self.tell(head.name(), Message::Notify(notify));
    }

    pub(super) fn mark_dead(&mut self, who: &Peer, now: Duration) {
        if self.stabilising.graves.len() < GRAVES_MAX {
            let until = now + 2 * self.config.stabilize_interval;
            self.stabilising.graves.push((who.id(), until));
        }
    }

    /// Who was dead or had left joins anew.
    pub(super) fn unbury(&mut self, who: &Peer) {
        self.stabilising.graves.retain(|(id, _)| *id != who.id());
    }

    fn note_change(&mut self) {
        self.changed();
        if let Some(round) = &mut self.stabilising.round {
            round.changed = true;
        }
    }

    fn end_round(&mut self, now: Duration) {
        let Some(round) = self.stabilising.round.take() else {
            return;
        };
        if self.phase != Phase::Member {
            return;
        }
        let interval = self.config.stabilize_interval;
        if self.config.pace == Pace::Papers {
            self.stabilising.next = now + self.dice.papers_pause(interval);
            return;
        }
        if round.changed {
            self.stabilising.quiet = 0;
            self.stabilising.pause = self.eager_pause();
            self.hasten_self_lookup(now);
        } else {
            self.stabilising.quiet = self.stabilising.quiet.saturating_add(1);
            if self.stabilising.quiet > QUIET_ROUNDS {
                self.stabilising.pause = (self.stabilising.pause * 2).min(interval);
            }
        }
        let pause = self.dice.around(self.stabilising.pause);
        self.stabilising.next = self.stabilising.next.min(now + pause);
    }

    fn eager_pause(&self) -> Duration {
        self.config.stabilize_interval / EAGERNESS
    }
}

const GRAVES_MAX: usize = 16;

/// Rounds without a change before the pace slows down: a change further on takes a few to arrive.
const QUIET_ROUNDS: u8 = 4;
