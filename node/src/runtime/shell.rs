//! The shell around one core: hands it what arrives and carries out what it decides.
//!
//! A turn of the event loop handles every input that is ready; the first of them schedules the end
//! of the turn behind the others, where outputs are drained once. So frames for one peer leave in
//! one send, and the clock is read once.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proto::link::LinkConfig;
use proto::time::Now;

use super::api::ApiConnections;
use super::clock::Clock;
use super::deadlines::Deadlines;
use super::disk::Disk;
use super::limits::MAILS_PER_TURN;
use super::links::Links;
use super::log_gate::LogGate;
use super::mailbox::MailPort;
use super::notify::{First, Gate, Notify, race};
use super::operators::Operators;
use super::tasks::Tasks;
use super::ticket::Front;
use crate::engine::core::Core;
use crate::engine::journal::Phase;
use crate::engine::mail::Mail;
use crate::engine::output::Output;
use crate::engine::wal::disk::{DiskDone, DiskJob};
use crate::engine::wal::log::AppendError;

/// One core and everything its tasks share. Nothing of it leaves its thread.
pub(crate) struct Shell {
    core: RefCell<Core>,
    /// The core's number.
    pub(crate) number: u8,
    clock: Clock,
    mail: MailPort,
    turn: Notify,
    alarm: Alarm,
    /// Deadlines of connections.
    pub(crate) deadlines: Deadlines,
    /// Clients of the DHT API.
    pub(crate) api: ApiConnections,
    /// Links to and from peers.
    pub(crate) links: Links,
    /// Operators' requests under way.
    pub(crate) operators: Operators,
    /// Tasks that live as long as a connection, a link or a listener.
    pub(crate) sessions: Tasks,
    /// Tasks that live as long as the worker.
    pub(crate) loops: Tasks,
    /// Notified at the end of every turn, for whoever spins.
    pub(crate) busy: Notify,
    turned: Notify,
    turns: Cell<u64>,
    /// The disk of the core's log, when it has one.
    pub(crate) disk: Option<Disk>,
    /// Notified when a job of the disk has ended.
    pub(crate) disk_moved: Notify,
    /// Why the log refuses writes, as it was logged.
    refusal: RefCell<Option<AppendError>>,
    is_damage_told: Cell<bool>,
    /// Which troubles were logged lately.
    pub(crate) log_gate: RefCell<LogGate>,
    /// Opens when the worker ends: loops without an end of their own leave then.
    pub(crate) ending: Gate,
}

/// What a shell reaches the world through.
pub(crate) struct Ports {
    /// The core's number.
    pub(crate) number: u8,
    /// To the other cores.
    pub(crate) mail: MailPort,
    /// TLS of all links.
    pub(crate) link: Arc<LinkConfig>,
    /// The disk of the core's log, when it has one.
    pub(crate) disk: Option<Disk>,
}

/// When the timer goes off.
#[derive(Default)]
struct Alarm {
    at: Cell<Option<Duration>>,
    changed: Notify,
}

impl Shell {
    /// A shell around `core`.
    pub(crate) fn new(core: Core, clock: Clock, ports: Ports) -> Rc<Self> {
        let Ports {
            number,
            mail,
            link,
            disk,
        } = ports;
        Rc::new(Self {
            core: RefCell::new(core),
            number,
            disk,
            disk_moved: Notify::default(),
            refusal: RefCell::default(),
            is_damage_told: Cell::default(),
            clock,
            mail,
            turn: Notify::default(),
            alarm: Alarm::default(),
            deadlines: Deadlines::default(),
            api: ApiConnections::default(),
            links: Links::new(link),
            operators: Operators::default(),
            sessions: Tasks::default(),
            loops: Tasks::default(),
            busy: Notify::default(),
            turned: Notify::default(),
            turns: Cell::default(),
            log_gate: RefCell::default(),
            ending: Gate::default(),
        })
    }

    /// The time of this turn, whose end is scheduled by asking.
    pub(crate) fn now(&self) -> Now {
        if !self.clock.is_read() {
            self.turn.notify();
        }
        self.clock.now()
    }

