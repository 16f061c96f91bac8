//! Placeholder page of the test network; see below.
use crate::peer::{NodeName, Peer, RingParams};

pub(super) fn params(successors: u8) -> RingParams {
    RingParams {
        ring: "test".into(),
        successors,
        replication: 3,
        virtual_nodes_max: 64,
        value_max: 65_495,
    }
}

pub(super) fn name(index: usize) -> NodeName {
    NodeName::parse(&format!("10.0.0.1:{}", 7000 + index)).unwrap()
}

/// `count` members of as many nodes, sorted by id.
pub(super) fn sorted_peers(params: &RingParams, count: usize) -> Vec<Peer> {
    let peer = |index| Peer::derive(params, &name(index), 0).unwrap();
    let mut peers: Vec<_> = (0..count).map(peer).collect();
    peers.sort_by_key(Peer::id);
    peers
}
