//! The way of a client's request: owner known or looked up, owner asked, answer passed on.
//!
//! A request on a key of this node goes to the shard at once, on this core or by mail. Any other
//! finds its owner in the arc cache or by a lookup and is sent there; an owner that is none any
//! more, or is silent, costs another lookup. Every request ends by its deadline in an answer.

use std::time::Duration;

use proto::chord::LookupResult;
use proto::id::Id;
use proto::message::{
    Failed, FailureCode, LookupAnswer, LookupFailure, LookupMode, Message, RequestId, Route,
};
use proto::peer::NodeName;
use proto::planted::{self, Bug};
use proto::time::Now;

use super::core::Core;
use super::mail::{Mail, ShardOp};
use super::operation::{Operation, Origin, Stage, Task};
use super::output::Output;
use super::request::{ClientAnswer, ClientRequest};
use super::shard::shard_of;
use super::turn::OPERATION_TICKET;
use super::waiting::Asker;

impl Core {
    /// Serves a client's request as its gateway; says who has it now.
    pub(super) fn begin(&mut self, origin: Origin, request: &ClientRequest<'_>, now: Now) -> Taker {
        if self.refuses_clients && matches!(origin, Origin::Client(_)) {
            let failed = failure(FailureCode::NotMember);
            self.respond(origin, &Message::Failed(failed));
            return Taker::Other;
        }
        let key = match *request {
            ClientRequest::Lookup { target, mode } => {
                self.begin_lookup(origin, target, mode, now);
                return Taker::Other;
            }
            ClientRequest::Put { key, .. }
            | ClientRequest::Get { key }
            | ClientRequest::Delete { key } => key,
        };
        if let Some(failed) = self.refusal(request) {
            self.respond(origin, &Message::Failed(failed));
        } else if self.owns(&key) {
            return self.serve(origin, self.fresh(now), request, now);
        } else if let Some(op) = ShardOp::of(request) {
            let position = key.position();
            let operation = self.operation(origin, Task::Shard(op), position, now);
            if let Some(number) = self.admit(operation) {
                self.counters.gateway_requests += 1;
                self.seek(number, now);
            }
        }
        Taker::Other
    }

    fn begin_lookup(&mut self, origin: Origin, target: Id, mode: LookupMode, now: Now) {
        let operation = self.operation(origin, Task::Lookup(mode), target, now);
        if let Some(number) = self.admit(operation) {
            self.seek(number, now);
        }
    }

    /// A request that nobody has tried to serve before.
    pub(super) fn fresh(&self, now: Now) -> Before {
        Before {
            is_doubtful: false,
            deadline: now.mono + self.config.request_deadline,
        }
    }

    /// Serves a request on a key that this node owns; says who has it now.
    pub(super) fn serve(
        &mut self,
        origin: Origin,
        before: Before,
        request: &ClientRequest<'_>,
        now: Now,
    ) -> Taker {
        let Some(key) = request.key() else {
            return Taker::Other;
        };
        let shard = shard_of(&key, self.config.cores).0;
        if shard == self.config.core {
            let asker = if before.is_doubtful {
                Asker::Doubtful(origin)
            } else {
                Asker::Origin(origin)
            };
            self.serve_here(asker, request, before.deadline, now);
            return Taker::Shard;
        }
        let mut operation = self.operation(origin, Task::Handed, Id::ZERO, now);
        operation.write = request.is_write();
        operation.held_bytes = request.value_bytes();
        operation.is_doubtful = before.is_doubtful;
        operation.deadline = before.deadline;
        if let Some(number) = self.admit(operation)
            && let Some(op) = ShardOp::of(request)
        {
            self.counters.mailbox_hops += 1;
            let mail = Mail::Shard {
                from: self.config.core,
                request: number,
                op,
            };
            self.outbox.mail(shard, mail);
        }
        Taker::Other
    }

    /// Ends an operation that another core's shard has carried out.
    pub(super) fn shard_done(&mut self, number: RequestId, answer: &ClientAnswer) {
        self.finish(number, &answer.message());
    }

