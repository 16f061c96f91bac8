//! Links as `node::runtime` has them: dialled when something is to be sent, with a handshake,
//! deadlines and pauses, in order as long as they last; and a system under them that refuses,
//! resends, and resets what it does not know.

use proto::codec::{frames, kind};
use proto::peer::NodeName;
use std::time::Duration;

use super::happening::Happening;
use super::host::{Dialled, Input, Place};
use super::link::{Cargo, Link, LinkId, Status};
use super::net::{Side, nanos};
use super::setup::Setup;
use super::tally::FaultKind;
use super::world::{Deadline, Event, World};

impl World {
    /// A core sends frames over its own link to a node.
    pub(super) fn send(&mut self, from: Place, to: &NodeName, frames: Vec<u8>) {
        let (node, now) = (Setup::node_of(to), self.now);
        let id = LinkId::of(self.net.links.len());
        let Some(seat) = self.seat(from) else { return };
        let pause = match seat.dialled[node] {
            Dialled::Link(link) => return self.send_over(link, frames),
            Dialled::Down { until, .. } if now < until => return seat.unreachable.push(node),
            Dialled::Down { pause, .. } => pause,
            Dialled::Nothing => 0,
        };
        seat.dialled[node] = Dialled::Link(id);
        let mut link = Link::new(from, node, pause);
        link.queue_bytes = frames.len();
        link.queue.push(frames);
        self.net.links.push(link);
        self.transmit(id, Side::Acceptor, Cargo::Syn);
        self.watch_for(id, Side::Dialler, Deadline::Dial, DIAL_DEADLINE);
    }

    /// A core answers on a link that it accepted, if that still is there.
    pub(super) fn reply(&mut self, from: Place, link: LinkId, frames: Vec<u8>) {
        let it = self.net.link(link);
        if it.acceptor == Some(from) && it.status(Side::Acceptor) == Status::Up {
            self.transmit(link, Side::Dialler, Cargo::Frames(frames));
        }
    }

    /// A core ends a link because of what came over it.
    pub(super) fn refuse(&mut self, link: LinkId, side: Side, reason: String) {
        let it = self.net.link(link);
        if !it.has_open(side) {
            return;
        }
        let (node, peer) = (it.node(side), it.node(side.other()));
        self.happenings
            .push_back(Happening::Misbehaved { node, peer, reason });
        self.close_end(link, side);
        self.transmit(link, side.other(), Cargo::End);
    }

    /// The dialling core begins the handshake.
    pub(super) fn shake(&mut self, link: LinkId) {
        if self.net.link(link).status(Side::Dialler) == Status::Shaking {
            self.transmit(link, Side::Acceptor, Cargo::Hello);
        }
    }

    /// The accepting core ends it.
    pub(super) fn welcome(&mut self, link: LinkId) {
        let it = self.net.link_mut(link);
        if it.status(Side::Acceptor) == Status::Shaking {
            it.set_status(Side::Acceptor, Status::Up);
            self.transmit(link, Side::Dialler, Cargo::Welcome);
        }
    }

    /// The dialling core sends what has waited.
    pub(super) fn come_up(&mut self, link: LinkId) {
        let it = self.net.link_mut(link);
        if it.status(Side::Dialler) != Status::Shaking {
            return;
        }
        it.set_status(Side::Dialler, Status::Up);
        it.queue_bytes = 0;
        for frames in std::mem::take(&mut it.queue) {
            self.transmit(link, Side::Acceptor, Cargo::Frames(frames));
        }
    }

    /// What becomes of a core's way to a node whose link has ended. Failures in a row double the
    /// pause before the next attempt; a link that was up may be dialled again at once.
    pub(super) fn down(&self, link: LinkId) -> Dialled {
        let link = self.net.link(link);
        if link.was_up {
            return Dialled::Nothing;
        }
        let (min, max) = (nanos(REDIAL_PAUSE_MIN), nanos(REDIAL_PAUSE_MAX));
        let pause = (link.pause * 2).clamp(min, max);
        let until = self.now + pause;
        Dialled::Down { until, pause }
    }

    /// An end is over: its core hears of it in its next turn.
    pub(super) fn close_end(&mut self, link: LinkId, side: Side) {
        let it = self.net.link_mut(link);
        if !it.has_open(side) {
            return;
        }
        it.was_up |= side == Side::Dialler && it.status(side) == Status::Up;
        it.set_status(side, Status::Closed);
        if side == Side::Dialler {
            it.queue = Vec::new();
        }
        if let Some(place) = it.place(side) {
            self.deliver_later(place, Input::Ended(link, side));
        }
    }

