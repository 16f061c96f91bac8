//! Leaving on purpose: predecessor and successor hear of it and answer, and the leaver waits for
//! them, but not for long. To everybody else a departure is a crash that stabilisation repairs.

use std::time::Duration;

use crate::message::{Leave, Message};
use crate::peer::Peer;
use crate::time::Now;

use super::Phase;
use super::asks::Purpose;
use super::bounds::LEAVE_WAIT;
use super::member::Chord;

impl Chord {
    /// Leaves the ring. Ends in [`Phase::Left`], at the latest two seconds later.
    pub fn leave(&mut self, now: Now) {
        let was_member = self.phase == Phase::Member;
        if matches!(self.phase, Phase::Leaving | Phase::Left) {
            return;
        }
        self.asks.clear();
        self.drop_round();
        self.phase = Phase::Leaving;
        self.leave_by = now.mono + LEAVE_WAIT;
        self.changed();
        let head = self.successors.head().filter(|_| was_member).cloned();
        let before = self.predecessor.clone();
        if let Some(before) = before.filter(|before| was_member && head.as_ref() != Some(before)) {
            self.tell_leave(before, now.mono);
        }
        if let Some(head) = head {
            self.tell_leave(head, now.mono);
        }
        self.leave_answered();
    }

    pub(super) fn leave_timeout(&mut self, now: Duration) {
        if self.leave_by <= now {
            self.asks.clear();
            self.leave_answered();
        }
    }

    pub(super) fn leave_answered(&mut self) {
        if self.phase == Phase::Leaving && !self.asks.has(Purpose::Leave) {
            self.phase = Phase::Left;
            self.changed();
        }
    }

    /// A neighbour leaves: what it last knew stands in for what it would have answered, and then it
    /// is dropped as a dead head is.
    pub(super) fn neighbour_left(&mut self, leave: &Leave, now: Duration) {
        if self.phase != Phase::Member {
            return;
        }
        let leaver = &leave.leaver;
        // The new head may still name it; asking somebody who has gone would only take time, in
        // which the head does not know that it owns the leaver's arc.
        self.mark_dead(leaver, now);
        let was_head = self.successors.head() == Some(leaver);
        if was_head
            && leave
                .successors
                .iter()
                .any(|peer| peer.id() != self.me.id())
        {
            self.successors.adopt(None, &leave.successors);
        }
        let was_listed = self.successors.remove(&leaver.id());
        if self.predecessor.as_ref() == Some(leaver) {
            self.check.gone = Some(leaver.id());
            if self.successors.head().is_none() {
                self.set_predecessor(None);
            }
        }
        if was_head || was_listed {
            self.changed();
            self.round_at_once(now);
        }
        if self.fingers_on(leaver) {
            self.drop_fingers(leaver.name(), now);
        }
    }

    fn tell_leave(&mut self, to: Peer, now: Duration) {
        let leave = Leave {
            vnode: to.vnode(),
            leaver: self.me.clone(),
            predecessor: self.predecessor.clone(),
            successors: self.successors.peers().to_vec(),
        };
        self.ask(to, Purpose::Leave, Message::Leave(leave), now);
    }

    fn fingers_on(&self, leaver: &Peer) -> bool {
        self.fingers.distinct().any(|finger| finger == leaver)
    }
}
