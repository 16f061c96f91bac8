//! The life of nodes: start on what the disks hold, service, the graceful way down of
//! `node/src/runtime/stop.rs`, and the ends without a word.

use std::mem;
use std::time::Duration;

use node::engine::core::Core;
use node::engine::request::{AdminAnswer, AdminRequest, Ticket};

use super::drive::Drive;
use super::happening::Happening;
use super::host::{Input, Place, Process, Seat, Stage};
use super::link::{Cargo, LinkId};
use super::net::{Side, nanos};
use super::tally::FaultKind;
use super::world::{Deadline, Event, World};

impl World {
    /// Starts the node of a host, which gets its power back first. It joins through `bootstrap`;
    /// with none it begins a ring. Nothing happens when it runs already.
    pub fn start(&mut self, node: usize, bootstrap: &[usize]) {
        self.power_on(node);
        if self.hosts[node].process.is_some() {
            return;
        }
        let host = &mut self.hosts[node];
        host.boots += 1;
        let boot = host.boots;
        if boot > 1 {
            self.tally.count(FaultKind::Restart);
        }
        let names = bootstrap.iter().map(|&node| self.names[node].clone());
        let names: Vec<_> = names.collect();
        let cores = self.setup.cores;
        let mut seats = Vec::new();
        for core in 0..cores {
            let seed = self.dice.roll();
            let name = &self.names[node];
            let config = self.setup.core(name, core, names.clone(), seed);
            seats.push(Seat::new(Core::new(config), self.setup.nodes, cores));
        }
        let host = &mut self.hosts[node];
        host.process = Some(Process {
            boot,
            since: self.now,
            seats,
            stage: Stage::Recovering,
            stage_until: 0,
            is_graceful: true,
            leave: None,
            is_paused: false,
        });
        let now = host.now(self.now);
        self.note(node, None, || "starts");
        for core in 0..cores {
            let place = Place::new(node, core, boot);
            let host = &mut self.hosts[node];
            let files = host.drives[usize::from(core)].files();
            if let Some(seat) = host.seat(place) {
                seat.core.recover(&files, now);
            }
            self.wake(place);
        }
    }

    /// Kills the process of a node (SIGKILL); whether there was one.
    pub fn kill(&mut self, node: usize) -> bool {
        if self.hosts[node].process.is_none() {
            return false;
        }
        self.tally.count(FaultKind::Kill);
        self.note(node, None, || "is killed");
        self.end_process(node);
        true
    }

    /// Cuts the power of a host; whether it had any.
    pub fn cut_power(&mut self, node: usize) -> bool {
        if !self.hosts[node].has_power {
            return false;
        }
        self.tally.count(FaultKind::PowerCut);
        self.note(node, None, || "loses its power");
        let links = self.net.links_of(node);
        let host = &mut self.hosts[node];
        host.process = None;
        host.has_power = false;
        for drive in &mut host.drives {
            drive.crash(&mut self.dice, &mut self.tally);
        }
        for link in links {
            for side in [Side::Dialler, Side::Acceptor] {
                if self.net.link(link).node(side) == node {
                    self.net.link_mut(link).drop_end(side);
                } else {
                    self.expect_stall(link, side);
                }
            }
        }
        true
    }

    /// Gives a host its power back, without starting its node.
    pub fn power_on(&mut self, node: usize) {
        if mem::replace(&mut self.hosts[node].has_power, true) {
            return;
        }
        self.note(node, None, || "has power");
        for peer in 0..self.setup.nodes {
            self.resume_links(peer, node);
        }
        // What others send or ask over links of before is answered with a reset.
        let is_stale = |side: Side| {
            move |link: &super::link::Link| link.has_open(side) && link.node(side.other()) == node
        };
        for side in [Side::Dialler, Side::Acceptor] {
            for link in self.net.select(is_stale(side)) {
                self.transmit(link, side, Cargo::End);
            }
        }
    }

    /// Gives a host that runs no process new, empty disks; whether it did.
    pub fn wipe(&mut self, node: usize) -> bool {
        if self.hosts[node].process.is_some() {
            return false;
        }
        self.tally.count(FaultKind::Wipe);
        self.note(node, None, || "loses its disks");
        for core in 0..usize::from(self.setup.cores) {
            self.hosts[node].drives[core] = Drive::new(self.dice.roll());
        }
        true
    }

