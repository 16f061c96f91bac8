//! Who is who: node names, ring parameters and the ids that follow from them.
//!
//! A node is named by the `host:port` it advertises. Virtual node i of it has the id
//! SHA-256("chordite/1" ‖ ring name ‖ host:port ‖ i as two big-endian bytes). A [`Peer`] can only
//! be made by computing its id, so a message cannot place a node where its name does not put it
//! (the ID-mapping attack).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::id::Id;
use crate::limits::{NODE_NAME_BYTES_MAX, RING_NAME_BYTES_MAX, VIRTUAL_NODES_MAX};

/// The `host:port` a node advertises: an IPv4 address, a bracketed IPv6 address or a DNS name with
/// a port from 1 to 65535. Immutable and shared by count, since routing views carry it to every
/// core.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// Parses `host:port`; the host is kept as written, in lower case.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bad = |why| {
            Err(NameError {
                name: text.chars().take(80).collect(),
                why,
            })
        };
        if text.len() > NODE_NAME_BYTES_MAX {
            return bad("it is longer than 263 bytes");
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return bad("there is no port");
        };
        if port.starts_with('+') || !matches!(port.parse::<u16>(), Ok(1..)) {
            return bad("the port is not a number from 1 to 65535");
        }
        if !is_host(host) {
            return bad("the host is no IPv4 address, [IPv6] address or DNS name");
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name as text, `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without brackets: a DNS name, IPv4 or IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or(&*self.0, |(host, _)| host);
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(0)
    }
}

fn is_host(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[') {
        return v6
            .strip_suffix(']')
            .is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    host.len() <= 255 && host.split('.').all(label_ok)
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `host:port` that is none.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("`{name}` is not host:port: {why}")]
pub struct NameError {
    /// The text, cut to 80 characters.
    pub name: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What every member of a ring must agree on; carried in every Hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RingParams {
    /// The ring's name, 1 to 64 bytes of letters, digits, `-`, `_` and `.`.
    pub ring: Arc<str>,
    /// Length s of the successor list (`successors`).
    pub successors: u8,
    /// Replication factor r (`replication`).
    pub replication: u8,
    /// How many virtual nodes a host may have (`virtual_nodes_max`); indices stay below it.
    pub virtual_nodes_max: u16,
    /// Largest value in bytes (`value_max`).
    pub value_max: u32,
}

impl RingParams {
    /// Whether `ring` may name a ring.
    #[must_use]
    pub fn is_ring_name(ring: &str) -> bool {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        (1..=RING_NAME_BYTES_MAX).contains(&ring.len()) && ring.bytes().all(ok)
    }
}

/// A virtual node: its name, index and the id computed from them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    id: Id,
    name: NodeName,
    vnode: u16,
}

impl Peer {
    /// Virtual node `vnode` of the node called `name`; `None` when the ring allows no such index.
    #[must_use]
    pub fn derive(params: &RingParams, name: &NodeName, vnode: u16) -> Option<Self> {
        if vnode >= params.virtual_nodes_max.min(VIRTUAL_NODES_MAX) {
            return None;
        }
        let parts: [&[u8]; 4] = [
            ID_DOMAIN,
            params.ring.as_bytes(),
            name.as_str().as_bytes(),
            &vnode.to_be_bytes(),
        ];
        Some(Self {
            id: Id::digest(&parts),
            name: name.clone(),
            vnode,
        })
    }

    /// The id on the circle.
    #[must_use]
    pub const fn id(&self) -> Id {
        self.id
    }

    /// The node it belongs to.
    #[must_use]
    pub const fn name(&self) -> &NodeName {
        &self.name
    }

    /// Its index among the virtual nodes of its node.
    #[must_use]
    pub const fn vnode(&self) -> u16 {
        self.vnode
    }
}

/// `id@host:port/vnode`, with the first eight digits of the id.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}/{}", self.id, self.name, self.vnode)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.vnode)
    }
}

const ID_DOMAIN: &[u8] = b"chordite/1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_and_port() {
        for good in [
            "127.0.0.1:7501",
            "[::1]:1",
            "node-3.example.org:65535",
            "LOCALHOST:80",
        ] {
            assert!(NodeName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            ":1",
            "::1:80",
            "a b:1",
            "h:+1",
        ] {
            assert!(NodeName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(NodeName::parse("[::1]:80").unwrap().host(), "::1");
        assert_eq!(
            NodeName::parse("LOCALHOST:80").unwrap().as_str(),
            "localhost:80"
        );
    }

    #[test]
    fn ids_follow_from_ring_name_and_index() {
        let params = RingParams {
            ring: "test".into(),
            successors: 16,
            replication: 3,
            virtual_nodes_max: 2,
            value_max: 65_495,
        };
        let name = NodeName::parse("127.0.0.1:7501").unwrap();
        let peer = Peer::derive(&params, &name, 1).unwrap();
        assert_eq!(
            peer.id(),
            Id::digest(&[b"chordite/1test127.0.0.1:7501\x00\x01"])
        );
        assert!(Peer::derive(&params, &name, 2).is_none());
    }
}
