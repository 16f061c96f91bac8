//! Hosts, network and time of one simulation, and what a driver may do with them. The same setup
//! and the same calls give the same run, on every machine and for ever.
//!
//! Nothing happens but in [`World::step`] and the calls of the driver. The faults are in `inject`,
//! the life of nodes in `life`, what a core's shell does in `turn` and `wire`.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use node::engine::core::Core;
use node::engine::mail::Mail;
use node::engine::request::{AdminRequest, ClientAnswer, ClientRequest, Ticket};
use proto::chord::Phase;
use proto::chord::invariant::MemberState;
use proto::peer::NodeName;
use proto::time::Now;

use super::agenda::Agenda;
use super::drive::Drive;
use super::happening::{Happening, NodeState, Step};
use super::host::{Asked, Host, Input, Place, Seat, Stage};
use super::link::{Cargo, LinkId};
use super::net::{Net, Side};
use super::setup::Setup;
use super::tally::Tally;
use super::watch::{Digest, Line, Watcher};
use crate::dice::Dice;

/// Hosts and what is between them.
pub struct World {
    pub(super) setup: Setup,
    pub(super) names: Vec<NodeName>,
    /// Nanoseconds since the simulation began.
    pub(super) now: u64,
    pub(super) agenda: Agenda<Event>,
    pub(super) dice: Dice,
    pub(super) hosts: Vec<Host>,
    pub(super) net: Net,
    pub(super) tally: Tally,
    pub(super) answers: VecDeque<(usize, Ticket, ClientAnswer)>,
    pub(super) happenings: VecDeque<Happening>,
    pub(super) ring_changed: bool,
    pub(super) digest: Option<Digest>,
    watcher: Option<Watcher>,
    tickets: u64,
    steps: u64,
}

/// What happens at a moment.
pub(super) enum Event {
    /// Something arrives over a link.
    Carry {
        link: LinkId,
        toward: Side,
        number: u32,
        sent_at: u64,
        cargo: Cargo,
    },
    /// What a link holds may go on.
    Resume { link: LinkId, toward: Side },
    /// An end of a link must have come further.
    Deadline {
        link: LinkId,
        side: Side,
        deadline: Deadline,
    },
    /// Mail arrives.
    Mail { to: Place, sent_at: u64, mail: Mail },
    /// A job of a disk ends.
    Disk { to: Place, number: u64 },
    /// A core's timer goes off.
    Timer { to: Place },
    /// A core is free again.
    Turn { to: Place },
    /// A core opens its sockets.
    Open { to: Place },
    /// A process that stops is looked after.
    Stopping { to: Place },
}

/// What an end of a link must have reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deadline {
    /// A connection.
    Dial,
    /// The end of the handshake.
    Shake,
    /// An acknowledgement by the other host's system, missing since this moment.
    Stall(u64),
}

