//! The table of all keys. The order is that of the reference; defaults are texts, so that they go
//! through the same parsing and checks as what an operator writes.

use std::time::Duration;

use proto::limits;

use super::super::value::{IoDriver, LogFormat, LogLevel};
use super::super::{Config, DEFAULT_P2P_ADDRESS};
use super::{Key, Kind, Section};
use crate::engine::wal::buffer::BLOCK_BYTES;
use crate::engine::wal::settings::{SEGMENT_BYTES_LEAST, SEGMENT_BYTES_MOST};

/// Every key, in the order of the reference.
pub const KEYS: &[Key] = &[
    global(
        "hostkey",
        None,
        Kind::Path {
            set: |c, v| c.hostkey = v,
        },
        "The node's private key (PEM: PKCS#8, SEC1 or PKCS#1)",
    ),
    dht(
        "hostcert",
        None,
        Kind::Path {
            set: |c, v| c.hostcert = v,
        },
        "The node's certificate (PEM), followed by the chain below the ring's CA if there is one",
    ),
    dht(
        "ca_cert",
        None,
        Kind::Paths {
            set: |c, v| c.ca_cert = v,
        },
        "The certificates of the ring's CA, or of several (PEM)",
    ),
    dht(
        "ring",
        Some("chordite"),
        Kind::RingName {
            set: |c, v| c.ring = v.into(),
        },
        "The ring's name, the same for all members; certificates carry it",
    ),
    dht(
        "api_address",
        Some("127.0.0.1:7401"),
        Kind::Address {
            set: |c, v| c.api_address = v,
        },
        "Where the DHT API (messages 650 to 653) is listened for; it has no authentication",
    ),
    dht(
        "p2p_address",
        Some(DEFAULT_P2P_ADDRESS),
        Kind::Address {
            set: |c, v| c.p2p_address = v,
        },
        "Where peers and native clients are listened for, with mutual TLS",
    ),
    dht(
        "admin_address",
        Some("127.0.0.1:7601"),
        Kind::Address {
            set: |c, v| c.admin_address = v,
        },
        "Where the admin HTTP server is listened for; it has no authentication",
    ),
    dht(
        "advertise",
        Some(""),
        Kind::Name {
            set: |c, v| c.advertise = v,
        },
        "The node's name: where others reach it, and in its certificate; blank is p2p_address",
    ),
    dht(
        "bootstrapper",
        Some(""),
        Kind::Names {
            set: |c, v| c.bootstrapper = v,
        },
        "Members to join the ring through; blank starts a ring, the node's own name is passed over",
    ),
    dht(
        "data_dir",
        Some(""),
        Kind::OptionalPath {
            set: |c, v| c.data_dir = v,
        },
        "The data folder; blank keeps everything in memory, where nothing survives a restart",
    ),
    dht(
        "shards",
        Some("cores"),
        Kind::Count {
            min: 1,
            max: SHARDS_MAX,
            word: Some(("cores", cores)),
            set: |c, v| c.shards = narrow(v),
        },
        "Worker threads, each with its own part of the store",
    ),
    dht(
        "replication",
        Some("3"),
        count(1, limits::REPLICATION_MAX as u64, |c, v| {
            c.replication = narrow(v);
        }),
        "Hosts that hold each value, the same for all members; at most successors + 1. In force \
         with replication",
    ),
    dht(
        "write_quorum",
        Some("2"),
        count(1, limits::REPLICATION_MAX as u64, |c, v| {
            c.write_quorum = narrow(v);
        }),
        "Hosts that must have a write before it is answered; at most replication. In force with \
         replication",
    ),
    dht(
        "successors",
        Some("16"),
        count(1, limits::SUCCESSORS_MAX as u64, |c, v| {
            c.successors = narrow(v);
        }),
        "Length of the successor list, the same for all members",
    ),
    dht(
        "virtual_nodes",
        Some("1"),
        count(1, limits::VIRTUAL_NODES_MAX as u64, |c, v| {
            c.virtual_nodes = narrow(v);
        }),
        "Places of this node on the ring; at most virtual_nodes_max",
    ),
    dht(
        "virtual_nodes_max",
        Some("64"),
        count(1, limits::VIRTUAL_NODES_MAX as u64, |c, v| {
            c.virtual_nodes_max = narrow(v);
        }),
        "Most virtual nodes a member of the ring may have, the same for all members",
    ),
    dht(
        "finger_bits",
        Some("4"),
        Kind::Word {
            words: FINGER_BITS,
            set: |c, i| c.finger_bits = 1 << i,
        },
        "Bits of an id that one finger hop settles: 1 is base 2, 4 is base 16",
    ),
    dht(
        "stabilize_interval",
        Some("1s"),
        duration(Duration::from_millis(10), seconds(600), |c, v| {
            c.stabilize_interval = v;
        }),
        "Time between two rounds of stabilisation",
    ),
    dht(
        "request_deadline",
        Some("5s"),
        duration(Duration::from_millis(50), seconds(300), |c, v| {
            c.request_deadline = v;
        }),
        "Time after which a client's request ends in an answer or an error",
    ),
    dht(
        "ttl_default",
        Some("12h"),
        duration(seconds(1), seconds(3650 * DAY), |c, v| c.ttl_default = v),
        "Lifetime of a value whose PUT gives none; from ttl_min to ttl_max",
    ),
    dht(
        "ttl_min",
        Some("1s"),
        duration(seconds(1), seconds(3650 * DAY), |c, v| c.ttl_min = v),
        "Shortest lifetime; a PUT that asks for less gets this",
    ),
    dht(
        "ttl_max",
        Some("30d"),
        duration(seconds(1), seconds(3650 * DAY), |c, v| c.ttl_max = v),
        "Longest lifetime; a PUT that asks for more gets this",
    ),
    dht(
        "value_max",
        Some("65495"),
        size(1, limits::VALUE_BYTES_MAX as u64, |c, v| {
            c.value_max = narrow(v);
        }),
        "Largest value, the same for all members",
    ),
    dht(
        "memory_max",
        Some("1GiB"),
        size(64 << 10, 16 << 40, |c, v| c.memory_max = v),
        "Memory for records; at the cap writes are refused. Each shard gets an equal part, which \
         must be above value_max",
    ),
    dht(
        "fsync",
        Some("always"),
        Kind::Sync {
            set: |c, v| c.fsync = v,
        },
        "When a write is answered and served: always, when it survives a power cut; interval and \
         never, when it is written, which a killed process survives, and a power cut after the \
         next sync, every MS milliseconds, or when the kernel has written it",
    ),
    dht(
        "segment_bytes",
        Some("32MiB"),
        Kind::Size {
            min: SEGMENT_BYTES_LEAST as u64,
            max: SEGMENT_BYTES_MOST as u64,
            step: BLOCK_BYTES as u64,
            set: |c, v| c.segment_bytes = narrow(v),
        },
        "Length of a file of the log; each shard has at least two",
    ),
    dht(
        "wal_space_percent",
        Some("200"),
        count(150, 1_000, |c, v| c.wal_space_percent = narrow(v)),
        "Bytes of the log for 100 bytes of live records, apart from two segments a shard; less \
         costs more copying",
    ),
    dht(
        "io_driver",
        Some("auto"),
        Kind::Word {
            words: IoDriver::WORDS,
            set: |c, i| c.io_driver = IoDriver::ALL[i],
        },
        "How cores talk to the kernel; auto takes io_uring, and epoll where that is refused",
    ),
    dht(
        "busy_poll_us",
        Some("0"),
        count(0, 1_000_000, |c, v| c.busy_poll_us = narrow(v)),
        "Microseconds a core looks for more work before it sleeps; 0 sleeps at once. io_uring only",
    ),
    dht(
        "log_level",
        Some("info"),
        Kind::Word {
            words: LogLevel::WORDS,
            set: |c, i| c.log_level = LogLevel::ALL[i],
        },
        "The least important messages that are logged",
    ),
    dht(
        "log_format",
        Some("text"),
        Kind::Word {
            words: LogFormat::WORDS,
            set: |c, i| c.log_format = LogFormat::ALL[i],
        },
        "The form of a log line",
    ),
    dht(
        "log_file",
        Some(""),
        Kind::OptionalPath {
            set: |c, v| c.log_file = v,
        },
        "The file the log goes to; blank is standard error",
    ),
];

