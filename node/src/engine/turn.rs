//! The end of a turn inside a core: ring and router are drained into each other and into the
//! outbox until nothing moves, and a new routing view is published.

use std::sync::Arc;

use proto::chord::{ChordOutput, LookupResult, Misbehaviour, Ring, RouterOutput};
use proto::codec;
use proto::message::{LookupMode, Message, ReplyTo, RequestId, Role};
use proto::peer::NodeName;
use proto::time::Now;

use super::core::Core;
use super::mail::Mail;
use super::output::Output;
use super::request::AdminAnswer;

impl Core {
    /// Carries the outputs of the parts to each other until all are still.
    pub(super) fn settle(&mut self, now: Now) {
        self.turn_now = now;
        loop {
            let mut moved = self.drain_ring(now);
            self.publish_view();
            moved |= self.drain_router(now);
            if !moved {
                break;
            }
        }
        self.drive_crawl(now);
        self.finish_leave();
    }

    fn drain_ring(&mut self, now: Now) -> bool {
        let mut moved = false;
        while let Some(output) = self.ring.as_mut().and_then(Ring::poll_output) {
            moved = true;
            match output {
                ChordOutput::Ask {
                    to,
                    request,
                    message,
                } => {
                    self.outbox.send(&to, request, &message);
                }
                ChordOutput::Tell { to, message } => {
                    self.outbox.send(&to, RequestId::default(), &message);
                }
                ChordOutput::Answer { reply, message } => self.outbox.answer(reply, &message),
                ChordOutput::Lookup {
                    ticket,
                    target,
                    via,
                    deadline,
                } => {
                    let mode = LookupMode::Recursive;
                    self.counters.lookups_ring += 1;
                    self.router.lookup(ticket, target, mode, via, deadline, now);
                }
            }
        }
        moved
    }

    fn drain_router(&mut self, now: Now) -> bool {
        let mut moved = false;
        while let Some(output) = self.router.poll_output() {
            moved = true;
            match output {
                RouterOutput::Ask {
                    to,
                    request,
                    message,
                } => {
                    self.outbox.send(&to, request, &message);
                }
                RouterOutput::Tell { to, message } if to == self.config.name => {
                    self.tell_home(&message);
                }
                RouterOutput::Tell { to, message } => {
                    self.outbox.send(&to, addressed(&message), &message);
                }
                RouterOutput::Answer { reply, message } => self.outbox.answer(reply, &message),
                RouterOutput::Done { ticket, result } => self.looked_up(ticket, result, now),
            }
        }
        moved
    }

    /// A lookup that another core of this node began has come home to this one.
    fn tell_home(&mut self, message: &Message<'_>) {
        let request = addressed(message);
        let mut frame = Vec::new();
        codec::encode(&mut frame, request, message);
        let reply = ReplyTo {
            core: self.config.core,
            link: NO_LINK,
            request,
        };
        let mail = Mail::Frame {
            reply,
            from: self.config.name.clone(),
            role: Role::Node,
            frame,
        };
        if request.core() < self.config.cores {
            self.outbox.mail(request.core(), mail);
        }
    }

    fn looked_up(&mut self, ticket: u64, result: LookupResult, now: Now) {
        self.counters.count_lookup(&result);
        if ticket & OPERATION_TICKET != 0 {
            self.resolved(RequestId(ticket & !OPERATION_TICKET), result, now);
        } else if let Some(ring) = &mut self.ring {
            ring.handle_lookup(ticket, result, now);
        }
    }

    /// Core 0 hands a changed view to its own router and mails it to the other cores.
    fn publish_view(&mut self) {
        let Some(ring) = &mut self.ring else { return };
        let Some(view) = ring.poll_view() else { return };
        for core in 1..self.config.cores {
            self.outbox.mail(core, Mail::View(Arc::clone(&view)));
        }
        self.take_view(view);
    }

    /// A peer's message to the ring, on core 0.
    pub(super) fn take_ring_message(
        &mut self,
        reply: ReplyTo,
        from: &NodeName,
        message: &Message<'_>,
        now: Now,
    ) -> Result<(), Misbehaviour> {
        match &mut self.ring {
            Some(ring) => ring.handle_request(reply, from, message, now),
            None => Ok(()),
        }
    }

    fn finish_leave(&mut self) {
        if self.leave_tickets.is_empty() || self.ring.as_ref().is_some_and(|ring| !ring.has_left())
        {
            return;
        }
        for ticket in std::mem::take(&mut self.leave_tickets) {
            self.outbox.push(Output::Admin {
                ticket,
                answer: AdminAnswer::Left,
            });
        }
    }
}

/// The end of a lookup travels under the lookup's own number: its core is read off the header.
const fn addressed(message: &Message<'_>) -> RequestId {
    match message {
        Message::Found(found) => found.lookup,
        Message::LookupFailed(failed) => failed.lookup,
        _ => RequestId(0),
    }
}

/// The link of a frame that came over none: no number the shell gives.
const NO_LINK: u64 = u64::MAX;

/// Marks the tickets of operations among a router's lookups: no core number and no virtual node
/// reaches this bit.
pub(super) const OPERATION_TICKET: u64 = 1 << 63;
