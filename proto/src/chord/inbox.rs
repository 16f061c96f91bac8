//! What arrives at a member: requests checked against the rules and sorted by kind, answers sorted
//! by what they were asked for, and the news that a peer is gone.

use std::time::Duration;

use crate::message::{Failed, FailureCode, Message, Neighbours, ReplyTo, RequestId};
use crate::peer::{NodeName, Peer};
use crate::time::Now;

use super::Phase;
use super::asks::{Ask, Purpose};
use super::member::Chord;
use super::misbehaviour::{Misbehaviour, speaks_for};

impl Chord {
    /// A request for this virtual node: `GetNeighbours`, `Notify`, `Join` or `Leave`.
    pub fn handle_request(
        &mut self,
        reply: ReplyTo,
        from: &NodeName,
        message: &Message<'_>,
        now: Now,
    ) -> Result<(), Misbehaviour> {
        match message {
            Message::GetNeighbours(_) => {
                self.hear(from, now.mono);
                self.answer_neighbours(reply);
            }
            Message::Notify(notify) => {
                speaks_for(from, "Notify", &notify.candidate)?;
                self.rectify(&notify.candidate, now.mono);
            }
            Message::Join(join) => {
                speaks_for(from, "Join", &join.joiner)?;
                self.answer_join(reply, &join.joiner, now.mono);
            }
            Message::Leave(leave) => {
                speaks_for(from, "Leave", &leave.leaver)?;
                self.answer(reply, Message::Done);
                self.neighbour_left(leave, now.mono);
            }
            _ => {
                return Err(Misbehaviour::Unexpected {
                    from: from.clone(),
                    what: "GetNeighbours, Notify, Join or Leave was expected",
                });
            }
        }
        Ok(())
    }

    /// The answer to one of this member's requests. Answers nobody waits for any more are ignored.
    pub fn handle_answer(
        &mut self,
        request: RequestId,
        from: &NodeName,
        message: &Message<'_>,
        now: Now,
    ) -> Result<(), Misbehaviour> {
        let Some(ask) = self.asks.asked(request) else {
            // Too late for its question, and a sign of life all the same.
            if let Message::Neighbours(said) = message
                && said.member.name() == from
            {
                self.predecessor_alive(&said.member, now.mono);
            }
            return Ok(());
        };
        if ask.to.name() != from {
            return Err(Misbehaviour::WrongNode {
                from: from.clone(),
                asked: ask.to.name().clone(),
            });
        }
        let Some(ask) = self.asks.close(request, now.mono) else {
            return Ok(());
        };
        let verdict = self.apply_answer(&ask, message, now.mono);
        if verdict.is_err() {
            self.member_dead(&ask, now.mono);
        }
        verdict
    }

    /// `node` could not be dialled, or the link to it broke.
    pub fn handle_unreachable(&mut self, node: &NodeName, now: Now) {
        let asking = self.asks.is_asking(node);
        for ask in self.asks.break_link(node, now.mono) {
            self.node_dead(&ask, now.mono);
        }
        self.drop_fingers(node, now.mono);
        let is_head = self
            .successors
            .head()
            .is_some_and(|head| head.name() == node);
        if is_head && !asking {
            self.hasten_round(now.mono, Duration::ZERO);
        }
    }

    fn apply_answer(
        &mut self,
        ask: &Ask,
        message: &Message<'_>,
        now: Duration,
    ) -> Result<(), Misbehaviour> {
        match (ask.purpose, message) {
            (_, Message::Failed(_)) => self.member_dead(ask, now),
            (Purpose::Head, Message::Neighbours(said)) => {
                self.check_speaker(ask, said)?;
                self.head_answered(&ask.to, said, now);
            }
            (Purpose::Candidate, Message::Neighbours(said)) => {
                self.check_speaker(ask, said)?;
                self.candidate_answered(&ask.to, said, now);
            }
            (Purpose::Predecessor, Message::Neighbours(said)) => {
                self.check_speaker(ask, said)?;
                self.predecessor_alive(&ask.to, now);
            }
            (Purpose::Join, Message::JoinAnswer(said)) => self.join_answered(ask, said, now)?,
            (Purpose::Leave, Message::Done) => self.leave_answered(),
            _ => {
                return Err(Misbehaviour::Unexpected {
                    from: ask.to.name().clone(),
                    what: "the answer to another kind of question",
                });
            }
        }
        Ok(())
    }

    fn check_speaker(&self, ask: &Ask, said: &Neighbours) -> Result<(), Misbehaviour> {
        if said.member == ask.to {
            return Ok(());
        }
        Err(Misbehaviour::WrongMember {
            from: ask.to.name().clone(),
            asked: Box::new(ask.to.clone()),
            got: Box::new(said.member.clone()),
        })
    }

    /// The host of `ask.to` is dead, and with it all of its members.
    pub(super) fn node_dead(&mut self, ask: &Ask, now: Duration) {
        self.cache.failed(ask.to.name());
        if self.phase == Phase::Member {
            if self.successors.remove_node(ask.to.name()) {
                self.changed();
            }
            self.drop_fingers(ask.to.name(), now);
        }
        self.member_dead(ask, now);
    }

    /// The member `ask.to` is dead, or its host says that it is not in the ring.
    fn member_dead(&mut self, ask: &Ask, now: Duration) {
        match ask.purpose {
            Purpose::Head => self.head_dead(&ask.to, now),
            Purpose::Candidate => self.candidate_dead(&ask.to, now),
            Purpose::Predecessor => self.predecessor_dead(&ask.to, now),
            Purpose::Join => self.join_failed(now),
            Purpose::Leave => self.leave_answered(),
        }
    }

    fn answer_neighbours(&mut self, reply: ReplyTo) {
        let message = match self.phase {
            Phase::Member => Message::Neighbours(Neighbours {
                member: self.me.clone(),
                predecessor: self.predecessor.clone(),
                successors: self.successors.peers().to_vec(),
            }),
            _ => not_member(&self.me),
        };
        self.answer(reply, message);
    }
}

/// The answer of a host that has no such member in the ring.
pub(super) fn not_member(who: &Peer) -> Message<'static> {
    Message::Failed(Failed {
        code: FailureCode::NotMember,
        reason: format!("{who} is not a member of the ring"),
    })
}
