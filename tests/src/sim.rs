//! The discrete-event simulator of whole nodes: the production cores with their logs, several a
//! node, driven on virtual time through faults that a seed chooses.
//!
//! `World` is another shell around `node::engine::core::Core`: what sockets, clocks, disks and
//! mailboxes do in earnest is made up here, deterministically. It decides nothing about keys,
//! owners or members, and injects nothing that the real shell rules out.

mod agenda;
mod clock;
mod drive;
mod happening;
mod host;
mod inject;
mod life;
mod link;
mod net;
mod observe;
pub mod setup;
pub mod tally;
mod turn;
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
