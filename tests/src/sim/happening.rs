//! What the driver of a world hears of its nodes: states, steps and happenings.
//! Plain values, made by `world` and its parts.

use std::time::Duration;

use node::engine::request::{AdminAnswer, Ticket};
use node::engine::wal::recovery::RecoveryReport;

/// How a node does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeState {
    /// Its host has no power.
    Off,
    /// Its host runs, without a process.
    Down,
    /// It reads its logs.
    Recovering,
    /// It takes requests; it may still be joining the ring.
    Serving,
    /// It goes down gracefully.
    Stopping,
}

/// One event of a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// A node's own members changed their pointers.
    pub ring_changed: bool,
}

/// Something a driver may want to know.
#[derive(Clone, PartialEq, Debug)]
pub enum Happening {
    /// A core has read its log.
    Recovered {
        /// The node.
        node: usize,
        /// The core.
        core: u8,
        /// What it found.
        report: RecoveryReport,
    },
    /// A node refused to start; its process has ended.
    Refused {
        /// The node.
        node: usize,
        /// The core that cannot use its log.
        core: u8,
        /// Why.
        error: String,
    },
    /// A node has read its logs and takes requests.
    Serving {
        /// The node.
        node: usize,
    },
    /// A node that was asked to leave has ended.
    Stopped {
        /// The node.
        node: usize,
        /// Whether it left the ring and wrote its log out in time.
        gracefully: bool,
    },
    /// A node closed a link because of what came over it.
    Misbehaved {
        /// Who closed it.
        node: usize,
        /// Whose messages they were.
        peer: usize,
        /// What was wrong.
        reason: String,
    },
    /// The answer to an operator.
    Admin {
        /// The node.
        node: usize,
        /// The request.
        ticket: Ticket,
        /// The answer.
        answer: AdminAnswer,
    },
}
