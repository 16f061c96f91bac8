//! What a world is made of: the production configuration of its nodes, and how fast its network,
//! disks and cores are when nothing is wrong with them.

use std::time::Duration;

use node::engine::core::CoreConfig;
use node::engine::shard::{ShardConfig, TtlPolicy};
use node::engine::wal::settings::{LogConfig, SyncPolicy};
use proto::chord::{ChordConfig, Pace, RouterConfig};
use proto::peer::{NodeName, Peer, RingParams};

use super::drive::DiskMood;
use super::net::Path;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// Hosts, each with one node.
    pub nodes: usize,
    /// Cores of a node.
    pub cores: u8,
    /// What the members of the ring agree on.
    pub params: RingParams,
    /// Virtual nodes of a node.
    pub virtual_nodes: u16,
    /// Time between two stabilisations of a quiet member.
    pub stabilize_interval: Duration,
    /// Bits of a finger digit.
    pub finger_bits: u8,
    /// The logs; none keeps everything in memory.
    pub log: Option<LogSetup>,
    /// Lifetimes of records.
    pub ttl: TtlPolicy,
    /// Most bytes of records of a core.
    pub memory_max: u64,
    /// Longest time a client waits for an answer.
    pub request_deadline: Duration,
    /// Most operations of a core under way.
    pub operations_max: usize,
    /// Most bytes of values in them.
    pub operations_bytes_max: usize,
    /// How fast the network is.
    pub path: Path,
    /// How fast disks are.
    pub disk: DiskMood,
    /// Shortest and longest turn of a core, which takes no input meanwhile.
    pub turn: (Duration, Duration),
    /// Longest way of mail between two cores of a node.
    pub mail: Duration,
    /// Frames of a link handed to a core before what they brought about is carried out.
    pub frames_per_batch: usize,
}

/// How the logs of a world are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogSetup {
    /// When a record counts.
    pub sync: SyncPolicy,
    /// Bytes of a segment.
    pub segment_bytes: u32,
    /// Most bytes of segments, in per cent of the live records.
    pub space_percent: u32,
}

impl Setup {
    /// Usual nodes of two cores with durable logs.
    #[must_use]
    pub fn new(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            nodes,
            cores: 2,
            params: RingParams {
                ring: "sim".into(),
                successors: 4,
                replication: 3,
                virtual_nodes_max: 4,
                value_max: 4_096,
            },
            virtual_nodes: 1,
            stabilize_interval: Duration::from_secs(1),
            finger_bits: 4,
            log: Some(LogSetup {
                sync: SyncPolicy::Always,
                segment_bytes: 64 * 1024,
                space_percent: 200,
            }),
            ttl: TtlPolicy {
                default_s: 3_600,
                min_s: 1,
                max_s: 86_400,
            },
            memory_max: 1 << 24,
            request_deadline: Duration::from_secs(5),
            operations_max: 1_000,
            operations_bytes_max: 1 << 20,
            path: Path::default(),
            disk: DiskMood::default(),
            turn: (Duration::from_micros(5), Duration::from_micros(50)),
            mail: Duration::from_micros(20),
            frames_per_batch: 64,
        }
    }

    /// The name of a node.
    #[must_use]
    pub fn name(node: usize) -> NodeName {
        let port = FIRST_PORT + u16::try_from(node).expect("few nodes");
        NodeName::parse(&format!("127.0.0.1:{port}")).expect("an address and a port")
    }

    /// The node of a name.
    #[must_use]
    pub fn node_of(name: &NodeName) -> usize {
        usize::from(name.port().saturating_sub(FIRST_PORT))
    }

    /// The configuration of a core, made as `node::runtime` makes it.
    pub(super) fn core(
        &self,
        name: &NodeName,
        core: u8,
        bootstrap: Vec<NodeName>,
        seed: u64,
    ) -> CoreConfig {
        let params = self.params.clone();
        let peer = Peer::derive(&params, name, 0).expect("a ring allows one virtual node");
        let node = peer.id().high();
        CoreConfig {
            core,
            cores: self.cores,
            params: params.clone(),
            name: name.clone(),
            virtual_nodes: self.virtual_nodes,
            chord: ChordConfig {
                params: params.clone(),
                stabilize_interval: self.stabilize_interval,
                pace: Pace::Adaptive,
                finger_bits: self.finger_bits,
                bootstrap,
            },
            router: RouterConfig::new(params.clone(), name.clone()),
            shard: ShardConfig {
                memory_max: self.memory_max,
                ttl: self.ttl,
                replication: params.replication,
                node,
                seed,
            },
            log: self.log.map(|log| LogConfig {
                node,
                shard: u16::from(core),
                segment_bytes: log.segment_bytes,
                sync: log.sync,
                space_percent: log.space_percent,
                seed,
            }),
            request_deadline: self.request_deadline,
            operations_max: self.operations_max,
            operations_bytes_max: self.operations_bytes_max,
            seed,
        }
    }
}

const FIRST_PORT: u16 = 9_000;