    /// Looks for the owner of an operation and asks it as soon as it is known.
    fn seek(&mut self, number: RequestId, now: Now) {
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        let (target, mut deadline) = (operation.position, operation.deadline);
        operation.stage = Stage::Lookup;
        // What this node owns itself, it knows better than what it has heard of others.
        let presumed = (!self.router.owns(&target))
            .then(|| self.router.cached(&target))
            .flatten()
            .map(|owner| owner.name().clone());
        let (mode, via) = match (&operation.task, presumed) {
            (Task::Shard(_), Some(name)) => {
                operation.route.cached = true;
                operation.route.rpcs = 1;
                return self.ask_owner(number, &name, now);
            }
            // The arc may have moved: its presumed owner is asked, and answers or passes it on.
            (Task::Lookup(LookupMode::Cached), Some(name)) => {
                operation.route.cached = true;
                // If it is dead, a lookup without it follows, which needs time as well.
                deadline = now.mono + deadline.saturating_sub(now.mono) / 2;
                (LookupMode::Recursive, Some(name))
            }
            (Task::Lookup(mode), _) => (*mode, None),
            (Task::Shard(_) | Task::Handed, _) => (LookupMode::Cached, None),
        };
        let ticket = number.0 | OPERATION_TICKET;
        self.counters.lookups_client += 1;
        self.router.lookup(ticket, target, mode, via, deadline, now);
    }

    /// A lookup for one of this core's operations has ended.
    pub(super) fn resolved(&mut self, number: RequestId, result: LookupResult, now: Now) {
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        match result {
            Ok(mut found) if matches!(operation.task, Task::Lookup(_)) => {
                found.route.cached = operation.route.cached && found.route.rpcs <= 1;
                let elapsed = now.mono.saturating_sub(operation.started);
                let answer = LookupAnswer {
                    owner: found.owner,
                    predecessor: found.predecessor,
                    route: found.route,
                    path: found.path,
                    elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
                };
                self.finish(number, &Message::LookupAnswer(answer));
            }
            Ok(found) => {
                let timeouts = operation
                    .route
                    .timeouts
                    .saturating_add(found.route.timeouts);
                operation.route = Route {
                    timeouts,
                    ..found.route
                };
                if found.owner.name() == &self.config.name {
                    self.serve_found(number, now);
                } else {
                    self.ask_owner(number, found.owner.name(), now);
                }
            }
            Err(_) if operation.route.cached => {
                operation.route.cached = false;
                self.pause(number, now);
            }
            Err(LookupFailure::NotMember) => self.fail(number, Some(FailureCode::NotMember)),
            Err(LookupFailure::Deadline) => self.fail(number, None),
            Err(LookupFailure::HopLimit | LookupFailure::NoRoute) => self.pause(number, now),
        }
    }

    /// The owner turned out to be this node itself.
    fn serve_found(&mut self, number: RequestId, now: Now) {
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        if !self.router.owns(&operation.position) {
            return self.pause(number, now);
        }
        let Some(operation) = self.operations.remove(number) else {
            return;
        };
        if let Task::Shard(op) = operation.task {
            let before = Before {
                is_doubtful: operation.is_doubtful,
                deadline: operation.deadline,
            };
            self.serve(operation.origin, before, &op.request(), now);
        }
    }

    fn ask_owner(&mut self, number: RequestId, name: &NodeName, now: Now) {
        let patience = self.router.rtt().timeout(name) * OWNER_PATIENCE_RTOS;
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        let Task::Shard(op) = &operation.task else {
            return;
        };
        let patience_min = if operation.write {
            WRITE_PATIENCE_MIN
        } else {
            READ_PATIENCE_MIN
        };
        let until = now.mono + patience.max(patience_min);
        self.outbox.send(name, number, &op.message());
        operation.asked = operation.asked.saturating_add(1);
        operation.stage = Stage::Owner {
            name: name.clone(),
            until,
        };
    }

    /// The owner's answer to one of this core's operations.
    pub(super) fn owner_answered(
        &mut self,
        number: RequestId,
        from: &NodeName,
        message: &Message<'_>,
        now: Now,
    ) {
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        if !matches!(&operation.stage, Stage::Owner { name, .. } if name == from) {
            return;
        }
        match message {
            Message::NotOwner => self.disowned(number, now),
            Message::Failed(failed) if failed.code == FailureCode::NotMember => {
                self.disowned(number, now);
            }
            Message::Value(value) => {
                let value = proto::message::Value {
                    route: operation.route,
                    ..*value
                };
                self.finish(number, &Message::Value(value));
            }
            Message::Stored(stored) => {
                let stored = proto::message::Stored {
                    route: operation.route,
                    ..*stored
                };
                self.finish(number, &Message::Stored(stored));
            }
            Message::Absent(_) => {
                let route = operation.route;
                self.finish(number, &Message::Absent(route));
            }
            Message::Failed(_) => self.finish(number, message),
            _ => {}
        }
    }