impl World {
    /// Hosts with power and empty disks, without processes.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let mut dice = Dice::new(setup.seed);
        let mut host = |_| {
            let drives = (0..setup.cores).map(|_| Drive::new(dice.roll()));
            Host::new(drives.collect(), setup.disk)
        };
        let hosts = (0..setup.nodes).map(&mut host).collect();
        Self {
            names: (0..setup.nodes).map(Setup::name).collect(),
            now: 0,
            agenda: Agenda::new(),
            hosts,
            net: Net::new(setup.nodes, setup.path),
            tally: Tally::default(),
            answers: VecDeque::new(),
            happenings: VecDeque::new(),
            ring_changed: false,
            digest: None,
            watcher: None,
            tickets: 0,
            steps: 0,
            dice,
            setup,
        }
    }

    /// Has everything that goes into the cores and comes out of them hashed from now on.
    pub fn hash(&mut self) {
        self.digest = Some(Digest::new());
    }

    /// The hash, when there is one.
    #[must_use]
    pub fn digest(&self) -> Option<u64> {
        self.digest.map(Digest::value)
    }

    /// Has somebody look on.
    pub fn watch(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// What it is made of.
    #[must_use]
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Time since the simulation began.
    #[must_use]
    pub const fn now(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// When the next event happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        self.agenda.next_at().map(Duration::from_nanos)
    }

    /// How many events have happened.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// What was injected so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Lets the next event happen; none when nothing is planned any more.
    pub fn step(&mut self) -> Option<Step> {
        let (at, event) = self.agenda.pop()?;
        self.now = at;
        self.steps += 1;
        self.ring_changed = false;
        match event {
            Event::Carry {
                link,
                toward,
                number,
                sent_at,
                cargo,
            } => self.carry(link, toward, number, sent_at, cargo),
            Event::Resume { link, toward } => self.resume_link(link, toward),
            Event::Deadline {
                link,
                side,
                deadline,
            } => self.miss_deadline(link, side, deadline),
            Event::Mail { to, sent_at, mail } => self.bring_mail(to, sent_at, mail),
            Event::Disk { to, number } => self.end_job(to, number),
            Event::Timer { to } => self.ring_timer(to),
            Event::Turn { to } => self.begin_turn(to),
            Event::Open { to } => self.open_core(to),
            Event::Stopping { to } => self.go_down(to),
        }
        Some(Step {
            at: self.now(),
            ring_changed: self.ring_changed,
        })
    }

    /// Lets everything happen that does until `at`, when it is then.
    pub fn run_to(&mut self, at: Duration) {
        let at = super::net::nanos(at);
        while self.agenda.next_at().is_some_and(|next| next <= at) {
            self.step();
        }
        self.now = self.now.max(at);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_to(self.now() + time);
    }

    /// Sets the clock on without letting anything happen: `at` is not after the next event.
    pub fn wait_until(&mut self, at: Duration) {
        let at = super::net::nanos(at);
        assert!(
            self.agenda.next_at().is_none_or(|next| next >= at),
            "no event is passed by"
        );
        self.now = self.now.max(at);
    }

    /// A client's request to a core. None when the node takes no clients.
    pub fn ask(&mut self, node: usize, core: u8, request: &ClientRequest<'_>) -> Option<Ticket> {
        let process = self.hosts[node].process.as_ref()?;
        if process.stage != Stage::Serving {
            return None;
        }
        let place = Place::new(node, core, process.boot);
        let ticket = self.ticket();
        self.deliver(place, Input::Ask(ticket, Asked::of(request)));
        Some(ticket)
    }

    /// An operator's request to a node; the answer is a happening. None when no process serves.
    pub fn operate(&mut self, node: usize, request: AdminRequest) -> Option<Ticket> {
        let process = self.hosts[node].process.as_ref()?;
        if process.stage < Stage::Serving {
            return None;
        }
        let place = Place::new(node, 0, process.boot);
        let ticket = self.ticket();
        self.deliver(place, Input::Admin(ticket, request));
        Some(ticket)
    }

    /// The next answer to a client, with the node that gave it.
    pub fn poll_answer(&mut self) -> Option<(usize, Ticket, ClientAnswer)> {
        self.answers.pop_front()
    }

    /// The next happening.
    pub fn poll_happening(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    /// How a node does.
    #[must_use]
    pub fn state(&self, node: usize) -> NodeState {
        let host = &self.hosts[node];
        match host.process.as_ref().map(|process| process.stage) {
            None if host.has_power => NodeState::Down,
            None => NodeState::Off,
            Some(Stage::Recovering | Stage::Opening) => NodeState::Recovering,
            Some(Stage::Serving) => NodeState::Serving,
            Some(_) => NodeState::Stopping,
        }
    }

    /// Whether a node's process is stopped for a while.
    #[must_use]
    pub fn is_paused(&self, node: usize) -> bool {
        let process = self.hosts[node].process.as_ref();
        process.is_some_and(|process| process.is_paused)
    }

    /// A core of a node that runs.
    #[must_use]
    pub fn core(&self, node: usize, core: u8) -> Option<&Core> {
        let process = self.hosts[node].process.as_ref()?;
        process.seats.get(usize::from(core)).map(|seat| &seat.core)
    }

    /// What the clocks of a node's process read now.
    #[must_use]
    pub fn clocks(&self, node: usize) -> Now {
        self.hosts[node].now(self.now)
    }

    /// Milliseconds by which a host's wall clock is ahead.
    #[must_use]
    pub fn ahead_ms(&self, node: usize) -> i64 {
        self.hosts[node].clock.ahead_ms(self.now)
    }

    /// The pointers of all members of the nodes that run, stopped ones included.
    #[must_use]
    pub fn member_states(&self) -> Vec<MemberState> {
        let nodes = 0..self.setup.nodes;
        let rings = nodes.filter_map(|node| self.core(node, 0)?.ring());
        let states = rings.flat_map(|ring| {
            ring.snapshots().map(|member| MemberState {
                id: member.me.id(),
                predecessor: member.predecessor.map(|peer| peer.id()),
                successors: member
                    .successors
                    .iter()
                    .map(proto::peer::Peer::id)
                    .collect(),
                live: member.phase == Phase::Member,
            })
        });
        states.collect()
    }

    pub(super) const fn has_watcher(&self) -> bool {
        self.watcher.is_some()
    }

    pub(super) const fn is_observed(&self) -> bool {
        self.watcher.is_some() || self.digest.is_some()
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(super) fn seat(&mut self, place: Place) -> Option<&mut Seat> {
        self.hosts[usize::from(place.node)].seat(place)
    }

    /// Tells whoever looks on; `tell` is called only then.
    pub(super) fn note<T: fmt::Display>(
        &mut self,
        node: usize,
        core: Option<u8>,
        tell: impl FnOnce() -> T,
    ) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let text = tell().to_string();
        watcher(&Line {
            at: Duration::from_nanos(self.now),
            node,
            core,
            text: &text,
        });
    }
}
