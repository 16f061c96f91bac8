//! One core of a node: its part of the ring, the router, the shard and the operations under way,
//! tied together without a socket, file, clock or thread.
//!
//! Drain rule: after any call that takes `&mut self`, call [`Core::poll_output`] until it returns
//! `None`, then [`Core::poll_timeout`], and call [`Core::handle_timeout`] when that moment comes.
//! Calls may be batched: draining once after several keeps frames for one peer together.

use std::sync::Arc;
use std::time::Duration;

use proto::chord::{ChordConfig, Ring, Router, RouterConfig, RoutingView};
use proto::key::Key;
use proto::message::RequestIds;
use proto::peer::{NodeName, RingParams};
use proto::time::Now;

use super::counters::Counters;
use super::crawl::Crawl;
use super::gateway::SWEEP_INTERVAL;
pub use super::gateway::Taker;
use super::mail::Mail;
use super::operation::{OPERATIONS_MAX, Operation, Operations, Origin};
use super::outbox::Outbox;
use super::output::{Output, SharedView};
use super::request::{ClientRequest, Ticket};
use super::shard::{Shard, ShardConfig, shard_of};
use super::store::Probe;
use super::waiting::Waiting;
use super::wal::settings::LogConfig;

/// What a core is made of.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// This core's number, from 0.
    pub core: u8,
    /// How many cores the node has: its shards.
    pub cores: u8,
    /// What all members of the ring agree on.
    pub params: RingParams,
    /// The name this node advertises.
    pub name: NodeName,
    /// Virtual nodes of this node.
    pub virtual_nodes: u16,
    /// The ring's timing and bootstrap; used by core 0.
    pub chord: ChordConfig,
    /// Lookups.
    pub router: RouterConfig,
    /// The shard.
    pub shard: ShardConfig,
    /// The shard's log; without one everything is lost when the process ends.
    pub log: Option<LogConfig>,
    /// Longest time a client waits for an answer, and a request for this core's disk.
    pub request_deadline: Duration,
    /// Most operations under way; more are refused as overloaded.
    pub operations_max: usize,
    /// Most bytes of values that operations under way may hold; more are refused as overloaded.
    pub operations_bytes_max: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// One core of a node. The module's documentation has the drain rule.
pub struct Core {
    pub(super) config: CoreConfig,
    pub(super) ring: Option<Ring>,
    pub(super) router: Router,
    pub(super) shard: Shard,
    pub(super) operations: Operations,
    /// Requests on this core's shard that wait for the disk.
    pub(super) waiting: Waiting,
    pub(super) sweep_by: Option<Duration>,
    pub(super) crawl: Option<Crawl>,
    pub(super) crawl_ids: RequestIds,
    pub(super) crawl_tickets: Vec<Ticket>,
    pub(super) leave_tickets: Vec<Ticket>,
    pub(super) outbox: Outbox,
    pub(super) view: SharedView,
    /// No other node is known: every key is this node's.
    pub(super) alone: bool,
    /// The node stops: native clients are told to go to another one.
    pub(super) refuses_clients: bool,
    pub(super) counters: Counters,
    /// The time of the last input.
    pub(super) turn_now: Now,
}

/// What a read finds without leaving this core.
#[derive(Debug)]
pub enum LocalRead<'a> {
    /// The value.
    Value(&'a [u8]),
    /// This core owns the key and has no value.
    Absent,
    /// This core owns the key, and a write of it waits for the disk: `Core::handle_client` waits
    /// with it.
    Pending,
    /// Another core or node owns the key: `Core::handle_client` finds it.
    Elsewhere,
}

