//! A network of thousands of members on virtual time, each the production `Ring` with a `Router`
//! for each of its cores. A seed reproduces a run; every step costs O(log n).
//!
//! It begins with a ring that stands ([`RingNet::placed`]) and is driven from outside: nodes join,
//! leave and crash, lookups are asked for, time runs. The network knows who is a member at every
//! moment, and so who truly owns a position. It speaks the machines' messages and counts them as
//! the codec lays them out. What carries messages is in `carry`, the life of nodes in `life`.

mod carry;
mod chance;
mod host;
mod idle;
mod life;
mod queue;
mod traffic;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::chord::invariant::{self, MemberState};
use proto::chord::{LookupResult, Pace, Phase};
use proto::id::Id;
use proto::message::LookupMode;
use proto::peer::{Peer, RingParams};
use proto::time::Now;

use crate::dice::Dice;
use carry::Event;
use host::{Host, Slot, Waiting};

pub use chance::{Delay, exponential, unit};
pub use idle::{Idle, idle};
pub use life::Notice;
pub use queue::Queue;
pub use traffic::{Count, Traffic};

/// What a simulated ring is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Length of the successor lists.
    pub successors: u8,
    /// Bits of a finger digit: 1 is base 2, 4 is base 16.
    pub finger_bits: u8,
    /// Time between two stabilisations of a quiet member.
    pub interval: Duration,
    /// How stabilisation is spread over time.
    pub pace: Pace,
    /// Presumed owners are asked directly, and not their predecessors first.
    pub direct: bool,
    /// Most arcs in an arc cache.
    pub arcs_max: usize,
    /// A core for each entry, which says whether its lookups are tried again.
    pub retries: Vec<bool>,
    /// How long messages take.
    pub delay: Delay,
    /// Round trips before a new link carries its first message: two for TCP and TLS 1.3.
    pub handshakes: u32,
    /// Everything random follows from it.
    pub seed: u64,
}

impl Plan {
    /// Nodes as they come: the defaults of the configuration, on one core.
    #[must_use]
    pub fn production(seed: u64) -> Self {
        Self {
            successors: 16,
            finger_bits: 4,
            interval: Duration::from_secs(1),
            pace: Pace::Adaptive,
            direct: true,
            arcs_max: proto::chord::ARCS_MAX,
            retries: vec![true],
            delay: Delay::Pairs(MEAN_DELAY),
            handshakes: 2,
            seed,
        }
    }

    /// Nodes as the papers simulate them: base 2, lists of twenty, one attempt, no shortcuts, and
    /// stabilisation every 30 seconds on average (Stoica et al. 2003, section VI-E).
    #[must_use]
    pub fn papers(seed: u64) -> Self {
        Self {
            successors: 20,
            finger_bits: 1,
            interval: Duration::from_secs(30),
            pace: Pace::Papers,
            direct: false,
            arcs_max: 0,
            retries: vec![false],
            delay: Delay::Uniform(MEAN_DELAY),
            handshakes: 0,
            seed,
        }
    }
}

/// A lookup that has ended at a host that lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The number it was given.
    pub ticket: u64,
    /// The core that asked.
    pub core: u8,
    /// When it began.
    pub began: Duration,
    /// When it ended.
    pub at: Duration,
    /// What it ended in.
    pub result: LookupResult,
    /// It named the member that owned the position at the moment the answer was given.
    pub correct: bool,
}

/// The network.
#[derive(Debug)]
pub struct RingNet {
    plan: Plan,
    params: RingParams,
    hosts: Vec<Slot>,
    /// Hosts that are members, in no order, for drawing one.
    members: Vec<u32>,
    /// The members by id: what is true.
    truth: BTreeMap<Id, u32>,
    queue: Queue<Event>,
    now: Duration,
    dice: Dice,
    traffic: Traffic,
    ended: VecDeque<Ended>,
    tickets: u64,
    abandoned: u64,
    events: u64,
}

impl RingNet {
    /// The virtual time.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// Lets time run up to `at`, with everything that is due until then.
    pub fn run_to(&mut self, at: Duration) {
        while self.queue.due().is_some_and(|due| due <= at) {
            if let Some((due, event)) = self.queue.pop() {
                self.now = self.now.max(due);
                self.events += 1;
                self.happen(event);
            }
        }
        self.now = self.now.max(at);
    }

    /// A member drawn by lot; none in an empty ring.
    #[must_use]
    pub fn any_member(&mut self) -> Option<u32> {
        let index = self.dice.index(self.members.len());
        self.members.get(index).copied()
    }

    /// How many members there are.
    #[must_use]
    pub const fn members(&self) -> usize {
        self.members.len()
    }

    /// The member that truly owns `target`: the first at or after it.
    #[must_use]
    pub fn owner(&self, target: &Id) -> Option<Id> {
        let mut ahead = self.truth.range(target..);
        let first = ahead.next().or_else(|| self.truth.first_key_value());
        first.map(|(id, _)| *id)
    }

    /// A position drawn by lot.
    pub fn any_position(&mut self) -> Id {
        let parts = [self.dice.roll(), self.dice.roll()].map(u64::to_be_bytes);
        Id::digest(&[&parts[0], &parts[1]])
    }

    /// `host` looks `target` up on `core`, past the arc cache; the result comes from `poll_ended`
    /// within `patience`, unless the host goes. Returns the number of the lookup.
    pub fn look(&mut self, host: u32, core: u8, target: Id, patience: Duration) -> u64 {
        self.tickets += 1;
        let (ticket, now, began) = (self.tickets, self.time(), self.now);
        let Slot::Up(asker) = &mut self.hosts[host as usize] else {
            return ticket;
        };
        let waiting = Waiting {
            target,
            began,
            core,
            lookup: None,
        };
        asker.waiting.insert(ticket, waiting);
        asker.beginning = Some(ticket);
        let deadline = began + patience;
        let router = &mut asker.routers[usize::from(core)];
        router.lookup(ticket, target, LookupMode::Recursive, None, deadline, now);
        self.pump(host);
        if let Slot::Up(asker) = &mut self.hosts[host as usize] {
            asker.beginning = None;
        }
        ticket
    }

    /// The next lookup that has ended.
    pub fn poll_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    /// Lookups whose asker went before they ended.
    #[must_use]
    pub const fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Events so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// What has been sent.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Counts what is sent from now on.
    pub fn count_anew(&mut self) {
        self.traffic.clear();
    }

    /// The pointers of every host that is up, for checkers.
    pub fn snapshots(&self) -> impl Iterator<Item = proto::chord::MemberSnapshot> {
        let up = self.hosts.iter().filter_map(Slot::up);
        up.flat_map(|host: &Host| host.ring.snapshots())
    }

    /// Whether every member's pointers are those of the true ring.
    #[must_use]
    pub fn is_ideal(&self) -> bool {
        let states: Vec<_> = self
            .snapshots()
            .map(|member| MemberState {
                id: member.me.id(),
                predecessor: member.predecessor.as_ref().map(Peer::id),
                successors: member.successors.iter().map(Peer::id).collect(),
                live: member.phase == Phase::Member,
            })
            .collect();
        invariant::is_ideal(&states, usize::from(self.plan.successors))
    }

    fn time(&self) -> Now {
        Now {
            mono: self.now,
            wall_ms: u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Mean one-way delay of the paper's simulator (Stoica et al. 2003, section VI-A).
pub const MEAN_DELAY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
