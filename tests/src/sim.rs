//! The discrete-event simulator of whole nodes: the production cores with their logs, several a
//! node, driven on virtual time through faults that a seed chooses.
//!
//! `World` is another shell around `node::engine::core::Core`: what sockets, clocks, disks and
//! mailboxes do in earnest is made up here, deterministically. It decides nothing about keys,
//! owners or members, and injects nothing that the real shell rules out.

mod agenda;
pub mod campaign;
mod clients;
mod clock;
mod drive;
mod faults;
mod happening;
pub mod history;
mod host;
mod inject;
mod judge;
mod life;
mod link;
mod liveness;
mod look;
pub mod marks;
mod net;
mod observe;
pub mod run;
pub mod setup;
pub mod swarm;
pub mod tally;
mod turn;
mod wall;
pub mod watch;
mod wire;
pub mod world;

pub use self::clock::HostClock;
pub use self::drive::DiskMood;
pub use self::happening::{Happening, NodeState, Step};
pub use self::net::{Path, Side};
pub use self::setup::{LogSetup, Setup};
pub use self::tally::{FaultKind, Tally};
pub use self::world::World;

#[cfg(test)]
mod tests;
