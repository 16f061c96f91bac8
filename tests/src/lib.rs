//! The simulator, and the process harness that starts the real binaries, talks to them as strangers
//! would, and leaves nothing behind.
//!
//! The simulator (`sim` and what it uses) drives the production machines on virtual time.
//! Every process runs in a group of its own, is killed when its guard is dropped (also by a panic)
//! and dies with the test program. Its output goes to files, whose ends are printed when a test
//! fails. Waiting happens in [`deadline`] and nowhere else. Clients here write their bytes by hand
//! where the bytes are the subject of the test, and use `proto` where they are not.

#![forbid(unsafe_code)]

pub mod binaries;
pub mod certs;
pub mod churn;
pub mod circle;
pub mod deadline;
pub mod dht;
pub mod dice;
pub mod durable;
pub mod fuse;
pub mod fuzz;
pub mod http;
pub mod journal;
pub mod log_oracle;
pub mod log_script;
pub mod model;
pub mod mounts;
pub mod namespace;
pub mod native;
pub mod papers;
pub mod pass_through;
pub mod payload;
pub mod permit;
#[cfg(feature = "planted")]
pub mod planted;
pub mod ports;
pub mod process;
pub mod raw_tls;
pub mod ring;
pub mod ring_net;
pub mod rounds;
pub mod serve;
pub mod sim;
pub mod sim_cli;
pub mod sim_disk;
pub mod sim_shard;
pub mod still_ring;
pub mod usage;
pub mod workdir;
pub mod writer;
