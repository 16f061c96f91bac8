//! Lookups at their origin: started, tried again after silence or failure, and ended in time.
//! Hops on the way belong to the router; a lookup through a given node gets one attempt.

use std::time::Duration;

use crate::id::Id;
use crate::message::{FindSuccessor, Found, LookupFailure, LookupMode, RequestId, Route};
use crate::peer::{NodeName, Peer};

use super::LookupFound;
use super::bounds::{RETRY_PAUSE_MAX, RETRY_PAUSE_MIN};
use super::iterative::Trail;
use super::router::{Router, RouterOutput};

/// A lookup of this router.
#[derive(Clone, Debug)]
pub(super) struct Search {
    ticket: u64,
    pub(super) target: Id,
    mode: LookupMode,
    via: Option<NodeName>,
    deadline: Duration,
    /// When it is tried again, or ended.
    due: Duration,
    attempts: u32,
    failure: Option<LookupFailure>,
    /// Where an iterative lookup has been.
    pub(super) trail: Trail,
}

impl Search {
    pub(super) fn new(
        ticket: u64,
        target: Id,
        mode: LookupMode,
        via: Option<NodeName>,
        deadline: Duration,
        now: Duration,
    ) -> Self {
        Self {
            ticket,
            target,
            mode,
            via,
            deadline,
            due: now,
            attempts: 0,
            failure: None,
            trail: Trail::default(),
        }
    }

    pub(super) const fn via(&self) -> Option<&NodeName> {
        self.via.as_ref()
    }
}

impl Router {
    pub(super) fn begin_search(&mut self, search: Search, now: Duration) {
        let lookup = self.ids.issue();
        let patience = if self.config.retry {
            now + FIRST_PATIENCE
        } else {
            search.deadline
        };
        self.searches.insert(lookup, search);
        self.set_search_timer(lookup, patience);
        self.attempt(lookup, now);
    }

    pub(super) fn search_found(&mut self, found: Found) {
        let Some(search) = self.end_search(found.lookup) else {
            return;
        };
        let is_foreign = *found.owner.name() != self.config.name;
        if search.via.is_none() && is_foreign {
            let after = found.predecessor.as_ref().unwrap_or(&found.owner).id();
            self.arcs.insert(after, found.owner.clone());
        }
        let short = |count: u16| u8::try_from(count).unwrap_or(u8::MAX);
        let result = Ok(LookupFound {
            owner: found.owner,
            predecessor: found.predecessor,
            route: Route {
                rpcs: short(found.hops),
                timeouts: short(found.timeouts),
                cached: false,
            },
            path: found.path.unwrap_or_default(),
        });
        self.drop_steps(found.lookup);
        let ticket = search.ticket;
        self.push(RouterOutput::Done { ticket, result });
    }

    /// An attempt failed. Through a given node there is one attempt; otherwise the ring is given
    /// the time to repair itself, up to the deadline.
    pub(super) fn search_failed(
        &mut self,
        lookup: RequestId,
        reason: LookupFailure,
        now: Duration,
    ) {
        let Some(search) = self.searches.get_mut(&lookup) else {
            return;
        };
        let is_outside = !self.view.is_serving() || !self.config.retry;
        if search.via.is_some() || is_outside || search.deadline <= now {
            return self.fail_search(lookup, reason);
        }
        search.failure = Some(reason);
        let pause = RETRY_PAUSE_MIN * (1 << search.attempts.min(6));
        self.set_search_timer(lookup, now + pause.min(RETRY_PAUSE_MAX));
    }

    pub(super) fn search_timeout(&mut self, lookup: RequestId, now: Duration) {
        let Some(search) = self.searches.get_mut(&lookup) else {
            return;
        };
        if search.deadline <= now {
            let reason = search.failure.unwrap_or(LookupFailure::Deadline);
            return self.fail_search(lookup, reason);
        }
        search.attempts += 1;
        let patience = FIRST_PATIENCE * (1 << search.attempts.min(4));
        self.set_search_timer(lookup, now + patience);
        self.attempt(lookup, now);
    }

    fn attempt(&mut self, lookup: RequestId, now: Duration) {
        let Some(search) = self.searches.get(&lookup) else {
            return;
        };
        if search.mode == LookupMode::Iterative {
            return self.first_step(lookup, now);
        }
        let is_traced = search.mode == LookupMode::Traced;
        let find = FindSuccessor {
            target: search.target,
            origin: self.origin.clone(),
            lookup,
            hops: 0,
            timeouts: 0,
            path: is_traced.then(Vec::new),
        };
        if let Some(via) = search.via.clone() {
            return self.force(find, &via, now);
        }
        if !self.view.is_serving() {
            return self.fail_search(lookup, LookupFailure::NotMember);
        }
        // A change of the view may have brought the position here since the last attempt.
        if let Some(own) = self.view.owner_of(&find.target) {
            let found = own_found(lookup, &own.me, own.predecessor.as_ref(), is_traced);
            return self.search_found(found);
        }
        self.forward(find, Vec::new(), false, now);
    }

    fn set_search_timer(&mut self, lookup: RequestId, at: Duration) {
        if let Some(search) = self.searches.get_mut(&lookup) {
            self.timers.remove(&(search.due, lookup));
            search.due = at.min(search.deadline);
            self.timers.insert((search.due, lookup));
        }
    }

    fn fail_search(&mut self, lookup: RequestId, reason: LookupFailure) {
        self.drop_steps(lookup);
        if let Some(search) = self.end_search(lookup) {
            let (ticket, result) = (search.ticket, Err(reason));
            self.push(RouterOutput::Done { ticket, result });
        }
    }

    fn end_search(&mut self, lookup: RequestId) -> Option<Search> {
        let search = self.searches.remove(&lookup)?;
        self.timers.remove(&(search.due, lookup));
        Some(search)
    }
}

fn own_found(
    lookup: RequestId,
    owner: &Peer,
    predecessor: Option<&Peer>,
    is_traced: bool,
) -> Found {
    Found {
        lookup,
        owner: owner.clone(),
        predecessor: predecessor.cloned(),
        hops: 0,
        timeouts: 0,
        path: is_traced.then(|| vec![owner.clone()]),
    }
}

/// How long an origin waits for a lookup that was taken over before it sends it once more; doubled
/// with each attempt.
const FIRST_PATIENCE: Duration = Duration::from_millis(1000);
