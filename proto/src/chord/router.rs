//! Lookups of one core: the machine's state, its inputs and outputs.
//!
//! A lookup is a *search* at its origin (`search`; step by step in `iterative`) and a chain of
//! *hops* (`forward`): whoever takes one over acknowledges it, whoever forwards one waits for that,
//! and goes round a hop that stays silent. What owns what is only ever said by an owner, out of its
//! own view.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::id::Id;
use crate::message::{
    Found, LookupFailed, LookupFailure, LookupMode, Message, ReplyTo, RequestId, RequestIds, Route,
};
use crate::peer::{NodeName, Peer, RingParams};
use crate::time::Now;

use super::arcs::ArcCache;
use super::bounds::{ARCS_MAX, SEARCHES_MAX, SUSPICION};
use super::forward::Hop;
use super::iterative::Walk;
use super::misbehaviour::Misbehaviour;
use super::rtt::{RttBounds, RttTable};
use super::search::Search;
use super::view::StepRule;
use super::{LookupFound, LookupResult, RoutingView};

/// How a router behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouterConfig {
    /// What all members of the ring agree on.
    pub params: RingParams,
    /// The node the router belongs to.
    pub name: NodeName,
    /// Ask a presumed owner that a successor list names directly, and not its predecessor first:
    /// one hop less than the papers count, so reproductions of their tables switch it off.
    pub direct: bool,
    /// Most arcs the arc cache keeps.
    pub arcs_max: usize,
    /// Try a lookup again that failed or stays silent, up to its deadline. The papers count what
    /// one attempt gives, so reproductions of their tables switch it off.
    pub retry: bool,
}

impl RouterConfig {
    /// The usual router of `name`.
    #[must_use]
    pub const fn new(params: RingParams, name: NodeName) -> Self {
        Self {
            params,
            name,
            direct: true,
            arcs_max: ARCS_MAX,
            retry: true,
        }
    }
}

/// What a [`Router`] wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouterOutput {
    /// Send a request; its answer goes to `handle_answer`.
    Ask {
        /// The node asked.
        to: NodeName,
        /// The id to send it under.
        request: RequestId,
        /// The request.
        message: Message<'static>,
    },
    /// Send a message that is not answered.
    Tell {
        /// The node told.
        to: NodeName,
        /// The message.
        message: Message<'static>,
    },
    /// Answer a received request.
    Answer {
        /// Which request.
        reply: ReplyTo,
        /// The answer.
        message: Message<'static>,
    },
    /// A lookup has ended.
    Done {
        /// The number its caller chose.
        ticket: u64,
        /// What it ended in.
        result: LookupResult,
    },
}

/// The lookups of one core. Same grammar as [`super::Chord`].
///
/// Every lookup ends by its deadline in an owner or a failure, provided `handle_timeout` is called
/// when due.
#[derive(Clone, Debug)]
pub struct Router {
    pub(super) config: RouterConfig,
    pub(super) origin: Peer,
    pub(super) view: Arc<RoutingView>,
    pub(super) hop_limit: u16,
    pub(super) ids: RequestIds,
    pub(super) arcs: ArcCache,
    pub(super) rtt: RttTable,
    pub(super) suspects: BTreeMap<NodeName, Duration>,
    pub(super) searches: BTreeMap<RequestId, Search>,
    pub(super) hops: BTreeMap<RequestId, Hop>,
    pub(super) walks: BTreeMap<RequestId, Walk>,
    pub(super) timers: BTreeSet<(Duration, RequestId)>,
    outputs: VecDeque<RouterOutput>,
    stray_answers: u64,
}

