//! What nodes and native clients say to each other, as the machines see it.
//!
//! A [`Message`] is parsed once at the edge (`codec`): peers in it have had their ids recomputed,
//! lengths are within their limits, a value is borrowed from the receive buffer. The wire form is
//! rkyv in `wire`, the frame around it in `frame`. Kinds carry Chord's own names.

use crate::id::{Id, IdArc};
use crate::key::Key;
use crate::peer::{NodeName, Peer, RingParams};
use crate::version::Version;

/// Pairs an answer with its request on one link; chosen by whoever asks, opaque to the other side.
///
/// The asking node lays it out so that an answer finds its way home without a table:
/// bits 56–63 core, 48–55 part of the engine (`tag`), 32–47 instance (virtual node), 0–31 sequence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RequestId(pub u64);

impl RequestId {
    /// The core that asked.
    #[must_use]
    pub const fn core(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// The part of the engine that asked.
    #[must_use]
    pub const fn tag(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// The instance of that part: the index of the virtual node.
    #[must_use]
    pub const fn instance(self) -> u16 {
        let bytes = self.0.to_be_bytes();
        u16::from_be_bytes([bytes[2], bytes[3]])
    }

    /// The sequence number: the low 32 bits.
    #[must_use]
    pub const fn sequence(self) -> u32 {
        let bytes = self.0.to_be_bytes();
        u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])
    }
}

/// Gives out the request ids of one asking machine; the sequence wraps after 2^32 requests.
#[derive(Clone, Debug)]
pub struct RequestIds {
    prefix: u64,
    sequence: u32,
}

impl RequestIds {
    /// Ids of instance `instance` of part `tag` on core `core`.
    #[must_use]
    pub fn new(core: u8, tag: u8, instance: u16) -> Self {
        let prefix = u64::from(core) << 56 | u64::from(tag) << 48 | u64::from(instance) << 32;
        Self {
            prefix,
            sequence: 0,
        }
    }

    /// The same, from another number on. What is answered over another link than it was asked over,
    /// as lookups are, may be answered when the asking process has long been followed by another
    /// one: their numbers must differ.
    #[must_use]
    pub const fn starting_after(mut self, sequence: u32) -> Self {
        self.sequence = sequence;
        self
    }

    /// The core that gives them out.
    #[must_use]
    pub const fn core(&self) -> u8 {
        RequestId(self.prefix).core()
    }

    /// The next id.
    pub fn issue(&mut self) -> RequestId {
        self.sequence = self.sequence.wrapping_add(1);
        RequestId(self.prefix | u64::from(self.sequence))
    }
}

/// Where the answer to a received request goes: which core holds the link, which link, and the
/// asker's request id. Only the shell gives `link` a meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyTo {
    /// The core that holds the link.
    pub core: u8,
    /// The shell's number for the link on that core.
    pub link: u64,
    /// The asker's id.
    pub request: RequestId,
}

/// One message. The comment of each variant says who sends it and what answers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// First message of both sides of a link.
    Hello(Hello),
    /// Last message of a side that refuses the link, or the message before it; the link closes.
    Refuse(Refuse),
    /// Node to node: are you there? Answered by `Pong`.
    Ping,
    /// Answer to `Ping`.
    Pong,
    /// Node to node: find the owner of a position, recursively. Answered on the same link by
    /// `HopAck` as soon as the receiver has taken over, and to the origin by `Found` or
    /// `LookupFailed`.
    FindSuccessor(FindSuccessor),
    /// The receiver of a `FindSuccessor` has taken it over.
    HopAck,
    /// Owner to origin, one way: the end of a recursive lookup.
    Found(Found),
    /// Any hop to origin, one way: the recursive lookup cannot go on.
    LookupFailed(LookupFailed),
    /// Node to node: one step of an iterative lookup. Answered by `NextHopAnswer`.
    NextHop(NextHop),
    /// Answer to `NextHop`.
    NextHopAnswer(NextHopAnswer),
    /// Node to node: predecessor and successor list of a virtual node. Answered by `Neighbours`,
    /// or by `Failed` when the node has no such member in the ring.
    GetNeighbours(GetNeighbours),
    /// Answer to `GetNeighbours`.
    Neighbours(Neighbours),
    /// Node to node, one way: `candidate` believes to be the predecessor of virtual node `vnode`.
    Notify(Notify),
    /// Node to node: `joiner` asks its predecessor-to-be for a place. Answered by `JoinAnswer`.
    Join(Join),
    /// Answer to `Join`.
    JoinAnswer(JoinAnswer),
    /// Node to node: `leaver` leaves the ring on purpose. Answered by `Done`.
    Leave(Leave),
    /// Answer to a request that returns nothing.
    Done,
    /// Client to gateway, or gateway to owner: store a value. Answered by `Stored`, `NotOwner` (to
    /// a node only) or `Failed`.
    Put(Put<'a>),
    /// Client to gateway, or gateway to owner: read a value. Answered by `Value`, `Absent`,
    /// `NotOwner` (to a node only) or `Failed`.
    Get(Get),
    /// Client to gateway, or gateway to owner: delete a value. Answered by `Stored`, `Absent`,
    /// `NotOwner` (to a node only) or `Failed`.
    Delete(Delete),
    /// A write was applied.
    Stored(Stored),
    /// A read found a value.
    Value(Value<'a>),
    /// A read, or a delete, found nothing.
    Absent(Route),
    /// The receiver does not own the key.
    NotOwner,
    /// The request could not be served.
    Failed(Failed),
    /// Client to gateway: who owns a position, and over which way. Answered by `LookupAnswer` or
    /// `Failed`.
    Lookup(Lookup),
    /// Answer to `Lookup`.
    LookupAnswer(LookupAnswer),
}

/// What a side says of itself before anything else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// What the speaker is; must agree with its certificate.
    pub role: Role,
    /// The advertised name; must agree with the certificate's.
    pub name: NodeName,
    /// The ring's parameters; must equal the receiver's when a node speaks. A client sends what it
    /// believes and only the ring's name is compared.
    pub params: RingParams,
    /// Feature bits: optional abilities of the speaker; unknown bits are ignored. None defined yet.
    pub features: u64,
}

