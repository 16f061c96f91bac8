//! A turn of a core, as its shell makes it: what has arrived goes in, time passes, what was decided
//! is carried out, and the timer is set. A core that is busy or paused has its turn later.

use std::mem;
use std::time::Duration;

use node::engine::core::{Core, LocalRead};
use node::engine::journal::Phase;
use node::engine::mail::Mail;
use node::engine::output::Output;
use node::engine::request::{ClientAnswer, ClientRequest, Ticket};
use node::engine::wal::disk::DiskJob;
use proto::codec::frames;
use proto::key::Key;
use proto::message::{Role, Route};
use proto::time::Now;

use super::clock::NANOS_PER_MS;
use super::host::{Asked, Dialled, Input, Place, Stage};
use super::link::LinkId;
use super::net::{Side, nanos};
use super::tally::FaultKind;
use super::world::{Event, World};

impl World {
    /// Hands something to a core, now if it is free.
    pub(super) fn deliver(&mut self, to: Place, input: Input) {
        let Some(seat) = self.seat(to) else { return };
        seat.inbox.push(input);
        self.wake(to);
    }

    /// Hands something to a core in its next turn.
    pub(super) fn deliver_later(&mut self, to: Place, input: Input) {
        let Some(seat) = self.seat(to) else { return };
        seat.inbox.push(input);
        self.plan_turn(to);
    }

    /// Lets a core have its turn as soon as it is free.
    pub(super) fn wake(&mut self, to: Place) {
        let now = self.now;
        let Some(seat) = self.seat(to) else { return };
        if !seat.is_planned && seat.busy_until <= now {
            self.turn(to);
        } else {
            self.plan_turn(to);
        }
    }

    pub(super) fn begin_turn(&mut self, to: Place) {
        if let Some(seat) = self.seat(to) {
            seat.is_planned = false;
            self.turn(to);
        }
    }

    pub(super) fn ring_timer(&mut self, to: Place) {
        let now = self.now;
        let mono = self.hosts[usize::from(to.node)].now(now).mono;
        let Some(seat) = self.seat(to) else { return };
        if seat.timer_at != Some(now) {
            return;
        }
        seat.timer_at = None;
        if seat.core.poll_timeout().is_some_and(|due| due <= mono) {
            seat.is_due = true;
            self.wake(to);
        } else {
            self.set_alarm(to);
        }
    }

    pub(super) fn bring_mail(&mut self, to: Place, sent_at: u64, mail: Mail) {
        let Some(seat) = self.seat(to) else { return };
        let is_overtaken = sent_at < seat.mail_latest;
        seat.mail_latest = sent_at.max(seat.mail_latest);
        if is_overtaken {
            self.tally.count(FaultKind::ReorderedMail);
        }
        self.deliver(to, Input::Mail(mail));
    }

    pub(super) fn end_job(&mut self, to: Place, number: u64) {
        let host = &mut self.hosts[usize::from(to.node)];
        if host.seat(to).is_none() {
            return;
        }
        let drive = &mut host.drives[usize::from(to.core)];
        if let Some(done) = drive.complete(number, host.mood.is_stuck, &mut self.tally) {
            self.deliver(to, Input::Disk(done));
        }
    }

    fn plan_turn(&mut self, to: Place) {
        let now = self.now;
        let Some(seat) = self.seat(to) else { return };
        if !seat.is_planned {
            seat.is_planned = true;
            let at = seat.busy_until.max(now);
            self.agenda.plan(at, Event::Turn { to });
        }
    }

    fn turn(&mut self, to: Place) {
        let host = &mut self.hosts[usize::from(to.node)];
        let now = host.now(self.now);
        let is_paused = host.process.as_ref().is_some_and(|it| it.is_paused);
        let Some(seat) = host.seat(to).filter(|_| !is_paused) else {
            return;
        };
        let mut inbox = mem::take(&mut seat.inbox);
        let epoch = epoch_of(&seat.core);
        if mem::take(&mut seat.is_due)
            && seat.core.poll_timeout().is_some_and(|due| due <= now.mono)
        {
            seat.core.handle_timeout(now);
            self.observe_timeout(to);
        }
        for input in inbox.drain(..) {
            self.observe_input(to, &input);
            self.hand(to, input, now);
        }
        self.settle(to, Core::poll_output);
        self.tell_unreachable(to, now);
        let Some(seat) = self.seat(to) else { return };
        if seat.inbox.is_empty() {
            seat.inbox = inbox;
        }
        self.ring_changed |= epoch != epoch_of(&seat.core);
        self.set_alarm(to);
        self.keep_busy(to);
        self.look_after(to);
    }