    /// Something was on its way and arrives, or waits for a cut to be mended.
    pub(super) fn carry(
        &mut self,
        link: LinkId,
        toward: Side,
        number: u32,
        sent_at: u64,
        cargo: Cargo,
    ) {
        let it = self.net.link_mut(link);
        let (from, to) = (it.node(toward.other()), it.node(toward));
        let way = it.way_mut(toward);
        way.arrived += 1;
        if way.lost.contains(&number) {
            return;
        }
        let must_wait = way.is_resuming || !way.held.is_empty();
        if must_wait || !self.is_passable(from, to) {
            self.tally.count(FaultKind::HeldMessage);
            self.net
                .link_mut(link)
                .way_mut(toward)
                .held
                .push_back(cargo);
            return;
        }
        if from != to && self.net.is_overtaken(from, to, sent_at) {
            self.tally.count(FaultKind::Reordered);
        }
        self.arrive(link, toward, cargo);
    }

    /// What was held up goes on: the system has sent it again.
    pub(super) fn resume_link(&mut self, link: LinkId, toward: Side) {
        let it = self.net.link_mut(link);
        let (from, to) = (it.node(toward.other()), it.node(toward));
        it.way_mut(toward).is_resuming = false;
        if !self.is_passable(from, to) {
            return;
        }
        let held = std::mem::take(&mut self.net.link_mut(link).way_mut(toward).held);
        for cargo in held {
            self.arrive(link, toward, cargo);
        }
    }

    /// An end has not come as far as it must.
    pub(super) fn miss_deadline(&mut self, link: LinkId, side: Side, deadline: Deadline) {
        let it = self.net.link(link);
        let (status, node, peer) = (it.status(side), it.node(side), it.node(side.other()));
        let has_other = it.has_open(side.other());
        let is_missed = match deadline {
            Deadline::Dial => status == Status::Opening,
            Deadline::Shake => status == Status::Shaking,
            Deadline::Stall(since) => {
                let is_cut = self.net.is_cut_since(node, peer, since);
                it.has_open(side) && (is_cut || !has_other || !self.hosts[peer].has_power)
            }
        };
        if is_missed {
            self.close_end(link, side);
            self.transmit(link, side.other(), Cargo::End);
        }
    }

    /// Plans a look at an end of a link.
    pub(super) fn watch_for(
        &mut self,
        link: LinkId,
        side: Side,
        deadline: Deadline,
        time: Duration,
    ) {
        let event = Event::Deadline {
            link,
            side,
            deadline,
        };
        self.agenda.plan(self.now + nanos(time), event);
    }

    /// Sends something to the other end of a link, behind all that was sent there.
    pub(super) fn transmit(&mut self, link: LinkId, toward: Side, cargo: Cargo) {
        let it = self.net.link(link);
        let (from, to) = (it.node(toward.other()), it.node(toward));
        let path = *self.net.path(from, to);
        let (mut delay, is_slow) = path.delay(&mut self.dice);
        if is_slow {
            self.tally.count(FaultKind::SlowMessage);
        }
        let mut copy = None;
        if let Cargo::Frames(bytes) = &cargo {
            delay += bytes.len() as u64 * NANOS_PER_BYTE;
            let is_doubled = path.duplicate_one_in > 0 && self.dice.one_in(path.duplicate_one_in);
            if is_doubled && toward == Side::Acceptor {
                copy = repeatable(bytes);
            }
        }
        let at = self.now + delay;
        self.push(link, toward, at, cargo);
        if let Some(copy) = copy {
            self.tally.count(FaultKind::Duplicate);
            let (again, _) = path.delay(&mut self.dice);
            self.push(link, toward, at + again, Cargo::Frames(copy));
        }
    }

    fn push(&mut self, link: LinkId, toward: Side, at: u64, cargo: Cargo) {
        let way = self.net.link_mut(link).way_mut(toward);
        let at = at.max(way.last_at);
        way.last_at = at;
        let number = way.sent;
        way.sent += 1;
        let event = Event::Carry {
            link,
            toward,
            number,
            sent_at: self.now,
            cargo,
        };
        self.agenda.plan(at, event);
    }

