//! A ring in which nothing changes: production members placed with ready-made pointers, production
//! routers, and lookups walked by delivering at once whatever they send.
//!
//! Routers and their views are built when a lookup first reaches a host, so that a ring of a
//! million costs the names and ids of its members and little else. A dead host is met as a refused
//! connection, and virtual time moves on between lookups by more than a suspicion lasts, so that no
//! lookup learns from the one before. Pointers are ideal but for the dead ones, which stay in
//! successor lists and fingers.

mod forecast;
pub mod histogram;
mod place;
mod traffic;
mod walk;

use std::collections::HashMap;
use std::time::Duration;

use proto::chord::{ARCS_MAX, Router};
use proto::id::Id;
use proto::peer::{NodeName, Peer, RingParams};

pub use forecast::Forecast;
pub use traffic::Traffic;
pub use walk::Walked;

use crate::dice::Dice;

/// What ring is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Name of the ring: another name places everybody elsewhere.
    pub ring: String,
    /// Members of a host.
    pub virtual_nodes: u16,
    /// Length of successor lists.
    pub successors: u8,
    /// Bits of a finger digit.
    pub finger_bits: u8,
    /// Ask the owner that a list names and not its predecessor first, as live nodes do. The papers
    /// count with one hop more.
    pub direct: bool,
    /// Most arcs an arc cache keeps.
    pub arcs_max: usize,
    /// Count messages and their bytes, which takes the time to encode them.
    pub weighs: bool,
}

impl Setup {
    /// The ring of the papers: no arc cache, and the predecessor of a position is always passed.
    #[must_use]
    pub fn of_papers(ring: &str, finger_bits: u8, successors: u8) -> Self {
        Self {
            ring: ring.to_owned(),
            virtual_nodes: 1,
            successors,
            finger_bits,
            direct: false,
            arcs_max: 0,
            weighs: false,
        }
    }

    /// The ring as live nodes make it.
    #[must_use]
    pub fn of_nodes(ring: &str, finger_bits: u8, successors: u8) -> Self {
        Self {
            direct: true,
            arcs_max: ARCS_MAX,
            ..Self::of_papers(ring, finger_bits, successors)
        }
    }

    fn params(&self) -> RingParams {
        RingParams {
            ring: self.ring.as_str().into(),
            successors: self.successors,
            replication: 1,
            virtual_nodes_max: self.virtual_nodes,
            value_max: 1,
        }
    }
}

/// The ring.
#[derive(Debug)]
pub struct StillRing {
    setup: Setup,
    params: RingParams,
    hosts: Vec<NodeName>,
    numbers: HashMap<NodeName, usize>,
    members: Vec<Peer>,
    is_dead: Vec<bool>,
    is_noticed: bool,
    routers: Vec<Option<Box<Router>>>,
    built: usize,
    routers_max: usize,
    clock: Duration,
}

impl StillRing {
    /// The ring of these hosts.
    ///
    /// # Panics
    /// When there is no host, or two share a name.
    #[must_use]
    pub fn new(setup: Setup, hosts: Vec<NodeName>) -> Self {
        assert!(!hosts.is_empty(), "a ring has members");
        let params = setup.params();
        let numbers = hosts.iter().cloned().zip(0..);
        let numbers: HashMap<NodeName, usize> = numbers.collect();
        assert_eq!(numbers.len(), hosts.len(), "names are distinct");
        let members_of = |host: &NodeName| {
            let host = host.clone();
            let params = &params;
            (0..setup.virtual_nodes.max(1)).map(move |vnode| derive(params, &host, vnode))
        };
        let mut members: Vec<Peer> = hosts.iter().flat_map(members_of).collect();
        members.sort_unstable_by_key(Peer::id);
        Self {
            is_dead: vec![false; hosts.len()],
            is_noticed: true,
            routers: hosts.iter().map(|_| None).collect(),
            built: 0,
            routers_max: ROUTERS_MAX,
            clock: Duration::ZERO,
            setup,
            params,
            hosts,
            numbers,
            members,
        }
    }

    /// The same for `count` hosts with names of their own.
    #[must_use]
    pub fn of_size(setup: Setup, count: usize) -> Self {
        Self::new(setup, names(count))
    }

    /// Number of hosts.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is no host; there always is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// All members, sorted by id.
    #[must_use]
    pub fn members(&self) -> &[Peer] {
        &self.members
    }

    /// Lets every host die with probability `share`, all at the same time; successor lists and
    /// fingers still name the dead. With `is_noticed` their neighbours have noticed as far as
    /// predecessors go, so that owners can tell what they own; without it, the positions of the
    /// dead have no owner yet.
    pub fn kill(&mut self, share: f64, is_noticed: bool, dice: &mut Dice) {
        self.is_noticed = is_noticed;
        for host in 0..self.hosts.len() {
            self.is_dead[host] = dice.share() < share;
        }
        // Nobody would be left to ask.
        if self.is_dead.iter().all(|dead| *dead) {
            self.is_dead[0] = false;
        }
        self.drop_routers();
    }

    /// How many hosts live.
    #[must_use]
    pub fn living(&self) -> usize {
        self.is_dead.iter().filter(|dead| !**dead).count()
    }

    /// A host that lives.
    pub fn any_host(&self, dice: &mut Dice) -> usize {
        loop {
            let host = dice.index(self.hosts.len());
            if !self.is_dead[host] {
                return host;
            }
        }
    }

    /// The member that owns `target`: the first living one at or after it.
    #[must_use]
    pub fn owner(&self, target: &Id) -> &Peer {
        let at = self.members.partition_point(|member| member.id() < *target);
        let (below, above) = self.members.split_at(at);
        let mut around = above.iter().chain(below);
        let living = around.find(|member| !self.is_dead[self.number(member.name())]);
        living.expect("somebody lives")
    }

    fn number(&self, name: &NodeName) -> usize {
        self.numbers[name]
    }
}

/// `count` names of hosts that are nowhere.
#[must_use]
pub fn names(count: usize) -> Vec<NodeName> {
    let name = |number| NodeName::parse(&format!("n{number}:1"));
    let names = (0..count).map(name);
    names.map(|name| name.expect("a host and a port")).collect()
}

/// A position drawn from the whole circle.
pub fn any_id(dice: &mut Dice) -> Id {
    let mut bytes = [0; 32];
    dice.fill(&mut bytes);
    Id::from_bytes(bytes)
}

fn derive(params: &RingParams, host: &NodeName, vnode: u16) -> Peer {
    let peer = Peer::derive(params, host, vnode);
    peer.expect("the ring allows as many virtual nodes as its hosts have")
}

/// Most routers that a lookup begins with. One with its view takes a few kilobytes; all are dropped
/// and built anew when they are more, which costs time and changes no lookup but of those that
/// cache.
const ROUTERS_MAX: usize = 250_000;

#[cfg(test)]
mod tests;