    /// Hands something to the core; what it decides is carried out at the end of the turn.
    pub(crate) fn input<T>(&self, hand: impl FnOnce(&mut Core, Now) -> T) -> T {
        let now = self.now();
        hand(&mut self.core.borrow_mut(), now)
    }

    /// Carries out what the core has decided so far, without waiting for the end of the turn.
    pub(crate) fn settle(self: &Rc<Self>) {
        self.carry_out_all(Core::poll_output);
    }

    /// Carries out what the core has decided so far in the middle of a turn: what the turn has
    /// written stays together, to become one batch of the log.
    pub(crate) fn settle_decided(self: &Rc<Self>) {
        self.carry_out_all(Core::poll_decided);
    }

    /// Ends turns until the worker ends.
    pub(crate) async fn run_turns(self: Rc<Self>) {
        loop {
            self.turn.notified().await;
            if self.ending.is_open() {
                return;
            }
            self.end_turn();
        }
    }

    /// Hands timeouts to the core and ends overdue connections until the worker ends.
    pub(crate) async fn run_alarm(self: Rc<Self>) {
        while !self.ending.is_open() {
            let changed = self.alarm.changed.notified();
            let Some(at) = self.alarm.at.get() else {
                changed.await;
                continue;
            };
            let sleep = monoio::time::sleep_until(self.clock.instant_of(at).into());
            if let First::Left(()) = race(sleep, changed).await {
                self.ring_alarm();
            }
        }
    }

    /// Ends all loops.
    pub(crate) fn end_loops(&self) {
        self.ending.open();
        self.turn.notify();
        self.turned.notify();
        self.alarm.changed.notify();
        self.busy.notify();
    }

    /// Hands mail from other cores to this one until the worker ends: as much in one turn as its
    /// budget allows, the rest after everything else has had its turn.
    pub(crate) async fn run_mail(self: Rc<Self>) {
        loop {
            let mut mail = match race(self.mail.recv(), self.ending.opened()).await {
                First::Left(mail) => Some(mail),
                First::Right(()) => return,
            };
            let mut budget = MAILS_PER_TURN;
            while let Some(next) = mail {
                self.input(|core, now| core.handle_mail(next, now));
                budget -= 1;
                mail = if budget > 0 {
                    self.mail.try_recv()
                } else {
                    None
                };
            }
            self.turned.notified().await;
        }
    }

    /// Hands the ends of the disk thread's jobs to the core until the worker ends.
    pub(crate) async fn run_disk(self: Rc<Self>) {
        let Some(disk) = &self.disk else { return };
        while let First::Left(Some(done)) = race(disk.next_done(), self.ending.opened()).await {
            self.take_done(done);
        }
    }