    /// Carries out what a core has decided.
    fn settle(&mut self, to: Place, poll: fn(&mut Core) -> Option<Output>) {
        while let Some(output) = self.seat(to).and_then(|seat| poll(&mut seat.core)) {
            self.observe_output(to, &output);
            self.carry_out(to, output);
        }
    }

    /// One arm for each effect, as in the shell.
    fn carry_out(&mut self, from: Place, output: Output) {
        match output {
            Output::Send { to, frames } => self.send(from, &to, frames),
            Output::Reply { link, frames } => self.reply(from, LinkId::of_core(link), frames),
            Output::Close { link, reason } => {
                self.refuse(LinkId::of_core(link), Side::Acceptor, reason);
            }
            Output::Answer { ticket, answer } => {
                self.answers
                    .push_back((usize::from(from.node), ticket, answer));
            }
            Output::Admin { ticket, answer } => self.operated(from, ticket, answer),
            Output::Mail { to, mail } => self.post(from, to, mail),
            Output::Disk(job) => self.begin_job(from, job),
        }
    }

    fn hand(&mut self, to: Place, input: Input, now: Now) {
        match input {
            Input::Frames(link, frames) => self.hand_frames(to, link, &frames, now),
            Input::Answers(link, frames) => self.hand_answers(to, link, &frames, now),
            Input::Ask(ticket, asked) => self.hand_request(to, ticket, &asked, now),
            Input::SynAck(link) => self.shake(link),
            Input::Hello(link) => self.welcome(link),
            Input::Welcome(link) => self.come_up(link),
            Input::Ended(link, side) => self.hand_end(to, link, side, now),
            other => self.hand_core(to, other, now),
        }
    }

    /// What concerns the core alone.
    fn hand_core(&mut self, to: Place, input: Input, now: Now) {
        let Some(seat) = self.seat(to) else { return };
        let core = &mut seat.core;
        match input {
            Input::Admin(ticket, request) => core.handle_admin(ticket, request, now),
            Input::Mail(mail) => core.handle_mail(mail, now),
            Input::Disk(done) => core.handle_disk(done, now),
            Input::RefuseClients => core.refuse_clients(),
            Input::CloseLog => core.close_log(now),
            Input::Open => {
                core.start(now);
                seat.is_open = true;
                self.opened(to);
            }
            other => unreachable!("{other:?} is not for a core alone"),
        }
    }

    fn hand_frames(&mut self, to: Place, link: LinkId, bytes: &[u8], now: Now) {
        let peer = self.names[self.net.link(link).node(Side::Dialler)].clone();
        let batch = self.setup.frames_per_batch;
        for (index, frame) in frames(bytes).enumerate() {
            let frame = frame.expect("cores send whole frames");
            if index > 0 && index % batch == 0 {
                self.settle(to, Core::poll_decided);
            }
            let Some(seat) = self.seat(to) else { return };
            let number = link.number();
            seat.core
                .handle_frame(number, &peer, Role::Node, frame.bytes, now);
        }
    }

    fn hand_answers(&mut self, to: Place, link: LinkId, bytes: &[u8], now: Now) {
        let peer = self.names[self.net.link(link).node(Side::Acceptor)].clone();
        let batch = self.setup.frames_per_batch;
        for (index, frame) in frames(bytes).enumerate() {
            let frame = frame.expect("cores send whole frames");
            if index > 0 && index % batch == 0 {
                self.settle(to, Core::poll_decided);
            }
            let Some(seat) = self.seat(to) else { return };
            if let Err(broken) = seat.core.handle_answer(&peer, frame.bytes, now) {
                return self.refuse(link, Side::Dialler, broken.to_string());
            }
        }
    }

    /// Reads go the fast way of the DHT API half of the time, the way of native clients otherwise.
    fn hand_request(&mut self, to: Place, ticket: Ticket, asked: &Asked, now: Now) {
        let request = asked.request();
        let is_fast = self.dice.one_in(2);
        let Some(seat) = self.seat(to) else { return };
        if let (ClientRequest::Get { key }, true) = (request, is_fast)
            && let Some(answer) = read_local(&mut seat.core, &key, now)
        {
            let node = usize::from(to.node);
            return self.answers.push_back((node, ticket, answer));
        }
        seat.core.handle_client(ticket, &request, now);
    }

    fn hand_end(&mut self, to: Place, link: LinkId, side: Side, now: Now) {
        if side == Side::Acceptor {
            if let Some(seat) = self.seat(to) {
                seat.core.handle_link_closed(link.number());
            }
            return;
        }
        let node = self.net.link(link).node(Side::Acceptor);
        let name = self.names[node].clone();
        let down = self.down(link);
        let Some(seat) = self.seat(to) else { return };
        if seat.dialled[node] == Dialled::Link(link) {
            seat.dialled[node] = down;
        }
        seat.core.handle_unreachable(&name, now);
    }