    /// The owner owns the key no more: what was believed of the arc is forgotten. The first time
    /// the owner is looked up at once, later the ring gets a moment to agree.
    fn disowned(&mut self, number: RequestId, now: Now) {
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        let position = operation.position;
        let first = operation.failures == 0;
        self.counters.disowned += 1;
        self.router.forget(&position);
        if first {
            operation.failures = 1;
            self.seek(number, now);
        } else {
            self.pause(number, now);
        }
    }

    /// Waits a little before the owner is looked up again.
    fn pause(&mut self, number: RequestId, now: Now) {
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        let pause = PAUSE_MIN * (1 << operation.failures.min(PAUSE_DOUBLINGS));
        operation.failures = operation.failures.saturating_add(1);
        operation.stage = Stage::Pause {
            until: now.mono + pause,
        };
        let position = operation.position;
        self.router.forget(&position);
    }

    /// A peer cannot be reached: whatever waits for its answer looks for the owner again.
    pub(super) fn owner_unreachable(&mut self, name: &NodeName, now: Now) {
        let waits = |operation: &Operation| match &operation.stage {
            Stage::Owner { name: owner, .. } => owner == name,
            _ => false,
        };
        for number in self.operations.select(waits) {
            self.missed(number, now);
        }
    }

    fn missed(&mut self, number: RequestId, now: Now) {
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        operation.route.timeouts = operation.route.timeouts.saturating_add(1);
        operation.is_doubtful |= operation.write && !planted::is(Bug::TimeoutIsFailure);
        self.pause(number, now);
    }

    /// Ends what is past its deadline and moves on what waited long enough.
    pub(super) fn sweep(&mut self, now: Now) {
        let due = |operation: &Operation| {
            now.mono >= operation.deadline
                || match operation.stage {
                    Stage::Owner { until, .. } | Stage::Pause { until } => now.mono >= until,
                    Stage::Lookup | Stage::Shard => false,
                }
        };
        for number in self.operations.select(due) {
            let Some(operation) = self.operations.get_mut(number) else {
                continue;
            };
            if now.mono >= operation.deadline {
                self.fail(number, None);
            } else if matches!(operation.stage, Stage::Pause { .. }) {
                self.retry(number, now);
            } else {
                self.counters.owner_timeouts += 1;
                self.missed(number, now);
            }
        }
    }

    fn retry(&mut self, number: RequestId, now: Now) {
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        if matches!(operation.task, Task::Shard(_)) && self.router.owns(&operation.position) {
            self.serve_found(number, now);
        } else {
            self.seek(number, now);
        }
    }

    /// Ends an operation without success. Without a `code` its time is up: a write that was sent
    /// to an owner may have been applied, anything else was not.
    fn fail(&mut self, number: RequestId, code: Option<FailureCode>) {
        let Some(operation) = self.operations.get_mut(number) else {
            return;
        };
        let sent = operation.asked > 0 || matches!(operation.task, Task::Handed);
        let is_unknown = sent && operation.write && !planted::is(Bug::TimeoutIsFailure);
        let code = if is_unknown {
            FailureCode::Unknown
        } else {
            code.unwrap_or(FailureCode::NoRoute)
        };
        self.finish(number, &Message::Failed(failure(code)));
    }

    fn finish(&mut self, number: RequestId, message: &Message<'_>) {
        if let Some(operation) = self.operations.remove(number) {
            if operation.is_doubtful && is_refusal(message) {
                let unknown = Message::Failed(failure(FailureCode::Unknown));
                return self.respond(operation.origin, &unknown);
            }
            self.respond(operation.origin, message);
        }
    }

    pub(super) fn respond(&mut self, origin: Origin, message: &Message<'_>) {
        self.counters.count_failure(message);
        respond(&mut self.outbox, origin, message);
    }

    /// Why a request is refused before anything is done for it.
    fn refusal(&self, request: &ClientRequest<'_>) -> Option<Failed> {
        let ClientRequest::Put { value, .. } = request else {
            return None;
        };
        let value_max = self.config.params.value_max;
        if !value.is_empty() && value.len() <= value_max as usize {
            return None;
        }
        let bytes = value.len();
        let reason = format!("a value has 1 to {value_max} bytes, this one has {bytes}");
        Some(Failed {
            code: FailureCode::Invalid,
            reason,
        })
    }

