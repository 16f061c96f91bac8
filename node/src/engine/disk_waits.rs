//! The core and its disk: requests on this core's own shard that wait for the log, and how they
//! end. The log itself is the shard's; the jobs leave with the other outputs of a turn.

use std::time::Duration;

use proto::message::{Failed, FailureCode, Message, RequestId};
use proto::time::Now;

use super::core::Core;
use super::gateway::{SWEEP_INTERVAL, failure, is_refusal, respond};
use super::journal::Phase;
use super::mail::{Mail, ShardOp};
use super::operation::Origin;
use super::outbox::Outbox;
use super::request::{ClientAnswer, ClientRequest};
use super::service::{Served, refusal_code};
use super::shard::Shard;
use super::waiting::{Asker, Waiter, Wanted};
use super::wal::disk::DiskDone;
use super::wal::log::Dropped;
use super::wal::names::Lsn;
use super::wal::recovery::FoundFile;

impl Core {
    /// Begins to read the log that the configuration asks for; `files` are those in the folder of
    /// this core's shard. Nothing is served before [`Core::is_recovered`], and [`Core::start`]
    /// comes after it.
    pub fn recover(&mut self, files: &[FoundFile], now: Now) {
        if let Some(log) = self.config.log {
            self.shard = Shard::with_log(self.config.shard, log, files);
        }
        self.turn_now = now;
    }

    /// Whether the log is open, or there is none to be.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        match self.shard.phase() {
            Phase::Memory => self.config.log.is_none(),
            Phase::Open(_) => true,
            Phase::Recovering(_) | Phase::Failed(_) => false,
        }
    }

    /// The end of a job of [`super::output::Output::Disk`].
    pub fn handle_disk(&mut self, done: DiskDone, now: Now) {
        self.shard.handle_disk(done, now);
        self.end_waits(now);
        self.settle(now);
    }

    /// From now on what is written is made durable at once: the node stops, when
    /// [`Core::is_log_at_rest`].
    pub fn close_log(&mut self, now: Now) {
        self.shard.close_log();
        self.settle(now);
    }

    /// Whether the disk has nothing more to do for this core.
    #[must_use]
    pub fn is_log_at_rest(&self) -> bool {
        self.shard.is_log_at_rest()
    }

    /// Carries out another core's operation on this core's shard.
    pub(super) fn serve_mail(&mut self, from: u8, request: RequestId, op: &ShardOp, now: Now) {
        let deadline = self.fresh(now).deadline;
        self.serve_here(Asker::Core { from, request }, &op.request(), deadline, now);
    }

    /// Carries out a request on this core's shard. The answer may have to wait for the disk, but
    /// not beyond the deadline.
    pub(super) fn serve_here(
        &mut self,
        asker: Asker,
        request: &ClientRequest<'_>,
        deadline: Duration,
        now: Now,
    ) {
        let held_bytes = request.value_bytes();
        // What was appended cannot be refused any more: whether it may wait is asked before.
        if self.shard.has_log() && request.is_write() && !self.has_room(held_bytes) {
            return self.answer(asker, &Message::Failed(failure(FailureCode::Overloaded)));
        }
        let (lsn, wanted) = match self.shard.serve(request, now) {
            Served::Done(message) => {
                if matches!(asker, Asker::Origin(_) | Asker::Doubtful(_)) {
                    self.counters.count_failure(&message);
                }
                return answer(&mut self.outbox, asker, &message);
            }
            Served::Write { lsn, answer } => (lsn, Wanted::Written(answer)),
            Served::After(lsn) => {
                let Some(key) = request.key().filter(|_| self.has_room(0)) else {
                    let failed = failure(FailureCode::Overloaded);
                    return self.answer(asker, &Message::Failed(failed));
                };
                (lsn, Wanted::Read(key))
            }
        };
        let patience = self.config.request_deadline;
        // A little before whoever asked gives up, another core above all: it knows no reason.
        let deadline = deadline - (SWEEP_INTERVAL * 2).min(patience / 8);
        self.sweep_soon(now);
        self.waiting.push(Waiter {
            lsn,
            asker,
            wanted,
            deadline,
            held_bytes,
        });
    }

    /// Ends the waits for what is committed or dropped.
    pub(super) fn end_waits(&mut self, now: Now) {
        let committed = self.shard.committed();
        while let Some(waiter) = self.waiting.pop_committed(committed) {
            match waiter.wanted {
                Wanted::Written(written) => self.answer(waiter.asker, &written.message()),
                Wanted::Read(_) => self.answer_read(&waiter, now),
            }
        }
        while let Some(dropped) = self.shard.poll_dropped() {
            for waiter in self.waiting.take_dropped(dropped.from) {
                match waiter.wanted {
                    Wanted::Written(_) => self.answer(waiter.asker, &given_up(&dropped)),
                    // The value it would have waited for never comes: the old one stands.
                    Wanted::Read(_) => self.answer_read(&waiter, now),
                }
            }
        }
    }

    /// Ends the waits that have lasted too long.
    pub(super) fn end_overdue_waits(&mut self, now: Now) {
        for waiter in self.waiting.take_overdue(now.mono) {
            self.counters.disk_timeouts += 1;
            let (code, reason) = match waiter.wanted {
                Wanted::Written(_) => (
                    FailureCode::Unknown,
                    "the disk does not answer: the write may or may not count",
                ),
                Wanted::Read(_) => (
                    FailureCode::Overloaded,
                    "the disk does not answer, and a write of this key waits for it: try again",
                ),
            };
            let reason = reason.to_owned();
            self.answer(waiter.asker, &Message::Failed(Failed { code, reason }));
        }
    }

    /// Gives up the reads of a link that is gone.
    pub(super) fn give_up_waits(&mut self, is_orphaned: impl Fn(&Origin) -> bool) {
        self.waiting.give_up(is_orphaned);
    }

    /// The lsn up to which writes count.
    #[must_use]
    pub const fn committed(&self) -> Lsn {
        self.shard.committed()
    }

    fn answer_read(&mut self, waiter: &Waiter, now: Now) {
        if let Wanted::Read(key) = waiter.wanted {
            let message = self.shard.read(&key, now);
            answer(&mut self.outbox, waiter.asker, &message);
        }
    }

    fn answer(&mut self, asker: Asker, message: &Message<'_>) {
        if matches!(asker, Asker::Origin(_) | Asker::Doubtful(_)) {
            self.counters.count_failure(message);
        }
        answer(&mut self.outbox, asker, message);
    }
}

/// Sends an answer to whoever waits for it.
fn answer(outbox: &mut Outbox, asker: Asker, message: &Message<'_>) {
    match asker {
        Asker::Origin(origin) => respond(outbox, origin, message),
        Asker::Doubtful(origin) if is_refusal(message) => {
            respond(
                outbox,
                origin,
                &Message::Failed(failure(FailureCode::Unknown)),
            );
        }
        Asker::Doubtful(origin) => respond(outbox, origin, message),
        Asker::Core { from, request } => {
            if let Some(answer) = ClientAnswer::of(message) {
                outbox.mail(from, Mail::ShardDone { request, answer });
            }
        }
    }
}

/// What the writer hears of a write that was given up.
fn given_up(dropped: &Dropped) -> Message<'static> {
    let refusal = &dropped.refusal;
    let (code, reason) = if dropped.may_be_written {
        let reason = format!("{refusal}; this write may or may not count");
        (FailureCode::Unknown, reason)
    } else {
        (refusal_code(refusal), refusal.to_string())
    };
    Message::Failed(Failed { code, reason })
}
