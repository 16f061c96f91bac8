//! Carrying messages between hosts: what the machines want is sent, delayed, counted and handed
//! over, and their timers go off.

use std::time::Duration;

use proto::chord::{ChordOutput, LookupResult, RouterOutput};
use proto::id::Id;
use proto::message::{LookupMode, Message, ReplyTo, RequestId};
use proto::peer::NodeName;

use super::host::{Host, Slot, index, name};
use super::life::{Notice, TAG_RING};
use super::{Ended, RingNet};

/// What happens on the network.
#[derive(Debug)]
pub(super) enum Event {
    /// A message arrives.
    Arrive(Box<Packet>),
    /// A timer of this host may be due.
    Timer(u32),
    /// `to` hears that `node` cannot be reached.
    Lost { to: u32, node: u32 },
}

/// A message under way.
#[derive(Debug)]
pub(super) struct Packet {
    from: u32,
    to: u32,
    /// It serves a lookup that was asked for.
    asked: bool,
    /// Of the answer to such a lookup: whether it names the true owner at the moment it is given.
    correct: Option<bool>,
    what: What,
}

#[derive(Debug)]
enum What {
    Request(RequestId, Message<'static>),
    OneWay(Message<'static>),
    Answer(RequestId, Message<'static>),
}

impl RingNet {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(packet) => self.deliver(*packet),
            Event::Timer(host) => self.expire(host),
            Event::Lost { to, node } => self.lose(to, node),
        }
    }

    /// Carries out everything a host wants.
    pub(super) fn pump(&mut self, at: u32) {
        loop {
            let now = self.time();
            let Slot::Up(host) = &mut self.hosts[at as usize] else {
                return;
            };
            if let Some(view) = host.ring.poll_view() {
                for router in &mut host.routers {
                    router.set_view(view.clone());
                }
                self.note_phase(at);
            } else if let Some(output) = host.ring.poll_output() {
                self.do_ring(at, output);
            } else if let Some(output) = next_of_routers(host) {
                match output {
                    RouterOutput::Done { ticket, result } if ticket & RING_TICKET != 0 => {
                        host.ring.handle_lookup(ticket & !RING_TICKET, result, now);
                    }
                    other => self.do_router(at, other),
                }
            } else {
                return self.rest(at);
            }
        }
    }

    fn do_ring(&mut self, at: u32, output: ChordOutput) {
        match output {
            ChordOutput::Lookup {
                ticket,
                target,
                via,
                deadline,
            } => {
                let now = self.time();
                if let Slot::Up(host) = &mut self.hosts[at as usize] {
                    let (ticket, mode) = (ticket | RING_TICKET, LookupMode::Recursive);
                    host.routers[0].lookup(ticket, target, mode, via, deadline, now);
                }
            }
            ChordOutput::Ask {
                to,
                request,
                message,
            } => self.send(at, index(&to), What::Request(request, message), false),
            ChordOutput::Tell { to, message } => {
                self.send(at, index(&to), What::OneWay(message), false);
            }
            ChordOutput::Answer { reply, message } => self.reply(at, reply, message),
        }
    }

    fn do_router(&mut self, at: u32, output: RouterOutput) {
        match output {
            RouterOutput::Done { ticket, result } => self.end_lookup(at, ticket, result),
            RouterOutput::Ask {
                to,
                request,
                message,
            } => {
                let asked = self.is_asked(at, &message);
                self.send(at, index(&to), What::Request(request, message), asked);
            }
            RouterOutput::Tell { to, message } => {
                let asked = self.is_asked(index(&to), &message);
                self.send(at, index(&to), What::OneWay(message), asked);
            }
            RouterOutput::Answer { reply, message } => self.reply(at, reply, message),
        }
    }

    /// Everything is carried out: the host waits for a message or its next timer, or ends.
    fn rest(&mut self, at: u32) {
        let Slot::Up(host) = &mut self.hosts[at as usize] else {
            return;
        };
        if let Some(notice) = host.leaving.filter(|_| host.ring.has_left()) {
            return self.crash(at, notice);
        }
        if let Some(due) = host.due().filter(|due| *due < host.armed) {
            host.armed = due;
            self.queue.push(due, Event::Timer(at));
        }
    }

    fn expire(&mut self, at: u32) {
        let now = self.time();
        let Slot::Up(host) = &mut self.hosts[at as usize] else {
            return;
        };
        if host.armed > now.mono {
            // A later event is in the queue for the same host.
            return;
        }
        host.armed = Duration::MAX;
        if host.due().is_some_and(|due| due <= now.mono) {
            host.ring.handle_timeout(now);
            for router in &mut host.routers {
                router.handle_timeout(now);
            }
            self.pump(at);
        } else {
            self.rest(at);
        }
    }

    fn lose(&mut self, to: u32, node: u32) {
        let now = self.time();
        if let Slot::Gone(gone) = &mut self.hosts[node as usize] {
            gone.linked_by.remove(&to);
        }
        if let Slot::Up(host) = &mut self.hosts[to as usize] {
            let node = name(node);
            host.ring.handle_unreachable(&node, now);
            for router in &mut host.routers {
                router.handle_unreachable(&node, now);
            }
            self.pump(to);
        }
    }

    fn deliver(&mut self, packet: Packet) {
        let now = self.time();
        let Slot::Up(host) = &mut self.hosts[packet.to as usize] else {
            return;
        };
        let from = &name(packet.from);
        host.given = packet.correct;
        let verdict = match packet.what {
            What::Request(request, message) => {
                let reply = ReplyTo {
                    core: 0,
                    link: u64::from(packet.from) << 1 | u64::from(packet.asked),
                    request,
                };
                take_request(host, reply, from, message, now)
            }
            What::OneWay(Message::Found(found)) => {
                let router = &mut host.routers[usize::from(found.lookup.core())];
                router.handle_found(from, found, now)
            }
            What::OneWay(Message::LookupFailed(failed)) => {
                let router = &mut host.routers[usize::from(failed.lookup.core())];
                router.handle_lookup_failed(&failed, now);
                Ok(())
            }
            What::OneWay(message) => {
                let reply = ReplyTo {
                    core: 0,
                    link: 0,
                    request: RequestId(0),
                };
                host.ring.handle_request(reply, from, &message, now)
            }
            What::Answer(request, message) if request.tag() == TAG_RING => {
                host.ring.handle_answer(request, from, &message, now)
            }
            What::Answer(request, message) => {
                let router = &mut host.routers[usize::from(request.core())];
                router.handle_answer(request, from, &message, now)
            }
        };
        assert_eq!(verdict, Ok(()), "honest hosts do not misbehave");
        self.pump(packet.to);
        if let Slot::Up(host) = &mut self.hosts[packet.to as usize] {
            host.given = None;
        }
    }

    fn reply(&mut self, at: u32, reply: ReplyTo, message: Message<'static>) {
        let to = u32::try_from(reply.link >> 1).expect("the number of a host");
        let what = What::Answer(reply.request, message);
        self.send(at, to, what, reply.link & 1 != 0);
    }

    fn send(&mut self, from: u32, to: u32, what: What, asked: bool) {
        assert_ne!(from, to, "nobody dials itself: {what:?}");
        let (request, message, is_reply) = match &what {
            What::Request(request, message) => (*request, message, false),
            What::OneWay(message) => (RequestId(0), message, false),
            What::Answer(request, message) => (*request, message, true),
        };
        self.traffic.count(asked, request, message);
        let correct = match message {
            Message::Found(found) if asked => {
                let target = self.target_of(to, found.lookup);
                target.map(|target| self.owner(&target) == Some(found.owner.id()))
            }
            _ => None,
        };
        let delay = self.plan.delay.draw(from, to, &mut self.dice);
        match &mut self.hosts[to as usize] {
            Slot::Up(host) => {
                let mut leaves = self.now;
                if !is_reply {
                    let handshakes = delay * 2 * self.plan.handshakes;
                    let up = host.linked_by.entry(from).or_insert(self.now + handshakes);
                    leaves = leaves.max(*up);
                }
                let packet = Packet {
                    from,
                    to,
                    asked,
                    correct,
                    what,
                };
                let event = Event::Arrive(Box::new(packet));
                self.queue.push(leaves + delay, event);
            }
            Slot::Gone(_) if is_reply => {}
            Slot::Gone(gone) => {
                let after = match gone.notice {
                    Notice::AtOnce => delay * 2,
                    Notice::Never => return,
                    // What is sent over a link that does not know yet is lost.
                    Notice::Keepalive if gone.linked_by.contains_key(&from) => return,
                    Notice::Keepalive => DIAL_DEADLINE,
                };
                let lost = Event::Lost { to: from, node: to };
                self.queue.push(self.now + after, lost);
            }
        }
    }

    /// Whether a message from or to `at` serves a lookup that was asked for there.
    fn is_asked(&mut self, at: u32, message: &Message<'_>) -> bool {
        let (origin, lookup) = match message {
            Message::FindSuccessor(find) => (index(find.origin.name()), find.lookup),
            Message::Found(found) => (at, found.lookup),
            Message::LookupFailed(failed) => (at, failed.lookup),
            _ => return false,
        };
        let Slot::Up(host) = &mut self.hosts[origin as usize] else {
            return false;
        };
        if let Some(ticket) = host.beginning.take_if(|_| origin == at)
            && let Some(waiting) = host.waiting.get_mut(&ticket)
        {
            waiting.lookup = Some(lookup);
            host.asked.insert(lookup, ticket);
        }
        host.asked.contains_key(&lookup)
    }

    /// What a lookup that was asked for at `origin` looks for.
    fn target_of(&self, origin: u32, lookup: RequestId) -> Option<Id> {
        let host = self.hosts[origin as usize].up()?;
        let ticket = host.asked.get(&lookup)?;
        host.waiting.get(ticket).map(|waiting| waiting.target)
    }

    fn end_lookup(&mut self, at: u32, ticket: u64, result: LookupResult) {
        let Slot::Up(host) = &mut self.hosts[at as usize] else {
            return;
        };
        let waiting = host.waiting.remove(&ticket);
        let waiting = waiting.expect("a lookup ends once");
        if let Some(lookup) = waiting.lookup {
            host.asked.remove(&lookup);
        }
        let given = host.given;
        let owner = self.owner(&waiting.target);
        let named = result.as_ref().ok().map(|found| found.owner.id());
        self.ended.push_back(Ended {
            ticket,
            core: waiting.core,
            began: waiting.began,
            at: self.now,
            correct: named.is_some() && given.unwrap_or(named == owner),
            result,
        });
    }
}

fn next_of_routers(host: &mut Host) -> Option<RouterOutput> {
    host.routers
        .iter_mut()
        .find_map(proto::chord::Router::poll_output)
}

/// Requests of lookups stay on the core that has the same number as the asking one.
fn take_request(
    host: &mut Host,
    reply: ReplyTo,
    from: &NodeName,
    message: Message<'static>,
    now: proto::time::Now,
) -> Result<(), proto::chord::Misbehaviour> {
    let router = &mut host.routers[usize::from(reply.request.core())];
    match message {
        Message::FindSuccessor(find) => {
            router.handle_find(reply, from, find, now);
            Ok(())
        }
        Message::NextHop(ask) => {
            router.handle_next_hop(reply, &ask, now);
            Ok(())
        }
        other => host.ring.handle_request(reply, from, &other, now),
    }
}

/// Marks the tickets of lookups that the ring makes for itself.
const RING_TICKET: u64 = 1 << 63;

/// How long a dial into nothing takes to fail, as in the runtime.
const DIAL_DEADLINE: Duration = Duration::from_secs(2);