    /// Starts a task that ends with its connection, link or listener.
    pub(crate) fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let shell = Rc::clone(self);
        self.sessions.start();
        drop(monoio::spawn(async move {
            task.await;
            shell.sessions.end();
        }));
    }

    /// Starts a task that ends when the worker does.
    pub(crate) fn spawn_loop(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let shell = Rc::clone(self);
        self.loops.start();
        drop(monoio::spawn(async move {
            task.await;
            shell.loops.end();
        }));
    }

    /// Logs trouble of one kind, unless it was logged a moment ago; `log` gets the number of lines
    /// left out since.
    pub(crate) fn warn(&self, kind: &'static str, log: impl FnOnce(u64)) {
        let now = self.now().mono;
        let left_out = self.log_gate.borrow_mut().pass(kind, "", now);
        if let Some(left_out) = left_out {
            log(left_out);
        }
    }

    /// How many turns have ended.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// Monotonic time, read afresh: for whoever spins.
    pub(crate) fn read_clock(&self) -> Duration {
        self.clock.read().mono
    }

    /// What the core counts and knows, for reports.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.core.borrow())
    }

    fn end_turn(self: &Rc<Self>) {
        self.settle();
        for name in self.links.take_unreachable() {
            self.input(|core, now| core.handle_unreachable(&name, now));
            self.settle();
        }
        self.mail.flush();
        self.set_alarm();
        self.clock.end_turn();
        if self.links.has_unreachable() {
            self.turn.notify();
        }
        self.turns.set(self.turns.get() + 1);
        self.busy.notify();
        self.turned.notify();
    }

    fn carry_out_all(self: &Rc<Self>, poll: fn(&mut Core) -> Option<Output>) {
        loop {
            let output = poll(&mut self.core.borrow_mut());
            match output {
                Some(output) => self.carry_out(output),
                None => break,
            }
        }
    }

    /// One arm for each effect.
    fn carry_out(self: &Rc<Self>, output: Output) {
        match output {
            Output::Send { to, frames } => self.links.send(self, to, frames),
            Output::Reply { link, frames } => self.links.reply(link, frames, self.now().mono),
            Output::Close { link, reason } => self.links.refuse(link, &reason),
            Output::Answer { ticket, answer } => match Front::of(ticket) {
                Front::Api(number) => self.api.answer(number, &answer),
                Front::Operator(number) => self.operators.answer(number, answer),
            },
            Output::Admin { ticket, answer } => self.operators.answer_admin(ticket, answer),
            Output::Mail { to, mail } => self.post(to, mail),
            Output::Disk(job) => self.begin_job(job),
        }
    }

    fn begin_job(self: &Rc<Self>, job: DiskJob) {
        let disk = self.disk.as_ref().expect("a core with a log has a disk");
        let Some(job) = disk.submit(job) else { return };
        let shell = Rc::clone(self);
        drop(monoio::spawn(async move {
            let done = job.run().await;
            shell.take_done(done);
        }));
    }

    /// A job of the disk has ended.
    fn take_done(&self, done: DiskDone) {
        self.input(|core, now| core.handle_disk(done, now));
        if let Some(disk) = &self.disk {
            disk.jobs.end();
        }
        self.disk_moved.notify();
        self.tell_refusal();
    }

    /// Logs once that the log refuses writes, and once that it takes them again; and once that it
    /// cannot be compacted.
    fn tell_refusal(&self) {
        let (refusal, damage) = match self.core.borrow().shard().phase() {
            Phase::Open(report) => (report.refusal, report.damage),
            Phase::Memory | Phase::Recovering(_) | Phase::Failed(_) => (None, None),
        };
        if let Some(damage) = damage.filter(|_| !self.is_damage_told.replace(true)) {
            tracing::error!(
                shard = self.number,
                "the log cannot be compacted and grows until it is mended: {damage}; stop the node \
                 and run `chordite wal verify`"
            );
        }
        let mut told = self.refusal.borrow_mut();
        if told.as_ref().map(mem::discriminant) == refusal.as_ref().map(mem::discriminant) {
            return;
        }
        let shard = self.number;
        match &refusal {
            None => tracing::warn!(shard, "the log takes writes again"),
            Some(reason) => tracing::error!(shard, "writes are refused: {reason}"),
        }
        *told = refusal;
    }

    /// A mailbox that stays full belongs to a core that is stuck: what waits for the answer fails
    /// at its deadline, and the log says where.
    fn post(&self, to: u8, mail: Mail) {
        if self.mail.send(to, mail).is_ok() {
            return;
        }
        self.warn("mailbox", |left_out| {
            tracing::error!(to, left_out, "the mailbox of a core is full: mail was lost");
        });
    }

    /// Re-arms the timer when something is due earlier than it goes off. A timer that goes off too
    /// early is cheaper than one that is moved in every turn.
    fn set_alarm(&self) {
        let due = [self.core.borrow().poll_timeout(), self.deadlines.next()];
        let Some(due) = due.into_iter().flatten().min() else {
            return;
        };
        if self.alarm.at.get().is_none_or(|at| due < at) {
            self.alarm.at.set(Some(due));
            self.alarm.changed.notify();
        }
    }

    fn ring_alarm(&self) {
        self.alarm.at.set(None);
        let now = self.now();
        self.deadlines.expire(now.mono);
        let is_due = self
            .core
            .borrow()
            .poll_timeout()
            .is_some_and(|at| at <= now.mono);
        if is_due {
            self.input(Core::handle_timeout);
        }
    }
}
