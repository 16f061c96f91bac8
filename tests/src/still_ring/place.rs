//! Hosts of a still ring at their places: members with ready-made pointers, the routing view their
//! `Ring` publishes, and the router that uses it.

use std::sync::Arc;
use std::time::Duration;

use proto::chord::{Chord, ChordConfig, FingerTable, Pace, Pointers, Ring, Router, RouterConfig};
use proto::message::RequestIds;
use proto::peer::Peer;
use proto::time::Now;

use super::{StillRing, derive};

impl StillRing {
    /// The ring machine of `host` with the pointers it has in this ring.
    #[must_use]
    pub fn place(&self, host: usize) -> Ring {
        let members = 0..self.setup.virtual_nodes.max(1);
        Ring::of(members.map(|vnode| self.member(host, vnode)).collect())
    }

    /// The router of `host`, built when it is first wanted.
    pub(super) fn router(&mut self, host: usize) -> &mut Router {
        if self.routers[host].is_none() {
            self.built += 1;
            self.routers[host] = Some(Box::new(self.build(host)));
        }
        self.routers[host].as_mut().expect("built just now")
    }

    /// Drops all routers when they are too many. Only between lookups: a router knows of those it
    /// takes part in.
    pub(super) fn make_room(&mut self) {
        if self.built >= self.routers_max {
            self.drop_routers();
        }
    }

    pub(super) fn drop_routers(&mut self) {
        self.routers.iter_mut().for_each(|router| *router = None);
        self.built = 0;
    }

    fn build(&self, host: usize) -> Router {
        let config = RouterConfig {
            direct: self.setup.direct,
            arcs_max: self.setup.arcs_max,
            ..RouterConfig::new(self.params.clone(), self.hosts[host].clone())
        };
        let mut router = Router::new(config, RequestIds::new(0, 0, 0), host as u64);
        let mut ring = self.place(host);
        let view = ring.poll_view();
        router.set_view(view.unwrap_or_else(|| Arc::clone(ring.view())));
        router
    }

    fn member(&self, host: usize, vnode: u16) -> Chord {
        let me = derive(&self.params, &self.hosts[host], vnode);
        let config = ChordConfig {
            params: self.params.clone(),
            stabilize_interval: Duration::from_secs(1),
            pace: Pace::Adaptive,
            finger_bits: self.setup.finger_bits,
            bootstrap: Vec::new(),
        };
        let pointers = self.pointers(&me);
        let ids = RequestIds::new(0, 1, vnode);
        Chord::placed(config, ids, me, host as u64, pointers, Now::default())
    }

    fn pointers(&self, me: &Peer) -> Pointers {
        let members = &self.members;
        let count = members.len();
        let here = members.partition_point(|peer| peer.id() < me.id());
        let listed = usize::from(self.setup.successors).min(count - 1);
        let after = (1..=listed).map(|step| members[(here + step) % count].clone());
        let mut before = (1..count).map(|step| &members[(here + count - step) % count]);
        let is_known = |peer: &&Peer| !self.is_noticed || !self.is_dead[self.number(peer.name())];
        Pointers {
            predecessor: before.find(is_known).cloned(),
            successors: after.collect(),
            fingers: FingerTable::ideal(self.setup.finger_bits, me, members, listed),
        }
    }
}