impl Core {
    /// A core at rest; core 0 holds the ring.
    #[must_use]
    pub fn new(config: CoreConfig) -> Self {
        assert!(
            config.operations_max <= OPERATIONS_MAX,
            "a number names 2^16 operations at most"
        );
        let core = config.core;
        let ring = (core == 0).then(|| {
            let name = &config.name;
            Ring::new(
                &config.chord,
                name,
                config.virtual_nodes,
                core,
                TAG_RING,
                config.seed,
            )
        });
        let router = config.router.clone();
        // The seed is another one at every start, and so is the number of the first lookup.
        let first = (config.seed >> 32) as u32;
        let router_ids = RequestIds::new(core, TAG_ROUTER, 0).starting_after(first);
        Self {
            ring,
            router: Router::new(router, router_ids, config.seed ^ u64::from(core)),
            shard: Shard::new(config.shard),
            operations: Operations::new(core, TAG_OPERATION),
            waiting: Waiting::default(),
            sweep_by: None,
            crawl: None,
            crawl_ids: RequestIds::new(core, TAG_CRAWL, 0),
            crawl_tickets: Vec::new(),
            leave_tickets: Vec::new(),
            outbox: Outbox::new(core),
            view: Arc::new(RoutingView::default()),
            alone: false,
            refuses_clients: false,
            counters: Counters::default(),
            turn_now: Now::default(),
            config,
        }
    }

    /// Starts or joins the ring; only core 0 has anything to do. The log has been read by then: see
    /// [`Core::recover`].
    pub fn start(&mut self, now: Now) {
        assert!(self.is_recovered(), "the log is read before the ring hears");
        if let Some(ring) = &mut self.ring {
            ring.start(now);
        }
        self.settle(now);
    }

    /// First pass over many keys to be read or written: asks for the memory a lookup starts in, so
    /// that the cache misses of a turn overlap. [`Core::warm`] is the second pass.
    #[inline]
    #[must_use]
    pub fn prepare(&self, key: &Key) -> Probe {
        self.shard.prepare(key)
    }

    /// Second pass: asks for the record itself.
    #[inline]
    pub fn warm(&self, probe: Probe) {
        self.shard.warm(probe);
    }

