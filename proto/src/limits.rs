//! Every bound of the protocol in one place, each with its unit; relations between them are
//! checked when this file is compiled.

/// Largest value in bytes: what a DHT API PUT can carry (65,535 − 40).
pub const VALUE_BYTES_MAX: usize = 65_495;

/// Largest body of a frame in bytes: a value and room for the fields around it, or the longest
/// list of peers.
pub const FRAME_BODY_BYTES_MAX: usize = 128 * 1024;

/// Largest `host:port` in bytes: 255 of a DNS name, a colon, five digits, two brackets.
pub const NODE_NAME_BYTES_MAX: usize = 263;

/// Largest ring name in bytes.
pub const RING_NAME_BYTES_MAX: usize = 64;

/// Most virtual nodes of one host that a ring may allow.
pub const VIRTUAL_NODES_MAX: u16 = 256;

/// Longest successor list (`successors`) that a ring may use.
pub const SUCCESSORS_MAX: usize = 64;

/// Most peers one message may name: a successor list, its predecessor, or the path of a lookup.
pub const PEERS_IN_MESSAGE_MAX: usize = 256;

/// Largest replication factor (`replication`) of a ring.
pub const REPLICATION_MAX: u8 = 16;

/// Longest reason in bytes that a refusal or a failure carries.
pub const REASON_BYTES_MAX: usize = 512;

/// Most bytes of TLS that a side may send before its Hello is through: certificate chains included.
pub const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// Largest body of a Hello or Refuse in bytes.
pub const HELLO_BYTES_MAX: usize = 1024;

const _: () = assert!(HELLO_BYTES_MAX > NODE_NAME_BYTES_MAX + RING_NAME_BYTES_MAX + 64);
const _: () = assert!(HELLO_BYTES_MAX > REASON_BYTES_MAX + 64);
const _: () = assert!(FRAME_BODY_BYTES_MAX > VALUE_BYTES_MAX + 1024);
const _: () = assert!(PEERS_IN_MESSAGE_MAX > SUCCESSORS_MAX + 1);
const _: () = assert!(FRAME_BODY_BYTES_MAX > PEERS_IN_MESSAGE_MAX * (NODE_NAME_BYTES_MAX + 64));
const _: () = assert!(REPLICATION_MAX as usize <= SUCCESSORS_MAX + 1);
