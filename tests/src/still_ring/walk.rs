//! One lookup from its start to its end: whatever a router sends is delivered at once, in the order
//! it was sent, and nothing waits for time to pass. A lookup gets a single attempt.

use std::collections::VecDeque;
use std::time::Duration;

use proto::chord::{LookupResult, RouterOutput};
use proto::id::Id;
use proto::message::{LookupFailure, LookupMode, Message, ReplyTo, RequestId};
use proto::peer::NodeName;
use proto::time::Now;

use super::{StillRing, Traffic};

/// What became of a lookup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walked {
    /// The owner, or why there is none.
    pub result: LookupResult,
    /// What was sent for it; nothing unless the ring weighs.
    pub traffic: Traffic,
    dead: Vec<usize>,
}

impl Walked {
    /// Nodes contacted other than the origin, the owner included; 0 of a lookup that failed.
    #[must_use]
    pub fn rpcs(&self) -> u64 {
        let found = self.result.as_ref();
        found.map_or(0, |found| u64::from(found.route.rpcs))
    }

    /// Nodes contacted other than the origin, up to the predecessor of the position: what the
    /// papers call the path length.
    #[must_use]
    pub fn forwards(&self) -> u64 {
        self.rpcs().saturating_sub(1)
    }

    /// Different dead nodes met.
    #[must_use]
    pub fn dead_met(&self) -> u64 {
        self.dead.len() as u64
    }

    /// Attempts to reach a dead node: another hop may try the same one again.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        let found = self.result.as_ref();
        found.map_or(0, |found| u64::from(found.route.timeouts))
    }
}

impl StillRing {
    /// Looks the owner of `target` up from host `origin`.
    pub fn lookup(&mut self, origin: usize, target: Id, mode: LookupMode) -> Walked {
        self.make_room();
        self.clock += BETWEEN_LOOKUPS;
        let now = self.now();
        // A deadline that is now leaves one attempt.
        let deadline = now.mono;
        let router = self.router(origin);
        router.lookup(TICKET, target, mode, None, deadline, now);
        let mut walk = Walk {
            active: VecDeque::from([origin]),
            result: None,
            traffic: Traffic::default(),
            dead: Vec::new(),
        };
        while let Some(host) = walk.active.pop_front() {
            while let Some(output) = self.router(host).poll_output() {
                self.deliver(host, output, &mut walk);
            }
        }
        Walked {
            result: walk.result.unwrap_or(Err(LookupFailure::Deadline)),
            traffic: walk.traffic,
            dead: walk.dead,
        }
    }

    fn deliver(&mut self, from: usize, output: RouterOutput, walk: &mut Walk) {
        match output {
            RouterOutput::Ask {
                to,
                request,
                message,
            } => {
                self.weigh(&message, walk);
                let now = self.now();
                let number = self.number(&to);
                if self.is_dead[number] {
                    if !walk.dead.contains(&number) {
                        walk.dead.push(number);
                    }
                    return self.router(from).handle_unreachable(&to, now);
                }
                self.ask(from, number, request, message);
                walk.active.push_back(number);
            }
            RouterOutput::Tell { to, message } => {
                self.weigh(&message, walk);
                let number = self.number(&to);
                self.tell(from, number, message);
                walk.active.push_back(number);
            }
            RouterOutput::Answer { reply, message } => {
                self.weigh(&message, walk);
                let number = usize::try_from(reply.link).expect("the number of a host");
                let (name, now) = (self.name(from), self.now());
                let router = self.router(number);
                let verdict = router.handle_answer(reply.request, &name, &message, now);
                verdict.expect("answers come from who was asked");
                walk.active.push_back(number);
            }
            RouterOutput::Done { ticket, result } => {
                assert_eq!(ticket, TICKET, "one lookup at a time");
                assert!(walk.result.is_none(), "a lookup ends once");
                walk.result = Some(result);
            }
        }
    }

    fn ask(&mut self, from: usize, to: usize, request: RequestId, message: Message<'static>) {
        let (name, now) = (self.name(from), self.now());
        let reply = ReplyTo {
            core: 0,
            link: from as u64,
            request,
        };
        let router = self.router(to);
        match message {
            Message::FindSuccessor(find) => router.handle_find(reply, &name, find, now),
            Message::NextHop(step) => router.handle_next_hop(reply, &step, now),
            other => panic!("a router does not ask {other:?}"),
        }
    }

    fn tell(&mut self, from: usize, to: usize, message: Message<'static>) {
        let (name, now) = (self.name(from), self.now());
        let router = self.router(to);
        match message {
            Message::Found(found) => {
                let verdict = router.handle_found(&name, found, now);
                verdict.expect("owners speak for themselves");
            }
            Message::LookupFailed(failed) => router.handle_lookup_failed(&failed, now),
            other => panic!("a router does not tell {other:?}"),
        }
    }

    fn weigh(&self, message: &Message<'_>, walk: &mut Walk) {
        if self.setup.weighs {
            walk.traffic.add(message);
        }
    }

    fn name(&self, host: usize) -> NodeName {
        self.hosts[host].clone()
    }

    fn now(&self) -> Now {
        Now {
            mono: self.clock,
            wall_ms: 0,
        }
    }
}

/// A lookup under way.
struct Walk {
    /// Hosts that may have something to send.
    active: VecDeque<usize>,
    result: Option<LookupResult>,
    traffic: Traffic,
    dead: Vec<usize>,
}

const TICKET: u64 = 1;

/// Longer than a router avoids a node that did not answer.
const BETWEEN_LOOKUPS: Duration = Duration::from_secs(10);
