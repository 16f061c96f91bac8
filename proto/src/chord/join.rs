//! Joining (CHORD.md, "Operations"): look the own id up through a bootstrapper, ask the
//! predecessor-to-be for a place, which checks again when it answers, and start over whenever
//! anything fails.

use std::time::Duration;

use crate::message::{Join, JoinAnswer, Message, ReplyTo};
use crate::peer::Peer;

use super::asks::{Ask, Purpose};
use super::bounds::{JOIN_PAUSE_MAX, JOIN_PAUSE_MIN};
use super::inbox::not_member;
use super::member::{Chord, Reason};
use super::misbehaviour::Misbehaviour;
use super::{LookupResult, Phase};

/// Attempts to join.
#[derive(Clone, Debug, Default)]
pub(super) struct Joining {
    /// Join through the own host, another member of which is in the ring.
    pub(super) beside: bool,
    next: Option<Duration>,
    failures: u32,
}

impl Chord {
    pub(super) fn begin_join(&mut self, now: Duration) {
        self.phase = Phase::Joining;
        self.joining.next = Some(now);
        self.join_timeout(now);
    }

    pub(super) const fn join_due(&self) -> Option<Duration> {
        self.joining.next
    }

    pub(super) fn join_timeout(&mut self, now: Duration) {
        if self.joining.next.is_none_or(|next| next > now) {
            return;
        }
        let via = if self.joining.beside {
            None
        } else {
            self.cache.entrance(&mut self.dice)
        };
        // Should the lookup never come back, this starts the next attempt.
        self.joining.next = Some(now + ATTEMPT_PATIENCE);
        self.look_up(Reason::Join, self.me.id(), via, now);
    }

    pub(super) fn place_found(&mut self, result: LookupResult, now: Duration) {
        if self.phase != Phase::Joining {
            return;
        }
        let Ok(found) = result else {
            return self.join_failed(now);
        };
        let before = found.predecessor.unwrap_or(found.owner);
        if before.id() == self.me.id() {
            return self.join_failed(now);
        }
        self.ask_for_place(before, now);
    }

    /// Asks `before` for the place behind it.
    pub(super) fn ask_for_place(&mut self, before: Peer, now: Duration) {
        let join = Join {
            vnode: before.vnode(),
            joiner: self.me.clone(),
        };
        self.ask(before, Purpose::Join, Message::Join(join), now);
    }

    pub(super) fn join_answered(
        &mut self,
        ask: &Ask,
        said: &JoinAnswer,
        now: Duration,
    ) -> Result<(), Misbehaviour> {
        let JoinAnswer::Accepted {
            predecessor,
            successors,
        } = said
        else {
            self.join_moved(now);
            return Ok(());
        };
        if *predecessor != ask.to {
            return Err(Misbehaviour::WrongMember {
                from: ask.to.name().clone(),
                asked: Box::new(ask.to.clone()),
                got: Box::new(predecessor.clone()),
            });
        }
        let alone = self.successors.head().is_none() && self.predecessor.is_none();
        if alone && matches!(self.phase, Phase::Joining | Phase::Member) {
            self.take_place(predecessor, successors, now);
        }
        Ok(())
    }

    pub(super) fn join_failed(&mut self, now: Duration) {
        if self.phase != Phase::Joining {
            return;
        }
        let pause = JOIN_PAUSE_MIN * (1 << self.joining.failures.min(5));
        self.joining.failures += 1;
        self.joining.next = Some(now + self.dice.around(pause.min(JOIN_PAUSE_MAX)));
    }

    /// A joiner asks for the place behind this member. This member does not change.
    pub(super) fn answer_join(&mut self, reply: ReplyTo, joiner: &Peer, now: Duration) {
        if self.phase != Phase::Member {
            return self.answer(reply, not_member(&self.me));
        }
        if joiner.id() == self.me.id() {
            return self.answer(reply, Message::JoinAnswer(JoinAnswer::Moved));
        }
        self.forget_incarnation(joiner);
        let fits = match (self.successors.head(), &self.predecessor) {
            (Some(head), _) => joiner.id().is_between(&self.me.id(), &head.id()),
            // Somebody has joined behind this member and is not yet its successor: that comes
            // first.
            (None, Some(_)) => false,
            (None, None) => true,
        };
        let answer = if fits {
            self.cache.remember(joiner.name(), now);
            JoinAnswer::Accepted {
                predecessor: self.me.clone(),
                successors: self.successors.peers().to_vec(),
            }
        } else {
            JoinAnswer::Moved
        };
        self.answer(reply, Message::JoinAnswer(answer));
        // The joiner is about to notify its successor; soon after, that can be seen from here.
        self.hasten_round(now, JOIN_SETTLES);
    }

    fn take_place(&mut self, before: &Peer, successors: &[Peer], now: Duration) {
        self.successors.adopt(None, successors);
        if self.successors.head().is_none() {
            self.successors.adopt(None, std::slice::from_ref(before));
        }
        for peer in self.successors.peers() {
            self.cache.remember(peer.name(), now);
        }
        self.cache.remember(before.name(), now);
        self.set_predecessor(Some(before.clone()));
        self.predecessor_alive(before, now);
        self.joining = Joining::default();
        self.become_member(now);
        // From now on two members claim the new arc, until the successor hears of it: that comes
        // before everything else.
        if let Some(head) = self.successors.head().cloned() {
            self.notify(&head);
        }
        self.round_timeout(now);
    }

    fn join_moved(&mut self, now: Duration) {
        if self.phase == Phase::Joining {
            self.joining.next = Some(now + self.dice.around(MOVED_PAUSE));
        }
    }

    /// Whoever joins is not in the ring: what is known of it is from an earlier life.
    fn forget_incarnation(&mut self, joiner: &Peer) {
        self.unbury(joiner);
        if self.successors.remove(&joiner.id()) {
            self.changed();
        }
        if self.predecessor.as_ref() == Some(joiner) {
            self.check.gone = Some(joiner.id());
        }
    }
}

/// Longer than a lookup and a Join with all their timeouts.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(20);

/// How long the way from an accepted Join to the notification of the successor takes, roughly.
const JOIN_SETTLES: Duration = Duration::from_millis(20);

/// Pause of a joiner whose place moved while it asked.
const MOVED_PAUSE: Duration = Duration::from_millis(40);
