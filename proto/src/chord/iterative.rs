//! Iterative lookups: every step asked from the origin, for traces and audits.
//! Owns the steps; when an attempt starts and when it is given up is decided in `search`.

use std::time::Duration;

use crate::id::Id;
use crate::message::{
    FailureCode, Found, LookupFailure, Message, NextHop, NextHopAnswer, ReplyTo, RequestId,
};
use crate::peer::{NodeName, Peer};
use crate::time::Now;

use super::bounds::CLOSER_MAX;
use super::misbehaviour::{Misbehaviour, speaks_for};
use super::router::{Router, RouterOutput};
use super::view::Step;

/// Where an iterative lookup has been and where it could go.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    /// Members that answered, in order.
    path: Vec<Peer>,
    /// Members found dead.
    dead: Vec<Peer>,
    /// Members still to be asked, the next one last.
    frontier: Vec<Peer>,
    /// How many were known to be dead when there was nobody left to ask.
    dead_before: usize,
}

/// A step that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) to: Peer,
    lookup: RequestId,
    sent: Duration,
    due: Duration,
}

impl Router {
    /// Another node asks for one step of an iterative lookup.
    pub fn handle_next_hop(&mut self, reply: ReplyTo, ask: &NextHop, _now: Now) {
        if !self.view.is_serving() {
            return self.refuse(reply, FailureCode::NotMember, "not a member of the ring");
        }
        let answer = match self.view.owner_of(&ask.target) {
            Some(own) => NextHopAnswer::Owner {
                owner: own.me.clone(),
                predecessor: own.predecessor.clone(),
            },
            None => NextHopAnswer::Closer(self.closer(&ask.target, &ask.avoid, true)),
        };
        let message = Message::NextHopAnswer(answer);
        self.push(RouterOutput::Answer { reply, message });
    }

    pub(super) fn first_step(&mut self, lookup: RequestId, now: Duration) {
        let Some(search) = self.searches.get(&lookup) else {
            return;
        };
        let (target, dead) = (search.target, search.trail.dead.clone());
        let via = search.via();
        let mut frontier = match via {
            Some(via) => Peer::derive(&self.config.params, via, 0)
                .into_iter()
                .collect(),
            None => self.closer(&target, &dead, false),
        };
        frontier.reverse();
        if let Some(search) = self.searches.get_mut(&lookup) {
            search.trail.path.clear();
            search.trail.frontier = frontier;
            search.trail.dead_before = dead.len();
        }
        self.next_step(lookup, now);
    }

    pub(super) fn step_answered(
        &mut self,
        request: RequestId,
        from: &NodeName,
        message: &Message<'_>,
        now: Duration,
    ) -> Result<(), Misbehaviour> {
        let Some(walk) = self.walks.get(&request) else {
            return Ok(());
        };
        if walk.to.name() != from {
            let asked = walk.to.name().clone();
            return Err(Misbehaviour::WrongNode {
                from: from.clone(),
                asked,
            });
        }
        let Some(walk) = self.take_walk(request) else {
            return Ok(());
        };
        match message {
            Message::NextHopAnswer(answer) => {
                self.rtt.measured(from, now.saturating_sub(walk.sent), now);
                self.trust(from);
                self.step_done(walk, from, answer, now)
            }
            Message::Failed(_) => {
                self.step_lost(&walk, now);
                Ok(())
            }
            _ => {
                self.step_lost(&walk, now);
                Err(Misbehaviour::Unexpected {
                    from: from.clone(),
                    what: "NextHopAnswer or Failed was expected",
                })
            }
        }
    }

    pub(super) fn step_dead(&mut self, request: RequestId, now: Duration) {
        if let Some(walk) = self.take_walk(request) {
            self.step_lost(&walk, now);
        }
    }

