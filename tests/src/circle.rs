//! What a ring should look like, and what its members say it looks like.
//!
//! The truth is computed here from the nodes' names alone, so that a ring is compared with it and
//! not with its own opinion.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proto::id::{Id, IdArc};
use proto::key::Key;
use proto::peer::{NodeName, Peer, RingParams};
use serde_json::Value;

use crate::deadline::{self, secs};
use crate::http;

/// One node of a ring.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number, from 0.
    pub index: usize,
    /// Its process.
    pub pid: u32,
    /// Where it serves the DHT API.
    pub api: SocketAddr,
    /// What it advertises to its peers.
    pub p2p: NodeName,
    /// Where it serves the admin API.
    pub admin: SocketAddr,
    /// Its folder: `node.ini`, certificate, log.
    pub dir: PathBuf,
}

/// The nodes of a ring, dead ones included, each with one place on the circle.
#[derive(Clone, Default, Debug)]
pub struct Circle {
    /// The ring's name.
    pub ring: String,
    /// The nodes by number.
    pub nodes: Vec<Node>,
}

impl Circle {
    /// Waits until the nodes `live`, and no others, form one ideal ring: each has the true
    /// predecessor and the true successors in its own eyes.
    pub fn wait_ideal(&self, live: &[usize], limit: Duration) {
        let mut why = String::new();
        let ideal = deadline::within(limit, || match self.flaw(live) {
            None => Some(()),
            Some(flaw) => {
                why = flaw;
                None
            }
        });
        assert!(ideal.is_some(), "no ideal ring within {limit:?}: {why}");
    }

    /// What keeps the nodes `live` from being one ideal ring.
    #[must_use]
    pub fn flaw(&self, live: &[usize]) -> Option<String> {
        let order = self.order(live);
        order.iter().enumerate().find_map(|(rank, index)| {
            let flaw = self.member_flaw(&order, rank);
            flaw.map(|flaw| format!("node {index}: {flaw}"))
        })
    }

    fn member_flaw(&self, order: &[usize], rank: usize) -> Option<String> {
        let reply = match http::get(self.nodes[order[rank]].admin, "/status", secs(5)) {
            Ok(reply) => reply,
            Err(error) => return Some(format!("/status: {error}")),
        };
        let status = reply.json();
        let Some(member) = find_members(&status).and_then(|members| members.first()) else {
            return Some(format!("no members in {}", reply.body));
        };
        let name = |at: usize| self.nodes[order[at % order.len()]].p2p.as_str();
        let others = order.len() - 1;
        let want: Vec<&str> = (1..=others.min(SUCCESSORS))
            .map(|step| name(rank + step))
            .collect();
        let got: Vec<&str> = member["successors"]
            .as_array()
            .map(|list| {
                list.iter()
                    .filter_map(|peer| peer["node"].as_str())
                    .collect()
            })
            .unwrap_or_default();
        if got != want {
            return Some(format!("successors {got:?} instead of {want:?}"));
        }
        let predecessor = member["predecessor"]["node"].as_str();
        let want = (others > 0).then(|| name(rank + others));
        // A ring of one may name itself or nobody.
        if others > 0 && predecessor != want {
            return Some(format!("predecessor {predecessor:?} instead of {want:?}"));
        }
        None
    }

    /// The nodes `live` in the order of their ids.
    #[must_use]
    pub fn order(&self, live: &[usize]) -> Vec<usize> {
        let ids = live.iter().map(|index| (self.id(*index), *index));
        ids.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// The id of node `index`, computed from its name.
    #[must_use]
    pub fn id(&self, index: usize) -> Id {
        let peer = Peer::derive(&params(&self.ring), &self.nodes[index].p2p, 0);
        peer.expect("index 0 always exists").id()
    }

    /// The node of `live` that owns `key`: the first at or after its position.
    #[must_use]
    pub fn owner(&self, live: &[usize], key: &[u8; 32]) -> usize {
        let position = Key::from_bytes(*key).position();
        let order = self.order(live);
        let found = order.iter().find(|index| self.id(**index) >= position);
        *found.unwrap_or(&order[0])
    }

    /// The arc that node `index` owns when all are there.
    #[must_use]
    pub fn arc(&self, index: usize) -> IdArc {
        let order = self.order(&self.all());
        let rank = order.iter().position(|other| *other == index);
        let before = rank.expect("a node of the ring") + order.len() - 1;
        IdArc::new(self.id(order[before % order.len()]), self.id(index))
    }

    /// Asks node `via` who owns `key`, the arc cache left aside, so that an owner has to say so
    /// itself: the owner's name, or why there is none.
    pub fn lookup(&self, via: usize, key: &[u8; 32], limit: Duration) -> Result<String, String> {
        let path = format!("/lookup/{}?hex=1&mode=recursive", Key::from_bytes(*key));
        let reply = http::get(self.nodes[via].admin, &path, limit).map_err(|e| e.to_string())?;
        let owner = reply.json()["owner"]["node"].as_str().map(str::to_owned);
        match owner {
            Some(owner) if reply.status == 200 => Ok(owner),
            _ => Err(format!("{}: {}", reply.status, reply.body)),
        }
    }

    /// All indices.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }

    /// All indices but `gone`.
    #[must_use]
    pub fn all_but(&self, gone: &[usize]) -> Vec<usize> {
        self.all()
            .into_iter()
            .filter(|index| !gone.contains(index))
            .collect()
    }
}

/// The parameters of a ring called `ring` with DESIGN.md's defaults.
#[must_use]
pub fn params(ring: &str) -> RingParams {
    RingParams {
        ring: ring.into(),
        successors: 16,
        replication: 3,
        virtual_nodes_max: 64,
        value_max: 65_495,
    }
}

/// The first array called `members` in `status`, at the top or one level below.
fn find_members(status: &Value) -> Option<&Vec<Value>> {
    let nested = || {
        status
            .as_object()?
            .values()
            .find_map(|part| part["members"].as_array())
    };
    status["members"].as_array().or_else(nested)
}

const SUCCESSORS: usize = 16;
