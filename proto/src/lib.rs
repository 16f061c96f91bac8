//! The pure parts of Chordite: ids on the circle, messages and their framing, the TLS link,
//! the DHT API codec and the Chord machine.
//!
//! Nothing here knows of sockets, files, clocks, threads or operating-system randomness: time
//! arrives as [`time::Now`], randomness as a seed, bytes as slices. Node, load generator and tests
//! drive the same code from whatever runtime they have.

#![forbid(unsafe_code)]

pub mod chord;
pub mod codec;
pub mod dht_api;
pub mod frame;
pub mod id;
pub mod identity;
pub mod key;
pub mod limits;
pub mod link;
pub mod message;
pub mod peer;
pub mod planted;
pub mod time;
pub mod tls;
pub mod version;
mod wire;