    /// Steps of a lookup that has ended.
    pub(super) fn drop_steps(&mut self, lookup: RequestId) {
        if self.walks.is_empty() {
            return;
        }
        let steps = self.walks.iter().filter(|(_, walk)| walk.lookup == lookup);
        for request in steps.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.take_walk(request);
        }
    }

    fn step_done(
        &mut self,
        walk: Walk,
        from: &NodeName,
        answer: &NextHopAnswer,
        now: Duration,
    ) -> Result<(), Misbehaviour> {
        match answer {
            NextHopAnswer::Owner { owner, predecessor } => {
                speaks_for(from, "NextHopAnswer", owner)?;
                self.owner_said(&walk, owner, predecessor.as_ref(), from, now)
            }
            NextHopAnswer::Closer(closer) => {
                if let Some(search) = self.searches.get_mut(&walk.lookup) {
                    let trail = &mut search.trail;
                    trail.path.push(walk.to);
                    let known =
                        |peer: &Peer| trail.path.contains(peer) || trail.dead.contains(peer);
                    let fresh: Vec<_> = closer.iter().filter(|peer| !known(peer)).collect();
                    let next = fresh.into_iter().take(CLOSER_MAX).rev().cloned();
                    trail.frontier.extend(next);
                }
                self.next_step(walk.lookup, now);
                Ok(())
            }
        }
    }

    fn owner_said(
        &mut self,
        walk: &Walk,
        owner: &Peer,
        predecessor: Option<&Peer>,
        from: &NodeName,
        now: Duration,
    ) -> Result<(), Misbehaviour> {
        let Some(search) = self.searches.get_mut(&walk.lookup) else {
            return Ok(());
        };
        let mut path = std::mem::take(&mut search.trail.path);
        path.push(owner.clone());
        let count = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        let found = Found {
            lookup: walk.lookup,
            owner: owner.clone(),
            predecessor: predecessor.cloned(),
            hops: count(path.len()),
            timeouts: count(search.trail.dead.len()),
            path: Some(path),
        };
        if !found.arc().contains(&search.target) {
            self.search_failed(walk.lookup, LookupFailure::NoRoute, now);
            return Err(Misbehaviour::WrongArc { from: from.clone() });
        }
        self.search_found(found);
        Ok(())
    }

    fn step_lost(&mut self, walk: &Walk, now: Duration) {
        if let Some(search) = self.searches.get_mut(&walk.lookup) {
            search.trail.dead.push(walk.to.clone());
            self.next_step(walk.lookup, now);
        }
    }

    fn next_step(&mut self, lookup: RequestId, now: Duration) {
        let (limit, origin) = (usize::from(self.hop_limit), self.config.name.clone());
        let Some(search) = self.searches.get_mut(&lookup) else {
            return;
        };
        let trail = &mut search.trail;
        if trail.path.len() > limit && limit > 0 {
            return self.search_failed(lookup, LookupFailure::HopLimit, now);
        }
        let next = loop {
            match trail.frontier.pop() {
                Some(peer) if *peer.name() == origin => {}
                Some(peer) if trail.path.contains(&peer) || trail.dead.contains(&peer) => {}
                next => break next,
            }
        };
        let Some(to) = next else {
            return self.look_back(lookup, now);
        };
        let avoid: Vec<_> = trail.dead.iter().rev().take(AVOIDED_MAX).cloned().collect();
        let ask = NextHop {
            target: search.target,
            avoid,
        };
        self.send_step(lookup, to, ask, now);
    }

    /// Nobody is left to ask. An answer names a few members only: when some of them were dead,
    /// whoever is nearest to the position, or the origin itself, may know others behind them.
    fn look_back(&mut self, lookup: RequestId, now: Duration) {
        let Some(search) = self.searches.get_mut(&lookup) else {
            return;
        };
        let (target, has_via) = (search.target, search.via().is_some());
        let trail = &mut search.trail;
        let is_fruitless = trail.dead.len() == trail.dead_before;
        if is_fruitless || trail.path.is_empty() && has_via {
            trail.dead.clear();
            return self.search_failed(lookup, LookupFailure::NoRoute, now);
        }
        trail.dead_before = trail.dead.len();
        let asked = trail.path.iter().enumerate();
        let nearest = asked.min_by_key(|(_, peer)| peer.id().distance_to(&target));
        if let Some((at, _)) = nearest {
            let again = trail.path.remove(at);
            trail.frontier.push(again);
        } else {
            let dead = trail.dead.clone();
            let mut frontier = self.closer(&target, &dead, false);
            frontier.reverse();
            if let Some(search) = self.searches.get_mut(&lookup) {
                search.trail.frontier = frontier;
            }
        }
        self.next_step(lookup, now);
    }

    fn send_step(&mut self, lookup: RequestId, to: Peer, ask: NextHop, now: Duration) {
        let request = self.ids.issue();
        let due = now + self.rtt.timeout(to.name());
        self.timers.insert((due, request));
        self.push(RouterOutput::Ask {
            to: to.name().clone(),
            request,
            message: Message::NextHop(ask),
        });
        let walk = Walk {
            to,
            lookup,
            sent: now,
            due,
        };
        self.walks.insert(request, walk);
    }

    fn take_walk(&mut self, request: RequestId) -> Option<Walk> {
        let walk = self.walks.remove(&request)?;
        self.timers.remove(&(walk.due, request));
        Some(walk)
    }

    /// The members to ask next, best first: first as if the asker had taken an own member for the
    /// owner, when it may have, then on the usual way.
    fn closer(&self, target: &Id, avoid: &[Peer], arrived: bool) -> Vec<Peer> {
        let mut closer: Vec<Peer> = Vec::new();
        for (arrived, len_max) in [(arrived, CLOSER_MAX / 2), (false, CLOSER_MAX)] {
            let rule = self.rule(arrived);
            while closer.len() < len_max {
                let usable = |hop: &Peer| !avoid.contains(hop) && !closer.contains(hop);
                let Step::Hop(next) = self.view.next_step(target, rule, usable) else {
                    break;
                };
                closer.push(next.clone());
            }
        }
        closer
    }
}

/// Most dead members named in one step.
const AVOIDED_MAX: usize = 64;