    /// Has a node go down gracefully (SIGTERM): it ends what was asked, leaves the ring, writes its
    /// logs out. A happening tells of the end. Whether it was serving.
    pub fn leave(&mut self, node: usize) -> bool {
        let ticket = self.ticket();
        let until = self.now + nanos(DRAIN_DEADLINE);
        let Some(process) = &mut self.hosts[node].process else {
            return false;
        };
        if process.stage != Stage::Serving {
            return false;
        }
        process.stage = Stage::Draining;
        process.stage_until = until;
        process.leave = Some(ticket);
        let boot = process.boot;
        self.tally.count(FaultKind::Leave);
        self.note(node, None, || "is asked to leave");
        for core in 0..self.setup.cores {
            self.deliver(Place::new(node, core, boot), Input::RefuseClients);
        }
        self.look_again(Place::new(node, 0, boot));
        true
    }

    /// Stops a process for a while (SIGSTOP); whether it ran.
    pub fn pause(&mut self, node: usize) -> bool {
        let Some(process) = &mut self.hosts[node].process else {
            return false;
        };
        if mem::replace(&mut process.is_paused, true) {
            return false;
        }
        self.tally.count(FaultKind::Pause);
        self.note(node, None, || "is paused");
        true
    }

    /// Lets a paused process go on (SIGCONT).
    pub fn resume(&mut self, node: usize) {
        let Some(process) = &mut self.hosts[node].process else {
            return;
        };
        if !mem::replace(&mut process.is_paused, false) {
            return;
        }
        let boot = process.boot;
        self.note(node, None, || "goes on");
        for core in 0..self.setup.cores {
            self.wake(Place::new(node, core, boot));
        }
    }

    /// A core has read its log. The others may have not.
    pub(super) fn recovered(&mut self, place: Place) {
        let node = usize::from(place.node);
        let Some(seat) = self.seat(place) else { return };
        if !mem::replace(&mut seat.is_recovered, true) {
            let report = seat.core.shard().recovered().cloned().unwrap_or_default();
            let core = place.core;
            self.happenings
                .push_back(Happening::Recovered { node, core, report });
        }
        let Some(process) = &mut self.hosts[node].process else {
            return;
        };
        if !process.seats.iter().all(|seat| seat.is_recovered) {
            return;
        }
        process.stage = Stage::Opening;
        let mut at = self.now;
        for core in (0..self.setup.cores).rev() {
            at += 1 + self.dice.below(OPEN_TIME);
            let to = Place { core, ..place };
            self.agenda.plan(at, Event::Open { to });
        }
    }

    pub(super) fn open_core(&mut self, to: Place) {
        self.deliver(to, Input::Open);
    }

    /// A core has opened its sockets. With core 0, which comes last, the node serves.
    pub(super) fn opened(&mut self, place: Place) {
        let node = usize::from(place.node);
        if let (0, Some(process)) = (place.core, &mut self.hosts[node].process) {
            process.stage = Stage::Serving;
            self.happenings.push_back(Happening::Serving { node });
        }
    }

    /// A node cannot use its log: its process ends.
    pub(super) fn refuse_start(&mut self, place: Place, error: String) {
        let (node, core) = (usize::from(place.node), place.core);
        self.note(node, Some(core), || format!("cannot start: {error}"));
        self.happenings
            .push_back(Happening::Refused { node, core, error });
        self.end_process(node);
    }

    /// An operator has an answer.
    pub(super) fn operated(&mut self, from: Place, ticket: Ticket, answer: AdminAnswer) {
        let node = usize::from(from.node);
        let Some(process) = &mut self.hosts[node].process else {
            return;
        };
        if process.leave == Some(ticket) {
            process.leave = None;
            return;
        }
        let happening = Happening::Admin {
            node,
            ticket,
            answer,
        };
        self.happenings.push_back(happening);
    }

    /// Looks after a process that stops.
    pub(super) fn go_down(&mut self, place: Place) {
        let node = usize::from(place.node);
        let now = self.now;
        let Some(process) = &mut self.hosts[node].process else {
            return;
        };
        if process.boot != place.boot {
            return;
        }
        if process.is_paused {
            return self.look_again(place);
        }
        let is_done = process.is_stage_done();
        if !is_done && now < process.stage_until {
            return self.look_again(place);
        }
        process.is_graceful &= is_done;
        let ticket = process.leave;
        let (next, time) = match process.stage {
            Stage::Draining => (Stage::Leaving, LEAVE_DEADLINE),
            Stage::Leaving => (Stage::Emptying, FINISH_DEADLINE),
            Stage::Emptying => (Stage::Closing, FINISH_DEADLINE),
            _ => return self.finish(node),
        };
        process.stage = next;
        process.stage_until = now + nanos(time);
        self.begin_stage(place, next, ticket);
        self.look_again(place);
    }

