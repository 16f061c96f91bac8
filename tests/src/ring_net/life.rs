//! The life of hosts: rings that stand from the beginning, joins, leaves and crashes, and how
//! others come to hear of an end.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::chord::{Chord, ChordConfig, FingerTable, Phase, Pointers, Ring, Router, RouterConfig};
use proto::message::RequestIds;
use proto::peer::{NodeName, Peer, RingParams};

use super::carry::Event;
use super::host::{Gone, Host, Slot, name};
use super::{Plan, Queue, RingNet, Traffic, unit};
use crate::dice::Dice;

/// How others hear that a host has gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The process ends and the kernel closes its connections: whoever holds a link hears of it,
    /// and a new dial is refused.
    AtOnce,
    /// The power goes. A link is given up after the keep-alive of the runtime (`LINK_KEEPALIVE`,
    /// `LINK_USER_TIMEOUT`: 8 to 10 seconds), a new dial after `DIAL_DEADLINE`.
    Keepalive,
    /// Nobody ever hears of it: what is sent to it is lost, and its sender waits for a timeout. So
    /// it is in the papers' simulator (Stoica et al. 2003, section VI-A).
    Never,
}

impl RingNet {
    /// A ring of `count` members whose pointers are ideal.
    #[must_use]
    pub fn placed(plan: Plan, count: u32) -> Self {
        let mut net = Self::empty(plan);
        let member = |index| {
            let peer = Peer::derive(&net.params, &name(index), 0);
            (peer.expect("a ring allows virtual node 0"), index)
        };
        let mut ranks: Vec<_> = (0..count).map(member).collect();
        ranks.sort_by_key(|(peer, _)| peer.id());
        let peers: Vec<_> = ranks.iter().map(|(peer, _)| peer.clone()).collect();
        let mut rank_of = vec![0; peers.len()];
        for (rank, (_, index)) in ranks.iter().enumerate() {
            rank_of[*index as usize] = rank;
        }
        for rank in rank_of {
            net.place(&peers, rank);
        }
        net
    }

    /// A new host joins through some members; returns its number.
    pub fn join(&mut self) -> u32 {
        let bootstrap = self.entrances();
        let index = u32::try_from(self.hosts.len()).expect("fewer hosts than 2^32");
        let (config, seed) = (self.config(bootstrap), self.dice.roll());
        let ring = Ring::new(&config, &name(index), 1, 0, TAG_RING, seed);
        self.install(ring);
        let now = self.time();
        if let Slot::Up(host) = &mut self.hosts[index as usize] {
            host.ring.start(now);
        }
        self.pump(index);
        index
    }

    /// `index` leaves the ring on purpose and ends when it is out.
    pub fn leave(&mut self, index: u32, notice: Notice) {
        let now = self.time();
        if let Slot::Up(host) = &mut self.hosts[index as usize] {
            host.leaving = Some(notice);
            host.ring.leave(now);
            self.pump(index);
        }
    }

    /// `index` ends without a word.
    pub fn crash(&mut self, index: u32, notice: Notice) {
        let Slot::Up(host) = &mut self.hosts[index as usize] else {
            return;
        };
        self.abandoned += host.waiting.len() as u64;
        let linked_by = std::mem::take(&mut host.linked_by);
        self.note_member(index, false);
        for peer in linked_by.keys() {
            let after = match notice {
                Notice::AtOnce => self.plan.delay.draw(index, *peer, &mut self.dice),
                Notice::Keepalive => LINK_DEAD + LINK_PROBE.mul_f64(unit(&mut self.dice)),
                Notice::Never => continue,
            };
            let lost = Event::Lost {
                to: *peer,
                node: index,
            };
            self.queue.push(self.now + after, lost);
        }
        self.hosts[index as usize] = Slot::Gone(Gone { notice, linked_by });
    }

    /// Whether `index` runs.
    #[must_use]
    pub fn is_up(&self, index: u32) -> bool {
        let slot = self.hosts.get(index as usize);
        slot.is_some_and(|slot| slot.up().is_some())
    }

    /// Keeps what is true up to date after a change of a host's view.
    pub(super) fn note_phase(&mut self, index: u32) {
        let host = self.hosts[index as usize].up();
        let is_member = host.is_some_and(|host| host.ring.members()[0].phase() == Phase::Member);
        self.note_member(index, is_member);
    }

