//! The load generator: measures latency and hop counts of a live ring, and says when it was itself
//! what limited the run.
//!
//! It knows the node only through `proto`: the DHT API codec, the TLS link and the ids. A run is a
//! [`plan::Plan`] handed to [`run::run`], which returns a [`report::Summary`] and its histogram.

mod alarm;
pub mod bottleneck;
pub mod cli;
mod connection;
mod cpu;
mod dataset;
mod dht;
mod dialect;
mod digest;
mod dispatch;
mod echo;
pub mod hgrm;
pub mod hlog;
pub mod keyspace;
mod lane;
mod memcached;
mod native;
pub mod payload;
pub mod plan;
mod progress;
mod quantity;
mod recorder;
pub mod report;
mod resp;
pub mod run;
pub mod schedule;
mod signal;
mod source;
pub mod table;
mod timeline;
mod window;
mod worker;
mod workload;

pub use dialect::SetupError;