    /// Nodes that a send has found unreachable; what a core sends them then waits for another turn.
    fn tell_unreachable(&mut self, to: Place, now: Now) {
        let Some(seat) = self.seat(to) else { return };
        for node in mem::take(&mut seat.unreachable) {
            let name = self.names[node].clone();
            if let Some(seat) = self.seat(to) {
                seat.core.handle_unreachable(&name, now);
            }
            self.settle(to, Core::poll_output);
        }
        if self
            .seat(to)
            .is_some_and(|seat| !seat.unreachable.is_empty())
        {
            self.plan_turn(to);
        }
    }

    fn set_alarm(&mut self, to: Place) {
        let late = self.dice.below(TIMER_SLACK);
        let now = self.now;
        let Some(process) = &mut self.hosts[usize::from(to.node)].process else {
            return;
        };
        let since = process.since;
        let seat = &mut process.seats[usize::from(to.core)];
        let Some(due) = seat.core.poll_timeout() else {
            return;
        };
        // The runtime's timers go off at whole milliseconds.
        let at = (since + nanos(due)).max(now).div_ceil(NANOS_PER_MS) * NANOS_PER_MS + late;
        if at > now && seat.timer_at.is_none_or(|planned| at < planned) {
            seat.timer_at = Some(at);
            self.agenda.plan(at, Event::Timer { to });
        }
    }

    fn keep_busy(&mut self, to: Place) {
        let (min, max) = self.setup.turn;
        let (stall_one_in, stall_max) = self.hosts[usize::from(to.node)].stalls;
        let mut busy = nanos(min) + self.dice.below(nanos(max.saturating_sub(min)) + 1);
        if stall_one_in > 0 && self.dice.one_in(stall_one_in) {
            self.tally.count(FaultKind::Stall);
            busy += self.dice.below(nanos(stall_max));
        }
        let until = self.now + busy;
        if let Some(seat) = self.seat(to) {
            seat.busy_until = until;
        }
    }

    fn post(&mut self, from: Place, to: u8, mail: Mail) {
        let (slow_one_in, slow_max) = self.hosts[usize::from(from.node)].slow_mail;
        let mut delay = self.dice.below(nanos(self.setup.mail) + 1);
        if slow_one_in > 0 && self.dice.one_in(slow_one_in) {
            self.tally.count(FaultKind::SlowMail);
            delay += self.dice.below(nanos(slow_max));
        }
        let sent_at = self.now;
        let Some(seat) = self.seat(from) else { return };
        let last = &mut seat.mail_at[usize::from(to)];
        *last = (sent_at + delay).max(*last);
        let at = *last;
        let place = Place { core: to, ..from };
        let event = Event::Mail {
            to: place,
            sent_at,
            mail,
        };
        self.agenda.plan(at, event);
    }

    fn begin_job(&mut self, from: Place, job: DiskJob) {
        let host = &mut self.hosts[usize::from(from.node)];
        let drive = &mut host.drives[usize::from(from.core)];
        let (number, time) = drive.submit(job, &host.mood, &mut self.dice, &mut self.tally);
        let event = Event::Disk { to: from, number };
        self.agenda.plan(self.now + time, event);
    }

    /// What a turn may have brought about in the life of the process.
    fn look_after(&mut self, to: Place) {
        let Some(process) = &self.hosts[usize::from(to.node)].process else {
            return;
        };
        if process.stage != Stage::Recovering {
            return;
        }
        let shard = process.seats[usize::from(to.core)].core.shard();
        match shard.phase() {
            Phase::Recovering(_) => {}
            Phase::Failed(error) => {
                let error = error.to_string();
                self.refuse_start(to, error);
            }
            Phase::Memory | Phase::Open(_) => self.recovered(to),
        }
    }
}

/// What the fast way of a read finds, when it finds anything.
fn read_local(core: &mut Core, key: &Key, now: Now) -> Option<ClientAnswer> {
    let probe = core.prepare(key);
    core.warm(probe);
    match core.read_prepared(probe, key, now) {
        LocalRead::Value(_) => {}
        LocalRead::Absent => return Some(ClientAnswer::Absent(Route::default())),
        LocalRead::Pending | LocalRead::Elsewhere => return None,
    }
    let record = core.shard().store().get(key, now.wall_ms)?;
    Some(ClientAnswer::Value {
        version: record.version,
        expiry_ms: record.expiry_ms,
        route: Route::default(),
        value: record.value.to_vec(),
    })
}

/// Grows with every change of a node's own members.
fn epoch_of(core: &Core) -> Option<u64> {
    core.ring().map(|ring| ring.view().epoch)
}

/// How much later than it should a timer goes off.
const TIMER_SLACK: u64 = Duration::from_micros(200).as_nanos() as u64;
