//! Hops of recursive lookups: taking one over, forwarding it to the best member that is alive, and
//! the owner's word to the origin.

use std::time::Duration;

use crate::message::{
    Failed, FailureCode, FindSuccessor, Found, LookupFailed, LookupFailure, Message, ReplyTo,
    RequestId,
};
use crate::peer::{NodeName, Peer};
use crate::planted::{self, Bug};
use crate::time::Now;

use super::bounds::HOPS_MAX;
use super::misbehaviour::Misbehaviour;
use super::router::{Router, RouterOutput};
use super::view::Step;

/// A forwarded lookup that the next hop has not acknowledged yet.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    /// The lookup as it was before it was forwarded.
    find: FindSuccessor,
    pub(super) to: NodeName,
    tried: Vec<NodeName>,
    /// It came from another node.
    arrived: bool,
    /// The origin wants this hop and no other.
    forced: bool,
    sent: Duration,
    due: Duration,
}

impl Router {
    /// Another node hands a lookup over.
    pub fn handle_find(&mut self, reply: ReplyTo, from: &NodeName, find: FindSuccessor, now: Now) {
        if !self.view.is_serving() {
            return self.refuse(reply, FailureCode::NotMember, "not a member of the ring");
        }
        if self.hops.len() >= HOPS_MAX {
            return self.refuse(reply, FailureCode::Overloaded, "too many lookups under way");
        }
        let message = Message::HopAck;
        self.push(RouterOutput::Answer { reply, message });
        if let Some(own) = self.view.owner_of(&find.target) {
            let (owner, predecessor) = (own.me.clone(), own.predecessor.clone());
            self.send_found(find, owner, predecessor);
        } else if find.hops > self.hop_limit && !planted::is(Bug::HopLoop) {
            self.give_up(&find, LookupFailure::HopLimit, now.mono);
        } else {
            let arrived = self.may_walk_back(&find, from);
            self.forward(find, Vec::new(), arrived, now.mono);
        }
    }

    /// Whether the way on may lead back over predecessors: only for a lookup that came past its
    /// target. Whose members are where cannot always be told, so a lookup that has used up half of
    /// its hops goes forward only, and two nodes that judge differently do not pass it to and fro.
    fn may_walk_back(&self, find: &FindSuccessor, from: &NodeName) -> bool {
        if planted::is(Bug::HopLoop) {
            return true;
        }
        let first = Peer::derive(&self.config.params, from, 0);
        find.hops <= self.hop_limit / 2 && self.view.came_past(&find.target, from, first.as_ref())
    }

    /// Sends a lookup of this router to `via`, whatever the view says.
    pub(super) fn force(&mut self, find: FindSuccessor, via: &NodeName, now: Duration) {
        let member = Peer::derive(&self.config.params, via, 0);
        self.send_hop(find, via.clone(), member, Vec::new(), false, true, now);
    }

    /// Sends a lookup to the next hop but those tried; suspects only when nobody else is left.
    pub(super) fn forward(
        &mut self,
        find: FindSuccessor,
        tried: Vec<NodeName>,
        arrived: bool,
        now: Duration,
    ) {
        let rule = self.rule(arrived);
        let untried = |hop: &Peer| !tried.contains(hop.name());
        // Where all suspect an owner that lives, a lookup of its arc only goes round: one that has
        // used up half of its hops asks whom it may.
        let is_lost = find.hops > self.hop_limit / 2 && !planted::is(Bug::HopLoop);
        let trusted = |hop: &Peer| untried(hop) && (is_lost || !self.is_suspect(hop.name(), now));
        let mut step = self.view.next_step(&find.target, rule, trusted);
        if !matches!(step, Step::Hop(_)) && !self.suspects.is_empty() {
            step = self.view.next_step(&find.target, rule, untried);
        }
        let Step::Hop(next) = step else {
            return self.give_up(&find, LookupFailure::NoRoute, now);
        };
        let next = next.clone();
        self.send_hop(
            find,
            next.name().clone(),
            Some(next),
            tried,
            arrived,
            false,
            now,
        );
    }

    pub(super) fn hop_answered(
        &mut self,
        request: RequestId,
        from: &NodeName,
        message: &Message<'_>,
        now: Duration,
    ) -> Result<(), Misbehaviour> {
        let Some(hop) = self.hops.get(&request) else {
            return Ok(());
        };
        if hop.to != *from {
            return Err(Misbehaviour::WrongNode {
                from: from.clone(),
                asked: hop.to.clone(),
            });
        }
        match message {
            Message::HopAck => {
                if let Some(hop) = self.take_hop(request) {
                    let sample = now.saturating_sub(hop.sent);
                    self.rtt.measured(from, sample, now);
                    self.trust(from);
                }
                Ok(())
            }
            Message::Failed(_) => {
                self.suspect(from, now);
                self.hop_refused(request, now);
                Ok(())
            }
            _ => {
                self.hop_dead(request, now);
                Err(Misbehaviour::Unexpected {
                    from: from.clone(),
                    what: "HopAck or Failed was expected",
                })
            }
        }
    }