/// What a certificate entitles its holder to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// A member of the ring: may send every message.
    Node,
    /// A client: may send `Ping`, `Put`, `Get`, `Delete` and `Lookup`.
    Client,
}

/// Why a link or a request was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refuse {
    /// One sentence for the operator of the other side, at most 512 bytes.
    pub reason: String,
}

/// A recursive lookup under way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FindSuccessor {
    /// The position looked for.
    pub target: Id,
    /// Who asked; gets the answer.
    pub origin: Peer,
    /// The origin's number for this lookup; comes back in `Found` or `LookupFailed`.
    pub lookup: RequestId,
    /// Nodes contacted so far other than the origin, this receiver included.
    pub hops: u16,
    /// Nodes found dead on the way and skipped.
    pub timeouts: u16,
    /// The members passed so far when the origin asked for a trace.
    pub path: Option<Vec<Peer>>,
}

/// The owner's answer to the origin of a recursive lookup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The origin's number for the lookup.
    pub lookup: RequestId,
    /// The member that owns the position: the sender.
    pub owner: Peer,
    /// The predecessor of the owner: with it, the arc `(predecessor, owner]`. `None` in a ring of
    /// one.
    pub predecessor: Option<Peer>,
    /// Nodes contacted other than the origin, the owner included: `rpcs`; `forwards` is one less,
    /// or zero when the origin itself owned the position.
    pub hops: u16,
    /// Nodes found dead on the way and skipped.
    pub timeouts: u16,
    /// The members passed, the owner last, when the origin asked for a trace.
    pub path: Option<Vec<Peer>>,
}

impl Found {
    /// The owner's arc.
    #[must_use]
    pub fn arc(&self) -> IdArc {
        let upto = self.owner.id();
        IdArc::new(self.predecessor.as_ref().map_or(upto, Peer::id), upto)
    }
}

/// A hop's answer to the origin when the lookup cannot go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupFailed {
    /// The origin's number for the lookup.
    pub lookup: RequestId,
    /// Why.
    pub reason: LookupFailure,
}

/// Why a lookup ended without an owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LookupFailure {
    /// More hops than 2·log2 N + s.
    HopLimit,
    /// A hop knows no live member to forward to.
    NoRoute,
    /// The deadline passed at the origin.
    Deadline,
    /// The node is not a member of a ring (still joining, or leaving).
    NotMember,
}

/// One step of an iterative lookup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// The position looked for.
    pub target: Id,
    /// Members the origin found dead: not to be named again.
    pub avoid: Vec<Peer>,
}

/// The answer to one step of an iterative lookup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NextHopAnswer {
    /// The answering node owns the position.
    Owner {
        /// The member that owns it.
        owner: Peer,
        /// Its predecessor; `None` in a ring of one.
        predecessor: Option<Peer>,
    },
    /// Ask one of these next, best first.
    Closer(Vec<Peer>),
}

/// Asks for the neighbours of a virtual node of the receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GetNeighbours {
    /// Which virtual node.
    pub vnode: u16,
}