/// A checked number in the type of its field; the table's range is narrower than any of them.
fn narrow<T: TryFrom<u64>>(number: u64) -> T {
    T::try_from(number)
        .ok()
        .expect("the range of a key fits its field")
}

fn cores() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores as u64).min(SHARDS_MAX)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn count(min: u64, max: u64, set: fn(&mut Config, u64)) -> Kind {
    Kind::Count {
        min,
        max,
        word: None,
        set,
    }
}

const fn size(min: u64, max: u64, set: fn(&mut Config, u64)) -> Kind {
    Kind::Size {
        min,
        max,
        step: 1,
        set,
    }
}

const fn duration(min: Duration, max: Duration, set: fn(&mut Config, Duration)) -> Kind {
    Kind::Duration { min, max, set }
}

const fn global(
    name: &'static str,
    default: Option<&'static str>,
    kind: Kind,
    doc: &'static str,
) -> Key {
    Key {
        name,
        section: Section::Global,
        default,
        doc,
        kind,
    }
}

const fn dht(
    name: &'static str,
    default: Option<&'static str>,
    kind: Kind,
    doc: &'static str,
) -> Key {
    Key {
        name,
        section: Section::Dht,
        default,
        doc,
        kind,
    }
}

/// Widths that divide the bits of an id, as powers of two in order.
const FINGER_BITS: &[&str] = &["1", "2", "4", "8"];

/// Most shards, that is cores, of a node.
const SHARDS_MAX: u64 = 64;

const DAY: u64 = 86_400;
