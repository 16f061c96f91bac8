//! The numbers of the messages, as the header of a frame carries them.
//!
//! ```text
//!   1  Hello           16  FindSuccessor     22  GetNeighbours     32  Put        48  Lookup
//!   2  Refuse          17  HopAck            23  Neighbours        33  Get        49  LookupAnswer
//!   3  Ping            18  Found             24  Notify            34  Delete
//!   4  Pong            19  LookupFailed      25  Join              35  Stored
//!   5  Done            20  NextHop           26  JoinAnswer        36  Value
//!   6  Failed          21  NextHopAnswer     27  Leave             37  Absent
//!                                                                  38  NotOwner
//! ```
//!
//! 64 to 95 are kept for replication (Replicate, Fetch, slice digests, hand-over). A number is
//! never used again for another layout: a changed message gets a new one. All stay below 256, and
//! so clear of the DHT API's 500 to 689.

use crate::message::{Message, Role};

/// `Hello`.
pub const HELLO: u8 = 1;
/// `Refuse`.
pub const REFUSE: u8 = 2;
/// `Ping`.
pub const PING: u8 = 3;
/// `Pong`.
pub const PONG: u8 = 4;
/// `Done`.
pub const DONE: u8 = 5;
/// `Failed`.
pub const FAILED: u8 = 6;
/// `FindSuccessor`.
pub const FIND_SUCCESSOR: u8 = 16;
/// `HopAck`.
pub const HOP_ACK: u8 = 17;
/// `Found`.
pub const FOUND: u8 = 18;
/// `LookupFailed`.
pub const LOOKUP_FAILED: u8 = 19;
/// `NextHop`.
pub const NEXT_HOP: u8 = 20;
/// `NextHopAnswer`.
pub const NEXT_HOP_ANSWER: u8 = 21;
/// `GetNeighbours`.
pub const GET_NEIGHBOURS: u8 = 22;
/// `Neighbours`.
pub const NEIGHBOURS: u8 = 23;
/// `Notify`.
pub const NOTIFY: u8 = 24;
/// `Join`.
pub const JOIN: u8 = 25;
/// `JoinAnswer`.
pub const JOIN_ANSWER: u8 = 26;
/// `Leave`.
pub const LEAVE: u8 = 27;
/// `Put`.
pub const PUT: u8 = 32;
/// `Get`.
pub const GET: u8 = 33;
/// `Delete`.
pub const DELETE: u8 = 34;
/// `Stored`.
pub const STORED: u8 = 35;
/// `Value`.
pub const VALUE: u8 = 36;
/// `Absent`.
pub const ABSENT: u8 = 37;
/// `NotOwner`.
pub const NOT_OWNER: u8 = 38;
/// `Lookup`.
pub const LOOKUP: u8 = 48;
/// `LookupAnswer`.
pub const LOOKUP_ANSWER: u8 = 49;

/// The kind of a message.
#[inline]
#[must_use]
pub const fn of(message: &Message<'_>) -> u8 {
    match message {
        Message::Hello(_) => HELLO,
        Message::Refuse(_) => REFUSE,
        Message::Ping => PING,
        Message::Pong => PONG,
        Message::FindSuccessor(_) => FIND_SUCCESSOR,
        Message::HopAck => HOP_ACK,
        Message::Found(_) => FOUND,
        Message::LookupFailed(_) => LOOKUP_FAILED,
        Message::NextHop(_) => NEXT_HOP,
        Message::NextHopAnswer(_) => NEXT_HOP_ANSWER,
        Message::GetNeighbours(_) => GET_NEIGHBOURS,
        Message::Neighbours(_) => NEIGHBOURS,
        Message::Notify(_) => NOTIFY,
        Message::Join(_) => JOIN,
        Message::JoinAnswer(_) => JOIN_ANSWER,
        Message::Leave(_) => LEAVE,
        Message::Done => DONE,
        Message::Put(_) => PUT,
        Message::Get(_) => GET,
        Message::Delete(_) => DELETE,
        Message::Stored(_) => STORED,
        Message::Value(_) => VALUE,
        Message::Absent(_) => ABSENT,
        Message::NotOwner => NOT_OWNER,
        Message::Failed(_) => FAILED,
        Message::Lookup(_) => LOOKUP,
        Message::LookupAnswer(_) => LOOKUP_ANSWER,
    }
}

/// The name of a kind for logs and refusals.
#[must_use]
pub const fn name(kind: u8) -> &'static str {
    match kind {
        HELLO => "Hello",
        REFUSE => "Refuse",
        PING => "Ping",
        PONG => "Pong",
        DONE => "Done",
        FAILED => "Failed",
        FIND_SUCCESSOR => "FindSuccessor",
        HOP_ACK => "HopAck",
        FOUND => "Found",
        LOOKUP_FAILED => "LookupFailed",
        NEXT_HOP => "NextHop",
        NEXT_HOP_ANSWER => "NextHopAnswer",
        GET_NEIGHBOURS => "GetNeighbours",
        NEIGHBOURS => "Neighbours",
        NOTIFY => "Notify",
        JOIN => "Join",
        JOIN_ANSWER => "JoinAnswer",
        LEAVE => "Leave",
        PUT => "Put",
        GET => "Get",
        DELETE => "Delete",
        STORED => "Stored",
        VALUE => "Value",
        ABSENT => "Absent",
        NOT_OWNER => "NotOwner",
        LOOKUP => "Lookup",
        LOOKUP_ANSWER => "LookupAnswer",
        _ => "a message of unknown kind",
    }
}

/// Whether a peer of this role may send this kind of message as a request. Nodes may send
/// everything, even what a later version may define.
#[inline]
#[must_use]
pub const fn allowed(role: Role, kind: u8) -> bool {
    match role {
        Role::Node => true,
        Role::Client => matches!(kind, PING | PUT | GET | DELETE | LOOKUP),
    }
}