    fn begin_stage(&mut self, place: Place, stage: Stage, ticket: Option<Ticket>) {
        match (stage, ticket) {
            (Stage::Leaving, Some(ticket)) => {
                self.deliver(place, Input::Admin(ticket, AdminRequest::Leave));
            }
            (Stage::Closing, _) => {
                for core in 0..self.setup.cores {
                    self.deliver(Place { core, ..place }, Input::CloseLog);
                }
            }
            _ => {}
        }
    }

    fn look_again(&mut self, to: Place) {
        let at = self.now + nanos(DRAIN_PAUSE);
        self.agenda.plan(at, Event::Stopping { to });
    }

    /// The end of a graceful way down.
    fn finish(&mut self, node: usize) {
        let process = self.hosts[node].process.as_ref();
        let gracefully = process.is_some_and(|process| process.is_graceful);
        self.note(node, None, || "has stopped");
        self.end_process(node);
        self.happenings
            .push_back(Happening::Stopped { node, gracefully });
    }

    /// A process is gone, its host goes on: the system ends its connections.
    fn end_process(&mut self, node: usize) {
        let links = self.net.links_of(node);
        let host = &mut self.hosts[node];
        host.process = None;
        for drive in &mut host.drives {
            drive.kill(&mut self.dice);
        }
        for link in links {
            for side in [Side::Dialler, Side::Acceptor] {
                if self.net.link(link).node(side) == node && self.net.link(link).has_open(side) {
                    self.net.link_mut(link).drop_end(side);
                    self.lose_some(link, side.other());
                    self.transmit(link, side.other(), Cargo::End);
                }
            }
        }
    }

    /// Half of the time a connection ends before all that is under way has arrived.
    pub(super) fn lose_some(&mut self, link: LinkId, toward: Side) {
        let is_all_kept = self.dice.one_in(2);
        let way = self.net.link_mut(link).way_mut(toward);
        if !is_all_kept {
            let under_way = u64::from(way.under_way());
            let kept = u32::try_from(self.dice.below(under_way + 1)).expect("below a number");
            self.net.link_mut(link).way_mut(toward).lose_after(kept);
        }
    }

    /// From now on the system of an end gets no acknowledgement: it ends the connection in a while.
    pub(super) fn expect_stall(&mut self, link: LinkId, side: Side) {
        if self.net.link(link).has_open(side) {
            let more = Duration::from_nanos(self.dice.below(nanos(STALL_SPREAD)));
            self.watch_for(link, side, Deadline::Stall(self.now), USER_TIMEOUT + more);
        }
    }

    /// What was held up between two hosts goes on in a moment.
    pub(super) fn resume_links(&mut self, from: usize, to: usize) {
        for toward in [Side::Dialler, Side::Acceptor] {
            let is_held = |link: &super::link::Link| {
                let way = link.way(toward);
                !way.held.is_empty()
                    && !way.is_resuming
                    && link.node(toward) == to
                    && link.node(toward.other()) == from
            };
            for link in self.net.select(is_held) {
                self.net.link_mut(link).way_mut(toward).is_resuming = true;
                let at = self.now + 1 + self.dice.below(nanos(RESEND_MAX));
                self.agenda.plan(at, Event::Resume { link, toward });
            }
        }
    }
}

impl Process {
    /// Whether the stage of stopping has come to its end.
    fn is_stage_done(&self) -> bool {
        let all = |is_done: fn(&Seat) -> bool| self.seats.iter().all(is_done);
        match self.stage {
            Stage::Draining => all(|seat| seat.core.client_operations_len() == 0),
            Stage::Leaving => self.leave.is_none(),
            Stage::Emptying => all(|seat| seat.core.operations_len() == 0),
            Stage::Closing => all(|seat| seat.core.is_log_at_rest()),
            Stage::Recovering | Stage::Opening | Stage::Serving => true,
        }
    }
}

/// The longest time between the openings of two cores.
const OPEN_TIME: u64 = 200_000;
/// How long a system takes to send again what was held up.
const RESEND_MAX: Duration = Duration::from_millis(800);
/// Keep-alive probes find a silent host out within this time after the timeout.
const STALL_SPREAD: Duration = Duration::from_secs(2);
/// How often a process that stops is looked after.
const DRAIN_PAUSE: Duration = Duration::from_millis(5);

// The shell's own bounds, see `node/src/runtime/limits.rs`.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
const LEAVE_DEADLINE: Duration = Duration::from_secs(10);
const FINISH_DEADLINE: Duration = Duration::from_secs(3);
const USER_TIMEOUT: Duration = Duration::from_secs(8);