impl Router {
    /// A router with an empty view. `ids` gives out the ids of its lookups and requests: their core
    /// and tag bring answers, `Found` and `LookupFailed` back to it.
    ///
    /// # Panics
    /// When the ring's parameters allow no virtual node at all.
    #[must_use]
    pub fn new(config: RouterConfig, ids: RequestIds, seed: u64) -> Self {
        let origin = Peer::derive(&config.params, &config.name, 0);
        Self {
            origin: origin.expect("a ring allows at least one virtual node"),
            view: Arc::default(),
            hop_limit: 0,
            ids,
            arcs: ArcCache::new(config.arcs_max, seed),
            rtt: RttTable::new(RTT_BOUNDS),
            suspects: BTreeMap::new(),
            searches: BTreeMap::new(),
            hops: BTreeMap::new(),
            walks: BTreeMap::new(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            stray_answers: 0,
            config,
        }
    }

    /// Routes by this view from now on.
    pub fn set_view(&mut self, view: Arc<RoutingView>) {
        self.hop_limit = view.hop_limit(usize::from(self.config.params.successors));
        // Who comes into the view anew may have come back; at worst it is suspected again.
        let names = |view: &RoutingView, node: &NodeName| {
            let mut hops = view.hops.iter();
            hops.any(|hop| hop.name() == node)
        };
        let old = &self.view;
        self.suspects
            .retain(|node, _| names(old, node) || !names(&view, node));
        self.view = view;
    }

    /// Whether an own member owns `target`.
    #[must_use]
    pub fn owns(&self, target: &Id) -> bool {
        self.view.owner_of(target).is_some()
    }

    /// The owner of `target` as the arc cache knows it: it may have changed, and says so when
    /// asked.
    #[must_use]
    pub fn cached(&self, target: &Id) -> Option<&Peer> {
        self.arcs.find(target)
    }

    /// The owner that was cached for `target` does not own it.
    pub fn forget(&mut self, target: &Id) {
        self.arcs.forget(target);
    }

    /// Looks up who owns `target`; ends in a [`RouterOutput::Done`] with `ticket`, possibly at
    /// once. With `via` the lookup starts at that node, whatever the own view and the arc cache
    /// know.
    pub fn lookup(
        &mut self,
        ticket: u64,
        target: Id,
        mode: LookupMode,
        via: Option<NodeName>,
        deadline: Duration,
        now: Now,
    ) {
        let via = via.filter(|via| *via != self.config.name);
        if via.is_none()
            && let Some(result) = self.known(&target, mode)
        {
            return self.push(RouterOutput::Done { ticket, result });
        }
        if self.searches.len() >= SEARCHES_MAX {
            let result = Err(LookupFailure::NoRoute);
            return self.push(RouterOutput::Done { ticket, result });
        }
        let search = Search::new(ticket, target, mode, via, deadline, now.mono);
        self.begin_search(search, now.mono);
    }

    /// An owner answers a lookup of this router.
    pub fn handle_found(
        &mut self,
        from: &NodeName,
        found: Found,
        _now: Now,
    ) -> Result<(), Misbehaviour> {
        super::misbehaviour::speaks_for(from, "Found", &found.owner)?;
        let Some(search) = self.searches.get(&found.lookup) else {
            self.stray_answers += 1;
            return Ok(());
        };
        if !found.arc().contains(&search.target) {
            return Err(Misbehaviour::WrongArc { from: from.clone() });
        }
        self.trust(from);
        self.search_found(found);
        Ok(())
    }

    /// A hop gave up a lookup of this router.
    pub fn handle_lookup_failed(&mut self, failed: &LookupFailed, now: Now) {
        self.search_failed(failed.lookup, failed.reason, now.mono);
    }

    /// The answer to one of this router's requests.
    pub fn handle_answer(
        &mut self,
        request: RequestId,
        from: &NodeName,
        message: &Message<'_>,
        now: Now,
    ) -> Result<(), Misbehaviour> {
        if self.hops.contains_key(&request) {
            self.hop_answered(request, from, message, now.mono)
        } else if self.walks.contains_key(&request) {
            self.step_answered(request, from, message, now.mono)
        } else {
            // Whoever answers late is alive all the same.
            self.trust(from);
            Ok(())
        }
    }

    /// `node` could not be dialled, or the link to it broke: everything that waits for it goes
    /// another way.
    pub fn handle_unreachable(&mut self, node: &NodeName, now: Now) {
        if !self.is_suspect(node, now.mono) {
            self.arcs.forget_node(node);
        }
        self.suspect(node, now.mono);
        let hops = self.hops.iter().filter(|(_, hop)| hop.to == *node);
        for request in hops.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.hop_dead(request, now.mono);
        }
        let walks = self.walks.iter().filter(|(_, walk)| walk.to.name() == node);
        for request in walks.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.step_dead(request, now.mono);
        }
    }

    /// Time has come to `poll_timeout()`.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((due, request)) = self.timers.first().copied() {
            if due > now.mono {
                return;
            }
            self.timers.pop_first();
            if let Some(hop) = self.hops.get(&request) {
                let to = hop.to.clone();
                self.missed(&to, now.mono);
                self.hop_dead(request, now.mono);
            } else if let Some(walk) = self.walks.get(&request) {
                let to = walk.to.name().clone();
                self.missed(&to, now.mono);
                self.step_dead(request, now.mono);
            } else {
                self.search_timeout(request, now.mono);
            }
        }
    }

    /// The monotonic time at which `handle_timeout` is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The next thing to do; call until `None`.
    pub fn poll_output(&mut self) -> Option<RouterOutput> {
        self.outputs.pop_front()
    }

    /// The round-trip times of hops this router has measured.
    #[must_use]
    pub const fn rtt(&self) -> &RttTable {
        &self.rtt
    }

    /// Owners' answers to lookups that this router does not have: it has ended them, or an earlier
    /// process of this node began them.
    #[must_use]
    pub const fn stray_answers(&self) -> u64 {
        self.stray_answers
    }

    /// The arc cache.
    #[must_use]
    pub const fn arcs(&self) -> &ArcCache {
        &self.arcs
    }

    /// What the own view or the arc cache says of `target`.
    pub(super) fn known(&self, target: &Id, mode: LookupMode) -> Option<LookupResult> {
        if let Some(own) = self.view.owner_of(target) {
            let is_traced = matches!(mode, LookupMode::Traced | LookupMode::Iterative);
            return Some(Ok(LookupFound {
                owner: own.me.clone(),
                predecessor: own.predecessor.clone(),
                route: Route::default(),
                path: if is_traced {
                    vec![own.me.clone()]
                } else {
                    Vec::new()
                },
            }));
        }
        if mode != LookupMode::Cached {
            return None;
        }
        let owner = self.arcs.find(target)?;
        Some(Ok(LookupFound {
            owner: owner.clone(),
            predecessor: None,
            route: Route {
                rpcs: 1,
                timeouts: 0,
                cached: true,
            },
            path: Vec::new(),
        }))
    }

    pub(super) fn push(&mut self, output: RouterOutput) {
        self.outputs.push_back(output);
    }

    pub(super) fn rule(&self, arrived: bool) -> StepRule {
        StepRule {
            len_max: usize::from(self.config.params.successors),
            direct: self.config.direct,
            arrived,
        }
    }

    pub(super) fn is_suspect(&self, node: &NodeName, now: Duration) -> bool {
        self.suspects.get(node).is_some_and(|until| *until > now)
    }

    pub(super) fn suspect(&mut self, node: &NodeName, now: Duration) {
        self.suspects.retain(|_, until| *until > now);
        self.suspects.insert(node.clone(), now + SUSPICION);
    }

    /// `node` has just shown that it is alive.
    pub(super) fn trust(&mut self, node: &NodeName) {
        if !self.suspects.is_empty() {
            self.suspects.remove(node);
        }
    }

    /// `node` did not answer in time.
    fn missed(&mut self, node: &NodeName, now: Duration) {
        self.rtt.timed_out(node);
        self.suspect(node, now);
    }
}

/// A hop that is given up too early costs a message, so these are tight.
const RTT_BOUNDS: RttBounds = RttBounds {
    initial: Duration::from_millis(500),
    min: Duration::from_millis(50),
    max: Duration::from_secs(2),
};