    /// The fast path of a read: answered when this core holds the key's shard, this node owns it
    /// and no write of it waits for the disk.
    #[inline]
    pub fn read_local(&mut self, key: &Key, now: Now) -> LocalRead<'_> {
        let probe = self.shard.prepare(key);
        self.read_prepared(probe, key, now)
    }

    /// [`Core::read_local`] of a key that was prepared.
    pub fn read_prepared(&mut self, probe: Probe, key: &Key, now: Now) -> LocalRead<'_> {
        let local = shard_of(key, self.config.cores).0 == self.config.core;
        if !local || !self.owns(key) {
            return LocalRead::Elsewhere;
        }
        if self.shard.is_pending(probe, key) {
            return LocalRead::Pending;
        }
        match self.shard.get_prepared(probe, key, now) {
            Some(record) => LocalRead::Value(record.value),
            None => LocalRead::Absent,
        }
    }

    /// A client's request from one of this core's fronts; answered by `Output::Answer`. Says who
    /// has it now.
    pub fn handle_client(
        &mut self,
        ticket: Ticket,
        request: &ClientRequest<'_>,
        now: Now,
    ) -> Taker {
        let taker = self.begin(Origin::Front(ticket), request, now);
        self.settle(now);
        taker
    }

    /// Mail from another core.
    pub fn handle_mail(&mut self, mail: Mail, now: Now) {
        match mail {
            Mail::Frame {
                reply,
                from,
                role,
                frame,
            } => {
                self.take_frame(reply.core, reply.link, &from, role, &frame, now);
            }
            Mail::Reply { link, frames } => self.outbox.relay(link, &frames),
            Mail::Shard { from, request, op } => self.serve_mail(from, request, &op, now),
            Mail::ShardDone { request, answer } => self.shard_done(request, &answer),
            Mail::View(view) => self.take_view(view),
            Mail::Close { link, reason } => self.outbox.close(self.config.core, link, reason),
        }
        self.settle(now);
    }

    /// A link to a peer could not be had or broke: nothing asked there will be answered.
    pub fn handle_unreachable(&mut self, name: &NodeName, now: Now) {
        if let Some(ring) = &mut self.ring {
            ring.handle_unreachable(name, now);
        }
        if let Some(crawl) = &mut self.crawl {
            crawl.handle_unreachable(name);
        }
        self.router.handle_unreachable(name, now);
        self.owner_unreachable(name, now);
        self.settle(now);
    }

    /// An accepted link is gone: reads that nobody waits for any more are given up.
    pub fn handle_link_closed(&mut self, link: u64) {
        let core = self.config.core;
        let is_gone = |origin: &Origin| match origin {
            Origin::Client(reply) | Origin::Gateway(reply) => {
                (reply.core, reply.link) == (core, link)
            }
            Origin::Front(_) => false,
        };
        let orphaned = |operation: &Operation| !operation.write && is_gone(&operation.origin);
        for number in self.operations.select(orphaned) {
            self.operations.remove(number);
        }
        self.give_up_waits(is_gone);
    }

    /// The moment named by [`Core::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Now) {
        if let Some(ring) = &mut self.ring {
            ring.handle_timeout(now);
        }
        if let Some(crawl) = &mut self.crawl {
            crawl.handle_timeout(now);
        }
        self.router.handle_timeout(now);
        self.shard.handle_timeout(now);
        self.end_waits(now);
        if self.sweep_by.is_some_and(|by| by <= now.mono) {
            self.sweep(now);
            self.end_overdue_waits(now);
            let under_way = self.operations_len() > 0;
            self.sweep_by = under_way.then(|| now.mono + SWEEP_INTERVAL);
        }
        self.settle(now);
    }

    /// When [`Core::handle_timeout`] is due, in monotonic time; `None` while nothing is awaited.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let parts = [
            self.ring.as_ref().and_then(Ring::poll_timeout),
            self.crawl.as_ref().and_then(Crawl::poll_timeout),
            self.router.poll_timeout(),
            self.shard.poll_timeout(),
            self.sweep_by,
        ];
        parts.into_iter().flatten().min()
    }

    /// The next thing to do. Called until `None` at the end of a turn: what the turn has appended
    /// to the log becomes one batch.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            let decided = self.outbox.pop();
            if decided.is_some() {
                return decided;
            }
            let job = self.shard.poll_job(self.turn_now);
            self.end_waits(self.turn_now);
            if let Some(job) = job {
                return Some(Output::Disk(job));
            }
            if self.outbox.is_empty() {
                return None;
            }
        }
    }

    /// The next thing that is decided already, in the middle of a turn: like [`Core::poll_output`],
    /// but the log's batch stays open.
    pub fn poll_decided(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// What this core has counted since it started.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The shard: its records, memory and counters.
    #[must_use]
    pub const fn shard(&self) -> &Shard {
        &self.shard
    }

    /// From now on requests of native clients are refused; what was asked before goes on. Fronts
    /// refuse by themselves.
    pub fn refuse_clients(&mut self) {
        self.refuses_clients = true;
    }

    /// How many operations of fronts and native clients are under way.
    #[must_use]
    pub fn client_operations_len(&self) -> usize {
        let is_client = |operation: &Operation| !matches!(operation.origin, Origin::Gateway(_));
        self.operations.select(is_client).len() + self.waiting.clients_len()
    }

    /// How many other members the ring's view names: known to core 0, which makes it.
    #[must_use]
    pub fn members_known(&self) -> usize {
        if self.config.core == 0 {
            self.view.hops.len()
        } else {
            0
        }
    }

    /// How many operations are under way, those included that wait for the disk.
    #[must_use]
    pub fn operations_len(&self) -> usize {
        self.operations.len() + self.waiting.len()
    }

    /// Sees that deadlines are looked for.
    pub(super) fn sweep_soon(&mut self, now: Now) {
        self.sweep_by.get_or_insert(now.mono + SWEEP_INTERVAL);
    }

    /// Whether this node owns `key`. Alone in the ring it need not hash the key to know.
    pub(super) fn owns(&self, key: &Key) -> bool {
        self.alone || self.router.owns(&key.position())
    }

    /// Routes by a new view.
    pub(super) fn take_view(&mut self, view: SharedView) {
        if view.epoch >= self.view.epoch {
            self.alone = view.hops.is_empty() && view.is_serving();
            self.router.set_view(Arc::clone(&view));
            self.view = view;
        }
    }
}

/// Request ids of the ring on core 0; the instance is the virtual node.
pub(super) const TAG_RING: u8 = 1;
/// Request ids of a router.
pub(super) const TAG_ROUTER: u8 = 2;
/// Request ids of operations.
pub(super) const TAG_OPERATION: u8 = 3;
/// Request ids of a crawl.
pub(super) const TAG_CRAWL: u8 = 4;
