//! The prediction for a ring that is given by the names of its nodes: the hops of its cold lookups,
//! and the pointers its members have once it has settled, as JSON.
//!
//! Ids are derived as live nodes derive them, so the prediction is of that very ring.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use clap::Args;
use proto::chord::MemberSnapshot;
use proto::peer::{NodeName, Peer};
use serde::Serialize;

use crate::still_ring::{Forecast, Setup, StillRing};

/// The prediction for a given ring.
#[derive(Debug, Args)]
pub(super) struct Hops {
    /// The nodes, `host:port` each, separated by commas
    #[arg(long, value_delimiter = ',', required = true, value_name = "NODES")]
    names: Vec<String>,
    /// Name of the ring; `chordite dev` calls its own `dev`
    #[arg(long, default_value = "dev")]
    ring: String,
    /// Virtual nodes of each node
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    virtual_nodes: u16,
    /// Bits of a finger digit: 1, 2, 4 or 8
    #[arg(long, default_value_t = 4, value_parser = finger_bits)]
    finger_bits: u8,
    /// Length of the successor lists
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=64))]
    successors: u8,
}

impl Hops {
    pub(super) fn run(self) -> Result<()> {
        let hosts = self.names.iter().map(|name| NodeName::parse(name));
        let hosts: Vec<NodeName> = hosts.collect::<Result<_, _>>().context("--names")?;
        let distinct: BTreeSet<_> = hosts.iter().collect();
        ensure!(
            distinct.len() == hosts.len(),
            "--names: a node is named twice"
        );
        let nodes = hosts.len();
        let setup = Setup {
            virtual_nodes: self.virtual_nodes,
            ..Setup::of_nodes(&self.ring, self.finger_bits, self.successors)
        };
        let mut ring = StillRing::new(setup, hosts);
        let forecast = Forecast::of(&mut ring);
        let snapshots = (0..nodes).flat_map(|host| {
            let placed = ring.place(host);
            placed
                .snapshots()
                .map(|member| Pointers::of(&member))
                .collect::<Vec<_>>()
        });
        let shown = Shown {
            ring: self.ring,
            nodes,
            virtual_nodes: self.virtual_nodes,
            finger_bits: self.finger_bits,
            successors: self.successors,
            rpcs_mean: forecast.mean(),
            rpcs: forecast
                .shares
                .iter()
                .zip(0..)
                .map(|(share, hops)| HopShare {
                    hops,
                    share: *share,
                })
                .collect(),
            members: snapshots.collect(),
        };
        println!("{}", serde_json::to_string_pretty(&shown)?);
        Ok(())
    }
}

/// What is printed.
#[derive(Serialize)]
struct Shown {
    ring: String,
    nodes: usize,
    virtual_nodes: u16,
    finger_bits: u8,
    successors: u8,
    /// Mean of `rpcs`.
    rpcs_mean: f64,
    /// Nodes contacted other than the origin, the owner included: the share of lookups with each
    /// number.
    rpcs: Vec<HopShare>,
    /// What every member's status shows once the ring has settled.
    members: Vec<Pointers>,
}

#[derive(Serialize)]
struct HopShare {
    hops: u64,
    share: f64,
}

/// The pointers of a member, by the names `/status` gives them.
#[derive(Serialize)]
struct Pointers {
    node: String,
    vnode: u16,
    predecessor: Option<String>,
    successors: Vec<String>,
    fingers: Vec<String>,
}

impl Pointers {
    fn of(member: &MemberSnapshot) -> Self {
        let id = |peer: &Peer| peer.id().to_string();
        Self {
            node: member.me.name().to_string(),
            vnode: member.me.vnode(),
            predecessor: member.predecessor.as_ref().map(id),
            successors: member.successors.iter().map(id).collect(),
            fingers: member.fingers.iter().map(id).collect(),
        }
    }
}

fn finger_bits(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(bits @ (1 | 2 | 4 | 8)) => Ok(bits),
        _ => Err("it is 1, 2, 4 or 8".to_owned()),
    }
}