    fn operation(&self, origin: Origin, task: Task, position: Id, now: Now) -> Operation {
        let write = matches!(task, Task::Shard(ShardOp::Put { .. } | ShardOp::Delete(_)));
        let held_bytes = match &task {
            Task::Shard(op) => op.request().value_bytes(),
            Task::Lookup(_) | Task::Handed => 0,
        };
        Operation {
            origin,
            held_bytes,
            stage: if matches!(task, Task::Handed) {
                Stage::Shard
            } else {
                Stage::Lookup
            },
            write,
            task,
            position,
            started: now.mono,
            deadline: now.mono + self.config.request_deadline,
            route: Route::default(),
            asked: 0,
            failures: 0,
            is_doubtful: false,
        }
    }

    /// Whether another operation that holds `bytes` of a value may be under way.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let held_bytes = self.operations.held_bytes() + self.waiting.held_bytes();
        self.operations.len() + self.waiting.len() < self.config.operations_max
            && held_bytes + bytes <= self.config.operations_bytes_max
    }

    /// Takes an operation in, or refuses it when too many, or too large ones, are under way.
    fn admit(&mut self, operation: Operation) -> Option<RequestId> {
        if !self.has_room(operation.held_bytes) {
            let code = if operation.is_doubtful {
                FailureCode::Unknown
            } else {
                FailureCode::Overloaded
            };
            self.respond(operation.origin, &Message::Failed(failure(code)));
            return None;
        }
        self.sweep_by
            .get_or_insert(operation.started + SWEEP_INTERVAL);
        Some(self.operations.insert(operation))
    }
}

/// What has become of a request before it is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Before {
    /// An earlier owner may have applied it.
    pub(super) is_doubtful: bool,
    /// Its client waits until then, wherever it is served.
    pub(super) deadline: Duration,
}

/// Who has a request after it was handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taker {
    /// This core's shard: from now on it keeps the order of the requests on a key.
    Shard,
    /// Another core or node, or nobody, because it was refused.
    Other,
}

/// Sends an answer to whoever waits for it.
pub(super) fn respond(outbox: &mut super::outbox::Outbox, origin: Origin, message: &Message<'_>) {
    match origin {
        Origin::Front(ticket) => {
            if let Some(answer) = ClientAnswer::of(message) {
                outbox.push(Output::Answer { ticket, answer });
            }
        }
        Origin::Client(reply) | Origin::Gateway(reply) => outbox.answer(reply, message),
    }
}

/// Whether a message says that nothing was changed: of a write that an earlier owner may have
/// applied nobody can say so.
pub(super) fn is_refusal(message: &Message<'_>) -> bool {
    matches!(message, Message::Failed(failed) if failed.code != FailureCode::Unknown)
}

pub(super) fn failure(code: FailureCode) -> Failed {
    let reason = match code {
        FailureCode::Unknown => "the owner did not answer in time: the write may or may not count",
        FailureCode::NoRoute => "no owner of the key answered in time: nothing was changed",
        FailureCode::Overloaded => "too many requests are under way on this node: try again",
        FailureCode::NotMember => "this node is not a member of a ring now: try again",
        FailureCode::Invalid => "the request is not valid",
        FailureCode::Forbidden => "the certificate does not allow this request",
        FailureCode::MemoryFull => "the memory cap is reached: nothing was changed",
        FailureCode::StorageFull => {
            "the owner's disk is full: nothing was changed, try again later"
        }
        FailureCode::StorageFailed => "the owner's disk failed: nothing was changed",
    };
    Failed {
        code,
        reason: reason.to_owned(),
    }
}

/// An owner that was asked gets this many of its retransmission timeouts.
const OWNER_PATIENCE_RTOS: u32 = 4;
/// Shortest time an owner gets to answer a read.
const READ_PATIENCE_MIN: Duration = Duration::from_millis(250);
/// Shortest time an owner gets to answer a write: asking twice is worse than waiting.
const WRITE_PATIENCE_MIN: Duration = Duration::from_secs(1);
/// First pause before an owner is looked up again; doubles up to [`PAUSE_DOUBLINGS`] times.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_DOUBLINGS: u16 = 5;
/// How often operations under way are looked over for deadlines.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_millis(20);