    fn send_over(&mut self, link: LinkId, frames: Vec<u8>) {
        let it = self.net.link_mut(link);
        match it.status(Side::Dialler) {
            Status::Up => self.transmit(link, Side::Acceptor, Cargo::Frames(frames)),
            Status::Opening | Status::Shaking => {
                if it.queue_bytes + frames.len() <= DIALLING_BYTES_MAX {
                    it.queue_bytes += frames.len();
                    it.queue.push(frames);
                }
            }
            Status::Nothing | Status::Closed => {}
        }
    }

    /// Whether messages get from one host to the other now.
    fn is_passable(&self, from: usize, to: usize) -> bool {
        self.hosts[to].has_power && self.net.cut_since(from, to).is_none()
    }

    fn arrive(&mut self, link: LinkId, toward: Side, cargo: Cargo) {
        let it = self.net.link(link);
        let status = it.status(toward);
        let Some(place) = it.place(toward) else {
            return self.take_syn(link, &cargo);
        };
        match cargo {
            Cargo::Syn => {}
            Cargo::End => self.close_end(link, toward),
            _ if !it.has_open(toward) => self.transmit(link, toward.other(), Cargo::End),
            Cargo::SynAck if status == Status::Opening => {
                self.net.link_mut(link).set_status(toward, Status::Shaking);
                self.watch_for(link, toward, Deadline::Shake, HANDSHAKE_DEADLINE);
                self.deliver(place, Input::SynAck(link));
            }
            Cargo::SynAck => {}
            Cargo::Hello => self.deliver(place, Input::Hello(link)),
            Cargo::Welcome => self.deliver(place, Input::Welcome(link)),
            Cargo::Frames(bytes) => {
                let input = match toward {
                    Side::Dialler => Input::Answers(link, bytes),
                    Side::Acceptor => Input::Frames(link, bytes),
                };
                self.deliver(place, input);
            }
        }
    }

    /// The system of a host that is dialled: some core that listens gets the connection.
    fn take_syn(&mut self, link: LinkId, cargo: &Cargo) {
        let it = self.net.link(link);
        let node = it.node(Side::Acceptor);
        if !matches!(cargo, Cargo::Syn) || it.status(Side::Dialler) != Status::Opening {
            return;
        }
        let listeners = self.listeners(node);
        if listeners.is_empty() || self.hosts[node].refuses_dials {
            if !listeners.is_empty() {
                self.tally.count(FaultKind::DialRefused);
            }
            return self.transmit(link, Side::Dialler, Cargo::End);
        }
        let place = listeners[self.dice.index(listeners.len())];
        let it = self.net.link_mut(link);
        it.acceptor = Some(place);
        it.set_status(Side::Acceptor, Status::Shaking);
        self.watch_for(link, Side::Acceptor, Deadline::Shake, HANDSHAKE_DEADLINE);
        self.transmit(link, Side::Dialler, Cargo::SynAck);
    }

    fn listeners(&self, node: usize) -> Vec<Place> {
        let Some(process) = &self.hosts[node].process else {
            return Vec::new();
        };
        let seats = process.seats.iter().zip(0u8..);
        let open = seats.filter(|(seat, _)| seat.is_open);
        open.map(|(_, core)| Place::new(node, core, process.boot))
            .collect()
    }
}

/// The first frame that its sender may send again.
fn repeatable(bytes: &[u8]) -> Option<Vec<u8>> {
    let is_meant = |kind: u8| {
        matches!(
            kind,
            kind::PING
                | kind::GET_NEIGHBOURS
                | kind::NOTIFY
                | kind::JOIN
                | kind::FIND_SUCCESSOR
                | kind::NEXT_HOP
        )
    };
    let mut whole = frames(bytes).flatten();
    let frame = whole.find(|frame| is_meant(frame.header.kind))?;
    Some(frame.bytes.to_vec())
}

/// A link of a gigabit a second.
const NANOS_PER_BYTE: u64 = 8;

// The shell's own bounds, see `node/src/runtime/limits.rs`.
const DIAL_DEADLINE: Duration = Duration::from_secs(2);
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
const REDIAL_PAUSE_MIN: Duration = Duration::from_millis(50);
const REDIAL_PAUSE_MAX: Duration = Duration::from_secs(1);
const DIALLING_BYTES_MAX: usize = 4 * 1024 * 1024;