    /// The next hop is dead: round it, within the same lookup.
    pub(super) fn hop_dead(&mut self, request: RequestId, now: Duration) {
        let Some(hop) = self.take_hop(request) else {
            return;
        };
        if hop.forced {
            return self.give_up(&hop.find, LookupFailure::NoRoute, now);
        }
        let mut find = hop.find;
        find.timeouts = find.timeouts.saturating_add(1);
        self.go_round(find, hop.tried, hop.to, hop.arrived, now);
    }

    /// The next hop lives but is not in the ring.
    fn hop_refused(&mut self, request: RequestId, now: Duration) {
        let Some(hop) = self.take_hop(request) else {
            return;
        };
        if hop.forced {
            return self.give_up(&hop.find, LookupFailure::NotMember, now);
        }
        self.go_round(hop.find, hop.tried, hop.to, hop.arrived, now);
    }

    fn go_round(
        &mut self,
        find: FindSuccessor,
        mut tried: Vec<NodeName>,
        dead: NodeName,
        arrived: bool,
        now: Duration,
    ) {
        if self.is_mine(&find) && !self.searches.contains_key(&find.lookup) {
            return;
        }
        if tried.len() >= TRIED_MAX {
            return self.give_up(&find, LookupFailure::NoRoute, now);
        }
        tried.push(dead);
        self.forward(find, tried, arrived, now);
    }

    fn take_hop(&mut self, request: RequestId) -> Option<Hop> {
        let hop = self.hops.remove(&request)?;
        self.timers.remove(&(hop.due, request));
        Some(hop)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one hop, named once"
    )]
    fn send_hop(
        &mut self,
        find: FindSuccessor,
        to: NodeName,
        member: Option<Peer>,
        tried: Vec<NodeName>,
        arrived: bool,
        forced: bool,
        now: Duration,
    ) {
        let request = self.ids.issue();
        let mut sent = find.clone();
        sent.hops = sent.hops.saturating_add(1);
        if let Some(path) = &mut sent.path {
            path.extend(member);
        }
        let due = now + self.rtt.timeout(&to);
        self.timers.insert((due, request));
        let message = Message::FindSuccessor(sent);
        self.push(RouterOutput::Ask {
            to: to.clone(),
            request,
            message,
        });
        let hop = Hop {
            find,
            to,
            tried,
            arrived,
            forced,
            sent: now,
            due,
        };
        self.hops.insert(request, hop);
    }

    fn send_found(&mut self, find: FindSuccessor, owner: Peer, predecessor: Option<Peer>) {
        let is_mine = self.is_mine(&find);
        let path = find.path.map(|mut path| {
            // The sender named the member it meant; a sibling of it may be the owner.
            if path.last().is_some_and(|last| last.name() == owner.name()) {
                path.pop();
            }
            path.push(owner.clone());
            path
        });
        let found = Found {
            lookup: find.lookup,
            owner,
            predecessor,
            hops: find.hops,
            timeouts: find.timeouts,
            path,
        };
        if is_mine {
            return self.search_found(found);
        }
        let to = find.origin.name().clone();
        let message = Message::Found(found);
        self.push(RouterOutput::Tell { to, message });
    }

    fn give_up(&mut self, find: &FindSuccessor, reason: LookupFailure, now: Duration) {
        if self.is_mine(find) {
            return self.search_failed(find.lookup, reason, now);
        }
        let (to, lookup) = (find.origin.name().clone(), find.lookup);
        let message = Message::LookupFailed(LookupFailed { lookup, reason });
        self.push(RouterOutput::Tell { to, message });
    }

    /// Whether this router began a lookup. One that another core of this node began may come home
    /// to this one: its end is told to the node like to any other, and the core is in its number.
    fn is_mine(&self, find: &FindSuccessor) -> bool {
        find.origin.name() == &self.config.name && find.lookup.core() == self.ids.core()
    }

    pub(super) fn refuse(&mut self, reply: ReplyTo, code: FailureCode, why: &str) {
        let reason = format!("{} is {why}", self.config.name);
        let message = Message::Failed(Failed { code, reason });
        self.push(RouterOutput::Answer { reply, message });
    }
}

/// Most dead hops one node goes round in one lookup.
const TRIED_MAX: usize = 32;
