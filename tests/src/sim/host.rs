//! One host: its clock, its disks and, while one runs, the process with its cores. What reaches a
//! core waits in its inbox until the core has a turn.

use node::engine::core::Core;
use node::engine::mail::{Mail, ShardOp};
use node::engine::request::{AdminRequest, ClientRequest, Ticket};
use node::engine::wal::disk::DiskDone;
use proto::id::Id;
use proto::message::LookupMode;
use proto::time::Now;

use super::clock::HostClock;
use super::drive::{DiskMood, Drive};
use super::link::LinkId;
use super::net::Side;
use std::time::Duration;

/// A core of a process; a later process of the same node is another place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) node: u16,
    pub(super) core: u8,
    pub(super) boot: u32,
}

/// A host.
pub(super) struct Host {
    pub(super) clock: HostClock,
    /// The disk of each core.
    pub(super) drives: Vec<Drive>,
    pub(super) mood: DiskMood,
    pub(super) has_power: bool,
    /// Whether connections are refused although somebody listens.
    pub(super) refuses_dials: bool,
    /// One of so many turns of a core takes very long, and the longest time of those.
    pub(super) stalls: (u64, Duration),
    /// One of so many mails is slow, and the longest time of those.
    pub(super) slow_mail: (u64, Duration),
    /// How many processes have started.
    pub(super) boots: u32,
    pub(super) process: Option<Process>,
}

/// A running process.
pub(super) struct Process {
    pub(super) boot: u32,
    /// When it started.
    pub(super) since: u64,
    pub(super) seats: Vec<Seat>,
    pub(super) stage: Stage,
    /// When a stage of stopping is given up.
    pub(super) stage_until: u64,
    /// Whether no stage of stopping was given up.
    pub(super) is_graceful: bool,
    /// The operator's request to leave.
    pub(super) leave: Option<Ticket>,
    pub(super) is_paused: bool,
}

/// How far a process is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Stage {
    /// It reads its logs.
    Recovering,
    /// It opens its sockets, core by core.
    Opening,
    /// It takes requests.
    Serving,
    /// It ends what clients have asked.
    Draining,
    /// It leaves the ring.
    Leaving,
    /// It ends what other nodes have asked.
    Emptying,
    /// It writes its logs out.
    Closing,
}

/// A core and what its shell knows.
pub(super) struct Seat {
    pub(super) core: Core,
    pub(super) inbox: Vec<Input>,
    /// The end of its turn.
    pub(super) busy_until: u64,
    /// Its next turn is planned.
    pub(super) is_planned: bool,
    /// When its timer goes off.
    pub(super) timer_at: Option<u64>,
    /// Its timer has gone off.
    pub(super) is_due: bool,
    /// It has read its log.
    pub(super) is_recovered: bool,
    /// It accepts links.
    pub(super) is_open: bool,
    /// Its link to each node.
    pub(super) dialled: Vec<Dialled>,
    /// Nodes that a send found unreachable.
    pub(super) unreachable: Vec<usize>,
    /// When the latest mail that has arrived was sent.
    pub(super) mail_latest: u64,
    /// When the last mail to each other core arrives.
    pub(super) mail_at: Vec<u64>,
}

/// A core's own link to a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialled {
    /// There is none.
    Nothing,
    /// Up or on its way up.
    Link(LinkId),
    /// It could not be had: not dialled again before `until`.
    Down { until: u64, pause: u64 },
}

/// What a core is handed in a turn.
#[derive(Debug)]
pub(super) enum Input {
    Ask(Ticket, Asked),
    Admin(Ticket, AdminRequest),
    Mail(Mail),
    Disk(DiskDone),
    SynAck(LinkId),
    Hello(LinkId),
    Welcome(LinkId),
    /// Frames of a peer that has dialled.
    Frames(LinkId, Vec<u8>),
    /// Frames of a peer that was dialled.
    Answers(LinkId, Vec<u8>),
    Ended(LinkId, Side),
    Open,
    RefuseClients,
    CloseLog,
}

/// A client's request while it waits for a turn.
#[derive(Debug)]
pub(super) enum Asked {
    Op(ShardOp),
    Lookup(Id, LookupMode),
}

impl Place {
    pub(super) fn new(node: usize, core: u8, boot: u32) -> Self {
        let node = u16::try_from(node).expect("few nodes");
        Self { node, core, boot }
    }
}

impl Host {
    /// A host without a process.
    pub(super) fn new(drives: Vec<Drive>, mood: DiskMood) -> Self {
        Self {
            clock: HostClock::new(),
            drives,
            mood,
            has_power: true,
            refuses_dials: false,
            stalls: (0, Duration::ZERO),
            slow_mail: (0, Duration::ZERO),
            boots: 0,
            process: None,
        }
    }

    /// What its clocks read at `at`.
    pub(super) fn now(&self, at: u64) -> Now {
        let since = self.process.as_ref().map_or(0, |process| process.since);
        Now {
            mono: Duration::from_nanos(at - since),
            wall_ms: self.clock.wall_ms(at),
        }
    }

    /// A core of its process, if that still is the one meant.
    pub(super) fn seat(&mut self, place: Place) -> Option<&mut Seat> {
        let process = self.process.as_mut()?;
        let is_meant = process.boot == place.boot;
        is_meant.then(|| &mut process.seats[usize::from(place.core)])
    }
}

impl Seat {
    /// A core that has heard nothing yet.
    pub(super) fn new(core: Core, nodes: usize, cores: u8) -> Self {
        Self {
            core,
            inbox: Vec::new(),
            busy_until: 0,
            is_planned: false,
            timer_at: None,
            is_due: false,
            is_recovered: false,
            is_open: false,
            dialled: vec![Dialled::Nothing; nodes],
            unreachable: Vec::new(),
            mail_latest: 0,
            mail_at: vec![0; usize::from(cores)],
        }
    }
}

impl Asked {
    /// Takes a request over.
    pub(super) fn of(request: &ClientRequest<'_>) -> Self {
        match *request {
            ClientRequest::Lookup { target, mode } => Self::Lookup(target, mode),
            _ => Self::Op(ShardOp::of(request).expect("everything else concerns a key")),
        }
    }

    /// The request it was made of.
    pub(super) fn request(&self) -> ClientRequest<'_> {
        match self {
            Self::Op(op) => op.request(),
            Self::Lookup(target, mode) => ClientRequest::Lookup {
                target: *target,
                mode: *mode,
            },
        }
    }
}
