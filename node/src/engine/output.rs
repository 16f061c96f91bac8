//! What a core wants done: the one enum of effects the shell carries out.
//! Cores put it into their `outbox`; `runtime::shell` carries it out, in tests a test network.

use std::sync::Arc;

use proto::chord::RoutingView;
use proto::message::ReplyTo;
use proto::peer::NodeName;

use super::mail::Mail;
use super::request::{AdminAnswer, ClientAnswer, Ticket};
use super::wal::disk::DiskJob;

/// One effect. The shell matches every variant; it decides nothing.
#[derive(Debug)]
pub enum Output {
    /// Send whole frames to a peer over this core's own link to it, dialled when there is none.
    /// When the link cannot be had or breaks, the shell says so with `Core::handle_unreachable`.
    Send {
        /// The peer.
        to: NodeName,
        /// One or more encoded frames.
        frames: Vec<u8>,
    },
    /// Send whole frames on a link that was accepted by this core; dropped when it is gone by now.
    Reply {
        /// The shell's number for the link.
        link: u64,
        /// One or more encoded frames.
        frames: Vec<u8>,
    },
    /// Answer a client request of this core's own fronts.
    Answer {
        /// The request.
        ticket: Ticket,
        /// The answer.
        answer: ClientAnswer,
    },
    /// Answer an operator.
    Admin {
        /// The request.
        ticket: Ticket,
        /// The answer.
        answer: AdminAnswer,
    },
    /// Put mail into the mailbox of another core.
    Mail {
        /// The receiving core.
        to: u8,
        /// The mail.
        mail: Mail,
    },
    /// Have the disk do something in the folder of this core's shard; `Core::handle_disk` hears of
    /// the end.
    Disk(DiskJob),
    /// Close an accepted link whose peer broke the rules, after a Refuse with this reason.
    Close {
        /// The shell's number for the link.
        link: u64,
        /// Why, for the log and the peer.
        reason: String,
    },
}

/// Where an answer to a peer's request goes, and the view all cores route by.
pub type SharedView = Arc<RoutingView>;

const _: () = assert!(size_of::<ReplyTo>() <= 24);