/// Predecessor and successor list of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Neighbours {
    /// The member itself.
    pub member: Peer,
    /// Its predecessor, when it has one.
    pub predecessor: Option<Peer>,
    /// Its successor list, nearest first; empty in a ring of one.
    pub successors: Vec<Peer>,
}

/// `candidate` believes to be the predecessor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notify {
    /// The virtual node of the receiver that is told.
    pub vnode: u16,
    /// Who tells: a virtual node of the sender.
    pub candidate: Peer,
}

/// `joiner` asks for a place after a virtual node of the receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// The virtual node of the receiver believed to be the predecessor-to-be.
    pub vnode: u16,
    /// Who joins: a virtual node of the sender.
    pub joiner: Peer,
}

/// Answer to `Join`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JoinAnswer {
    /// The place is right: the answering member and its successor list.
    Accepted {
        /// The predecessor-to-be.
        predecessor: Peer,
        /// Its successor list; empty when it was alone.
        successors: Vec<Peer>,
    },
    /// The place is wrong by now: look up again.
    Moved,
}

/// A member leaves and tells its neighbours what it knew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leave {
    /// The virtual node of the receiver that is told.
    pub vnode: u16,
    /// Who leaves: a virtual node of the sender.
    pub leaver: Peer,
    /// Its predecessor.
    pub predecessor: Option<Peer>,
    /// Its successor list.
    pub successors: Vec<Peer>,
}

/// Store a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Put<'a> {
    /// The key.
    pub key: Key,
    /// Lifetime in seconds; 0 takes the default of the node that gives the stamp.
    pub ttl_s: u32,
    /// Replicas wanted; 0 takes the ring's.
    pub replication: u8,
    /// The value, 1 to `value_max` bytes.
    pub value: &'a [u8],
}

/// Read a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Get {
    /// The key.
    pub key: Key,
}

/// Delete a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delete {
    /// The key.
    pub key: Key,
}

/// A write was applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The version it got.
    pub version: Version,
    /// Distinct hosts that have it as durably as promised.
    pub hosts: u8,
    /// How the owner was reached.
    pub route: Route,
}

/// A value that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value<'a> {
    /// Its version.
    pub version: Version,
    /// When it expires, milliseconds since 1970; 0 is never.
    pub expiry_ms: u64,
    /// How the owner was reached.
    pub route: Route,
    /// The value.
    pub value: &'a [u8],
}

/// How a gateway reached the owner; all zero in what an owner answers to a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Route {
    /// Nodes contacted other than the gateway, the owner included.
    pub rpcs: u8,
    /// Nodes found dead on the way and skipped.
    pub timeouts: u8,
    /// The owner came from the arc cache.
    pub cached: bool,
}

/// A request could not be served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// What kind of failure.
    pub code: FailureCode,
    /// One sentence, at most 512 bytes.
    pub reason: String,
}

/// Kinds of failure and what they say of a write.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FailureCode {
    /// The request itself is wrong (caller's fault); nothing was applied.
    Invalid,
    /// The role of the certificate does not allow it; nothing was applied.
    Forbidden,
    /// The memory cap is reached; nothing was applied.
    MemoryFull,
    /// Too much is under way; nothing was applied, try again.
    Overloaded,
    /// No way to the owner was found; nothing was applied, try again.
    NoRoute,
    /// This node is not (or no longer) a member; nothing was applied, try again.
    NotMember,
    /// No answer in time, or the link broke: a write may or may not have been applied. Read the
    /// key, or write it again.
    Unknown,
    /// The owner's disk is full; nothing was applied. Reads are served as ever; writes are taken
    /// again as soon as there is room, so try again after a pause.
    StorageFull,
    /// The owner's disk failed; nothing was applied. Reads are served as ever; no write is taken
    /// until the operator has seen to the disk and restarted the node.
    StorageFailed,
}

/// Asks a gateway who owns a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lookup {
    /// The position.
    pub target: Id,
    /// How to look.
    pub mode: LookupMode,
}

/// How a lookup is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LookupMode {
    /// Recursive, arc cache first: what reads and writes use.
    #[default]
    Cached,
    /// Recursive over fingers and successors, the arc cache left aside.
    Recursive,
    /// Recursive, with the path recorded.
    Traced,
    /// Iterative, every step asked from the origin: for audits.
    Iterative,
}

/// The result of a lookup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupAnswer {
    /// The owner.
    pub owner: Peer,
    /// Its predecessor; `None` in a ring of one.
    pub predecessor: Option<Peer>,
    /// How the owner was reached.
    pub route: Route,
    /// The members passed, the owner last; empty unless traced or iterative.
    pub path: Vec<Peer>,
    /// Time from start to end at the gateway, in microseconds.
    pub elapsed_us: u64,
}
