//! The load generator: measures latency and hop counts of a live ring, and says when it was itself
//! what limited the run.
//!
//! It knows the node only through `proto`: the DHT API codec, the TLS link and the ids.

pub mod report;
