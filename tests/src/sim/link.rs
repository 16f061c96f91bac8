//! One TCP connection between a core and another host: its two ends, and for each direction what
//! is under way. Knows the order of what travels; who opens and ends it is decided by `wire`.

use std::collections::VecDeque;
use std::ops::Range;

use super::host::Place;
use super::net::Side;

/// A link; never given again in a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LinkId(pub(super) u32);

/// A connection.
pub(super) struct Link {
    /// The dialling core.
    pub(super) dialler: Place,
    /// The host that is dialled.
    pub(super) host: usize,
    /// The core that accepted, once one has.
    pub(super) acceptor: Option<Place>,
    dialler_status: Status,
    acceptor_status: Status,
    /// Frames that wait until the link is up.
    pub(super) queue: Vec<Vec<u8>>,
    /// Bytes of them.
    pub(super) queue_bytes: usize,
    /// Whether the dialler had the link.
    pub(super) was_up: bool,
    /// How long the last failure kept the host from being dialled.
    pub(super) pause: u64,
    to_dialler: Way,
    to_acceptor: Way,
}

/// Where an end of a link stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Status {
    /// There is no such end yet.
    Nothing,
    /// The connection is not there yet.
    Opening,
    /// The handshake is under way.
    Shaking,
    /// Both sides know who the other one is.
    Up,
    /// It has ended.
    Closed,
}

/// One direction.
#[derive(Default)]
pub(super) struct Way {
    /// When the last thing sent arrives.
    pub(super) last_at: u64,
    /// How many things were sent.
    pub(super) sent: u32,
    /// How many have arrived or were lost.
    pub(super) arrived: u32,
    /// Those that are lost.
    pub(super) lost: Range<u32>,
    /// What waits for a cut to be mended.
    pub(super) held: VecDeque<Cargo>,
    /// Something will look after what is held.
    pub(super) is_resuming: bool,
}

/// What travels over a link.
#[derive(Debug)]
pub(super) enum Cargo {
    /// The dialling host asks for a connection.
    Syn,
    /// It gets one.
    SynAck,
    /// The dialling core begins the handshake.
    Hello,
    /// The other one ends it.
    Welcome,
    /// Whole frames.
    Frames(Vec<u8>),
    /// Nothing more comes: the sender has ended or does not know the link.
    End,
}

impl LinkId {
    pub(super) fn of(number: usize) -> Self {
        Self(u32::try_from(number).expect("few links"))
    }

    /// The number a core knows an accepted link by.
    pub(super) fn number(self) -> u64 {
        u64::from(self.0)
    }

    /// The link of such a number.
    pub(super) fn of_core(number: u64) -> Self {
        Self(u32::try_from(number).expect("cores name links they were told of"))
    }
}

impl Link {
    /// A link that is being dialled.
    pub(super) fn new(dialler: Place, host: usize, pause: u64) -> Self {
        Self {
            dialler,
            host,
            acceptor: None,
            dialler_status: Status::Opening,
            acceptor_status: Status::Nothing,
            queue: Vec::new(),
            queue_bytes: 0,
            was_up: false,
            pause,
            to_dialler: Way::default(),
            to_acceptor: Way::default(),
        }
    }

    pub(super) const fn status(&self, side: Side) -> Status {
        match side {
            Side::Dialler => self.dialler_status,
            Side::Acceptor => self.acceptor_status,
        }
    }

    pub(super) const fn set_status(&mut self, side: Side, status: Status) {
        match side {
            Side::Dialler => self.dialler_status = status,
            Side::Acceptor => self.acceptor_status = status,
        }
    }

    /// An end is gone, and nobody is there to hear of it.
    pub(super) fn drop_end(&mut self, side: Side) {
        if self.has_open(side) {
            self.set_status(side, Status::Closed);
        }
        if side == Side::Dialler {
            self.queue = Vec::new();
        }
    }

    /// The direction that leads to an end.
    pub(super) const fn way(&self, toward: Side) -> &Way {
        match toward {
            Side::Dialler => &self.to_dialler,
            Side::Acceptor => &self.to_acceptor,
        }
    }

    pub(super) const fn way_mut(&mut self, toward: Side) -> &mut Way {
        match toward {
            Side::Dialler => &mut self.to_dialler,
            Side::Acceptor => &mut self.to_acceptor,
        }
    }

    /// The core at an end.
    pub(super) const fn place(&self, side: Side) -> Option<Place> {
        match side {
            Side::Dialler => Some(self.dialler),
            Side::Acceptor => self.acceptor,
        }
    }

    /// The host at an end.
    pub(super) const fn node(&self, side: Side) -> usize {
        match side {
            Side::Dialler => self.dialler.node as usize,
            Side::Acceptor => self.host,
        }
    }

    /// Whether an end is there and has not ended.
    pub(super) const fn has_open(&self, side: Side) -> bool {
        matches!(
            self.status(side),
            Status::Opening | Status::Shaking | Status::Up
        )
    }

    /// Whether one of its ends has not ended.
    pub(super) const fn is_open(&self) -> bool {
        self.has_open(Side::Dialler) || self.has_open(Side::Acceptor)
    }

    /// How many of its open ends are at a host.
    pub(super) fn open_ends_at(&self, node: usize) -> usize {
        let at = |side| usize::from(self.has_open(side) && self.node(side) == node);
        at(Side::Dialler) + at(Side::Acceptor)
    }

    pub(super) const fn is_between(&self, a: usize, b: usize) -> bool {
        let (from, to) = (self.node(Side::Dialler), self.node(Side::Acceptor));
        (from == a && to == b) || (from == b && to == a)
    }
}

impl Way {
    /// Loses what is under way from the `kept`-th thing on.
    pub(super) fn lose_after(&mut self, kept: u32) {
        self.lost = self.arrived + kept..self.sent;
    }

    /// How many things are under way.
    pub(super) const fn under_way(&self) -> u32 {
        self.sent - self.arrived
    }
}
