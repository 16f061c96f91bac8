//! A run as it was asked for, already checked: what is here can be carried out.
//! Made by `cli` from the command line; nothing here parses text or opens a connection.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use proto::message::LookupMode;
use proto::peer::NodeName;

use crate::keyspace::Popularity;
use crate::payload::ValueSizes;
use crate::schedule::Arrivals;

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is spoken to the targets.
    pub protocol: Protocol,
    /// Whom to ask; connections are dealt out in turn.
    pub targets: Vec<Target>,
    /// How requests are paced.
    pub load: Load,
    /// Connections of all threads.
    pub connections: u32,
    /// Requests under way on one connection: exactly (closed loop) or at most (open loop).
    pub depth: u32,
    /// Threads, each with a runtime of its own.
    pub threads: u32,
    /// Warm-up, left out of every figure.
    pub warmup: Duration,
    /// Length of the measured part, when it is not given as a number of requests.
    pub duration: Option<Duration>,
    /// Number of requests of the measured part.
    pub requests: Option<u64>,
    /// What is read and written.
    pub data: Data,
    /// Which kinds of request.
    pub mix: Mix,
    /// Whether every key is written before the run.
    pub preload: bool,
    /// How writes over the DHT API, which have no answer, are confirmed.
    pub confirm: Confirm,
    /// How long an answer may take, counted from the send.
    pub deadline: Duration,
    /// How close to its time an arrival is waited for by spinning instead of sleeping.
    pub spin: Duration,
    /// Send lag (99th percentile) from which on the generator calls itself the bottleneck.
    pub lag_max: Duration,
    /// Seed of arrivals and choices.
    pub seed: u64,
    /// Where the files go; nowhere when `None`.
    pub out: Option<PathBuf>,
    /// Whether progress and table are left out.
    pub quiet: bool,
    /// The command line, for the summary.
    pub command: Vec<String>,
}

/// One target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// As it was named on the command line.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Which node it must prove to be; native protocol only.
    pub node: Option<NodeName>,
}

/// What is spoken to the targets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// The DHT API, messages 650 to 653.
    Dht,
    /// Chordite's own protocol over mutual TLS.
    Native {
        /// Folder with `key.pem`, `cert.pem` and `ca.pem` of a client.
        identity: PathBuf,
    },
    /// GET and SET of redis and valkey.
    Resp,
    /// `get` and `set` of memcached, as text.
    Memcached,
    /// Frames of one size that come back as they are: the floor of every measurement.
    Echo {
        /// The size of a frame.
        frame_bytes: u32,
    },
}

impl Protocol {
    /// The name used on the command line and in the summary.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dht => "dht",
            Self::Native { .. } => "native",
            Self::Resp => "resp",
            Self::Memcached => "memcached",
            Self::Echo { .. } => "echo",
        }
    }
}

/// How requests are paced.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Load {
    /// The next request when an answer came: as fast as the targets answer.
    Closed,
    /// Requests are due at times fixed beforehand.
    Open {
        /// Requests a second of all threads.
        rate_per_s: f64,
        /// How their times are distributed.
        arrivals: Arrivals,
    },
}

/// What is read and written.
#[derive(Clone, PartialEq, Debug)]
pub struct Data {
    /// Number of keys.
    pub keys: u64,
    /// How often each is asked for.
    pub popularity: Popularity,
    /// Seed of keys and values.
    pub data_seed: u64,
    /// Sizes of values.
    pub sizes: ValueSizes,
    /// Lifetime of values in seconds; 0 leaves it to the node.
    pub ttl_s: u16,
    /// Replicas asked for; 0 leaves it to the ring.
    pub replication: u8,
}

/// Which kinds of request, in which shares.
#[derive(Clone, PartialEq, Debug)]
pub struct Mix {
    /// Share of writes among reads and writes.
    pub put_ratio: f64,
    /// Share of lookups among all requests; native protocol only.
    pub lookup_ratio: f64,
    /// Ways of lookups, taken in turn.
    pub lookup_modes: Vec<LookupMode>,
}

/// How writes over the DHT API are confirmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confirm {
    /// Every PUT is followed by a GET of its key; its answer ends the write.
    Each,
    /// Only the last PUT of what is sent at once is followed by a GET; its answer ends all of them.
    Turn,
}

impl Plan {
    /// The targets of the connections of thread `thread`: connections are dealt to threads and to
    /// targets in turn.
    pub(crate) fn connections_of(&self, thread: u32) -> impl Iterator<Item = &Target> {
        let of_thread = move |number: &u32| number % self.threads == thread;
        let target = |number: u32| &self.targets[number as usize % self.targets.len()];
        (0..self.connections).filter(of_thread).map(target)
    }

    /// The share of thread `thread` in the number of requests.
    pub(crate) fn requests_of(&self, thread: u32) -> Option<u64> {
        let (threads, thread) = (u64::from(self.threads), u64::from(thread));
        self.requests
            .map(|all| all / threads + u64::from(thread < all % threads))
    }
}