    fn note_member(&mut self, index: u32, is_member: bool) {
        let Slot::Up(host) = &mut self.hosts[index as usize] else {
            return;
        };
        match host.place {
            None if is_member => {
                host.place = Some(self.members.len());
                self.truth.insert(host.id(), index);
                self.members.push(index);
            }
            Some(place) if !is_member => {
                host.place = None;
                self.truth.remove(&host.id());
                self.members.swap_remove(place);
                let moved = self.members.get(place).copied();
                if let Some(Slot::Up(moved)) = moved.map(|moved| &mut self.hosts[moved as usize]) {
                    moved.place = Some(place);
                }
            }
            _ => {}
        }
    }

    fn empty(plan: Plan) -> Self {
        Self {
            params: RingParams {
                ring: "simulated".into(),
                successors: plan.successors,
                replication: 3,
                virtual_nodes_max: 64,
                value_max: 65_495,
            },
            dice: Dice::new(plan.seed),
            plan,
            hosts: Vec::new(),
            members: Vec::new(),
            truth: std::collections::BTreeMap::new(),
            queue: Queue::new(),
            now: BEGINNING,
            traffic: Traffic::default(),
            ended: std::collections::VecDeque::new(),
            tickets: 0,
            abandoned: 0,
            events: 0,
        }
    }

    fn place(&mut self, peers: &[Peer], rank: usize) {
        let (me, count) = (&peers[rank], peers.len());
        let listed = usize::from(self.plan.successors).min(count - 1);
        let next = |step: usize| peers[(rank + step) % count].clone();
        let pointers = Pointers {
            predecessor: (count > 1).then(|| next(count - 1)),
            successors: (1..=listed).map(next).collect(),
            fingers: FingerTable::ideal(self.plan.finger_bits, me, peers, listed),
        };
        let mut entrance = |_| peers[self.dice.index(count)].name().clone();
        let entrances = (0..ENTRANCES).map(&mut entrance).collect();
        let config = self.config(entrances);
        let ids = RequestIds::new(0, TAG_RING, 0);
        let (seed, now) = (self.dice.roll(), self.time());
        let chord = Chord::placed(config, ids, me.clone(), seed, pointers, now);
        let index = self.install(Ring::of(vec![chord]));
        self.pump(index);
    }

    /// Nodes that somebody new is told of: members now, who may be gone when they are needed.
    fn entrances(&mut self) -> Vec<NodeName> {
        let mut drawn = BTreeSet::new();
        for _ in 0..ENTRANCES {
            drawn.extend(self.any_member());
        }
        drawn.into_iter().map(name).collect()
    }

    fn config(&self, bootstrap: Vec<NodeName>) -> ChordConfig {
        ChordConfig {
            params: self.params.clone(),
            stabilize_interval: self.plan.interval,
            finger_bits: self.plan.finger_bits,
            pace: self.plan.pace,
            bootstrap,
        }
    }

    fn install(&mut self, ring: Ring) -> u32 {
        let index = u32::try_from(self.hosts.len()).expect("fewer hosts than 2^32");
        let mut routers = Vec::with_capacity(self.plan.retries.len());
        for (core, retry) in (0..).zip(&self.plan.retries) {
            let mut config = RouterConfig::new(self.params.clone(), name(index));
            config.direct = self.plan.direct;
            config.arcs_max = self.plan.arcs_max;
            config.retry = *retry;
            let ids = RequestIds::new(core, TAG_ROUTER, 0);
            routers.push(Router::new(config, ids, self.dice.roll()));
        }
        let host = Host::new(ring, routers);
        self.hosts.push(Slot::Up(Box::new(host)));
        index
    }
}

/// Parts of a host that ask, as they stand in request ids.
pub(super) const TAG_RING: u8 = 1;
const TAG_ROUTER: u8 = 2;

/// How many members somebody new is told of.
const ENTRANCES: usize = 3;

/// Virtual time begins here: zero is special nowhere, and this shows it.
const BEGINNING: Duration = Duration::from_secs(100);

/// A link to a host that lost its power ends this long after, and up to a probe later.
const LINK_DEAD: Duration = Duration::from_secs(8);
const LINK_PROBE: Duration = Duration::from_secs(2);
