//! Clients of a world: what they ask, what they hear, and that they hear something in time. What
//! it means is judged by `history`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use node::engine::request::{ClientAnswer, ClientRequest, Ticket};
use proto::id::Id;
use proto::message::{FailureCode, LookupAnswer, LookupMode, Route};

use super::happening::NodeState;
use super::history::{History, Sight, WriteId};
use super::marks::{Mark, Marks};
use super::swarm::Load;
use super::world::World;
use crate::dice::Dice;
use crate::log_oracle::Found;
use crate::log_script::key_of;

/// The requests under way.
pub(super) struct Clients {
    asked: BTreeMap<Ticket, Asked>,
    /// A request whose answer somebody waits for.
    awaited: Option<Ticket>,
    /// That answer.
    answer: Option<ClientAnswer>,
    /// Requests of clients whose node has ended: an answer may have been on its way.
    forgotten: BTreeSet<Ticket>,
    /// Until when a node was stopped.
    excused: BTreeMap<usize, Duration>,
    dice: Dice,
}

/// A request under way.
struct Asked {
    what: What,
    node: usize,
    /// When an answer must be there.
    by: Duration,
    sent: Sight,
    /// Whether the node that was asked owned the key.
    is_own: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Put(WriteId),
    Delete(WriteId),
    Get,
    Lookup(Id),
}

impl Clients {
    /// Nothing is asked.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            asked: BTreeMap::new(),
            awaited: None,
            answer: None,
            forgotten: BTreeSet::new(),
            excused: BTreeMap::new(),
            dice: Dice::new(seed ^ 0xc11e_0475),
        }
    }

    /// Asks something of a random node.
    pub(super) fn ask_any(&mut self, world: &mut World, history: &mut History, load: &Load) {
        let node = self.dice.index(world.setup().nodes);
        if world.state(node) != NodeState::Serving {
            return;
        }
        let key = self.dice.index(load.keys);
        let roll = self.dice.below(load.of);
        if roll < load.puts {
            let bytes = 8 + self.dice.below(load.bytes_max - 7);
            let bytes = usize::try_from(bytes).expect("short values");
            let ttl_s = if self.dice.one_in(load.short_one_in) {
                u32::try_from(1 + self.dice.below(4)).expect("seconds")
            } else {
                0
            };
            self.put(world, history, node, key, bytes, ttl_s);
        } else if roll < load.puts + load.deletes {
            self.delete(world, history, node, key);
        } else if roll < load.puts + load.deletes + load.lookups {
            let target = Id::from_high(self.dice.roll());
            let mode = [
                LookupMode::Cached,
                LookupMode::Recursive,
                LookupMode::Iterative,
                LookupMode::Traced,
            ][self.dice.index(4)];
            self.look_up(world, history, node, target, mode);
        } else {
            self.get(world, history, node, key);
        }
    }

    /// Puts a value through a node.
    pub(super) fn put(
        &mut self,
        world: &mut World,
        history: &mut History,
        node: usize,
        key: usize,
        bytes: usize,
        ttl_s: u32,
    ) -> Option<Ticket> {
        let sent = sight(world, history, key);
        let id = history.put(sent.clone(), bytes, ttl_s);
        let value = history.value(id);
        let request = ClientRequest::Put {
            key: name(key),
            ttl_s,
            replication: 0,
            value: &value,
        };
        let ticket = self.ask(world, node, &request, What::Put(id), sent);
        if ticket.is_none() {
            history.refused(id);
        }
        ticket
    }

    /// Deletes a key through a node.
    pub(super) fn delete(
        &mut self,
        world: &mut World,
        history: &mut History,
        node: usize,
        key: usize,
    ) -> Option<Ticket> {
        let sent = sight(world, history, key);
        let id = history.delete(sent.clone());
        let request = ClientRequest::Delete { key: name(key) };
        let ticket = self.ask(world, node, &request, What::Delete(id), sent);
        if ticket.is_none() {
            history.refused(id);
        }
        ticket
    }

    /// Reads a key through a node.
    pub(super) fn get(
        &mut self,
        world: &mut World,
        history: &History,
        node: usize,
        key: usize,
    ) -> Option<Ticket> {
        let sent = sight(world, history, key);
        let request = ClientRequest::Get { key: name(key) };
        self.ask(world, node, &request, What::Get, sent)
    }

    /// Looks up who owns a position, through a node.
    pub(super) fn look_up(
        &mut self,
        world: &mut World,
        history: &History,
        node: usize,
        target: Id,
        mode: LookupMode,
    ) -> Option<Ticket> {
        let sent = sight(world, history, 0);
        let request = ClientRequest::Lookup { target, mode };
        self.ask(world, node, &request, What::Lookup(target), sent)
    }

    fn ask(
        &mut self,
        world: &mut World,
        node: usize,
        request: &ClientRequest<'_>,
        what: What,
        sent: Sight,
    ) -> Option<Ticket> {
        let core = self.dice.index(usize::from(world.setup().cores));
        let core = u8::try_from(core).expect("few cores");
        let is_own = request.key().is_some_and(|key| {
            let ring = world.core(node, 0).and_then(|core| core.ring());
            let owner = ring.map(|ring| ring.view().owner_of(&key.position()).is_some());
            owner.unwrap_or(false)
        });
        let ticket = world.ask(node, core, request)?;
        let excused = self.excused.get(&node).copied().unwrap_or_default();
        let by = world.now().max(excused) + world.setup().request_deadline + ANSWER_SLACK;
        let asked = Asked {
            what,
            node,
            by,
            sent,
            is_own,
        };
        self.asked.insert(ticket, asked);
        Some(ticket)
    }

    /// Takes the answers over and has them judged.
    pub(super) fn hear(
        &mut self,
        world: &mut World,
        history: &mut History,
        marks: &mut Marks,
    ) -> Result<(), String> {
        while let Some((node, ticket, answer)) = world.poll_answer() {
            self.take(node, ticket, answer, world, history, marks)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        node: usize,
        ticket: Ticket,
        answer: ClientAnswer,
        world: &World,
        history: &mut History,
        marks: &mut Marks,
    ) -> Result<(), String> {
        if self.forgotten.remove(&ticket) {
            return Ok(());
        }
        let Some(asked) = self.asked.remove(&ticket) else {
            return Err(format!("node {node} answers {ticket:?} again: {answer:?}"));
        };
        let steps = mark(&answer, marks);
        if steps > STEPS_MAX {
            return Err(format!(
                "node {node} answers {ticket:?} after {steps} steps"
            ));
        }
        let key = asked.sent.key;
        let now = sight(world, history, key);
        asked
            .judge(&answer, history, &now)
            .map_err(|why| format!("node {node} answers {ticket:?}: {why}"))?;
        if self.awaited == Some(ticket) {
            self.awaited = None;
            self.answer = Some(answer);
        }
        Ok(())
    }

    /// The answer to this request is kept for [`Clients::take_awaited`].
    pub(super) fn await_answer(&mut self, ticket: Ticket) {
        self.awaited = Some(ticket);
        self.answer = None;
    }

    /// The answer that was awaited, when it has come.
    pub(super) fn take_awaited(&mut self) -> Option<ClientAnswer> {
        self.answer.take()
    }

    /// A node's process has ended: it answers nothing any more.
    pub(super) fn forget(&mut self, node: usize, history: &mut History) {
        let forgotten = &mut self.forgotten;
        self.asked.retain(|ticket, asked| {
            if asked.node == node {
                forgotten.insert(*ticket);
                asked.give_up(history);
            }
            asked.node != node
        });
    }

    /// A node is stopped for so long: it gets that much more time to answer, and what it is asked
    /// meanwhile waits as well.
    pub(super) fn excuse(&mut self, node: usize, time: Duration, now: Duration) {
        self.excused.insert(node, now + time);
        let asked = self.asked.values_mut();
        asked
            .filter(|asked| asked.node == node)
            .for_each(|asked| asked.by += time);
    }

    /// Whether every request was answered in time.
    pub(super) fn check_deadlines(&self, world: &World) -> Result<(), String> {
        let is_late =
            |asked: &Asked| asked.by < world.now() && world.state(asked.node) == NodeState::Serving;
        let mut late = self.asked.iter().filter(|(_, asked)| is_late(asked));
        late.next().map_or(Ok(()), |(ticket, asked)| {
            let Asked {
                what, node, sent, ..
            } = asked;
            let (key, at) = (sent.key, sent.at);
            Err(format!(
                "{ticket:?} of {at:?} at node {node} has no answer: {what:?} of key {key}"
            ))
        })
    }
}

impl Asked {
    fn judge(
        &self,
        answer: &ClientAnswer,
        history: &mut History,
        now: &Sight,
    ) -> Result<(), String> {
        match (self.what, answer) {
            (What::Put(id) | What::Delete(id), ClientAnswer::Stored(stored)) => {
                history.stored(id, stored.version, self.may_repeat(stored.route), now)
            }
            (What::Delete(id), ClientAnswer::Absent(route)) => {
                let host = self.host(*route);
                history.found_absent(id, host, self.may_repeat(*route), now)
            }
            (What::Put(id) | What::Delete(id), ClientAnswer::Failed(failed)) => {
                if failed.code == FailureCode::Unknown {
                    history.unknown(id);
                } else {
                    history.refused(id);
                }
                Ok(())
            }
            (
                What::Get,
                ClientAnswer::Value {
                    version,
                    expiry_ms,
                    value,
                    ..
                },
            ) => {
                let found = Found {
                    version: *version,
                    expiry_ms: *expiry_ms,
                    value: value.clone(),
                };
                history.read(&self.sent, &found, now)
            }
            (What::Get, ClientAnswer::Absent(route)) => {
                history.absent(&self.sent, self.host(*route), now)
            }
            (What::Lookup(target), ClientAnswer::Owner(found)) => check_owner(target, found),
            (What::Get | What::Lookup(_), ClientAnswer::Failed(_)) => Ok(()),
            (what, answer) => Err(format!("{what:?} is answered by {answer:?}")),
        }
    }

    /// Whether a write with this answer may have reached an owner more than once: a silent owner
    /// was asked again. An answer of the node itself does not say whom it asked before.
    fn may_repeat(&self, route: Route) -> bool {
        route.timeouts > 0 || (route.rpcs == 0 && !self.is_own)
    }

    /// Who said that there is nothing, when that is known.
    fn host(&self, route: Route) -> Option<usize> {
        (route.rpcs == 0).then_some(self.node)
    }

    fn give_up(&self, history: &mut History) {
        match self.what {
            What::Put(id) | What::Delete(id) => history.unknown(id),
            What::Get | What::Lookup(_) => {}
        }
    }
}

/// The owner of a position is a member whose arc holds it.
fn check_owner(target: Id, found: &LookupAnswer) -> Result<(), String> {
    let owner = found.owner.id();
    let Some(predecessor) = &found.predecessor else {
        return Ok(());
    };
    if owner == target || target.is_between(&predecessor.id(), &owner) {
        return Ok(());
    }
    Err(format!("{target:?} is not in the arc of {owner:?}"))
}

/// What is promised of a key now.
pub(super) fn sight(world: &World, history: &History, key: usize) -> Sight {
    history.sight(key, world.now(), &walls(world))
}

/// What the wall clocks of all hosts read.
pub(super) fn walls(world: &World) -> Vec<u64> {
    let nodes = 0..world.setup().nodes;
    nodes.map(|node| world.clocks(node).wall_ms).collect()
}

fn name(key: usize) -> proto::key::Key {
    key_of(u16::try_from(key).expect("few keys"))
}

/// Notes the rare paths that an answer tells of; how many steps led to the owner.
fn mark(answer: &ClientAnswer, marks: &mut Marks) -> u8 {
    let route = match answer {
        ClientAnswer::Stored(stored) => stored.route,
        ClientAnswer::Value { route, .. } | ClientAnswer::Absent(route) => *route,
        ClientAnswer::Owner(found) => found.route,
        ClientAnswer::Failed(failed) => {
            match failed.code {
                FailureCode::Unknown => marks.hit(Mark::UnknownAnswer),
                FailureCode::NoRoute => marks.hit(Mark::NoRouteAnswer),
                FailureCode::NotMember => marks.hit(Mark::NotMemberAnswer),
                FailureCode::Overloaded => marks.hit(Mark::OverloadedAnswer),
                FailureCode::MemoryFull => marks.hit(Mark::MemoryFull),
                FailureCode::Invalid
                | FailureCode::Forbidden
                | FailureCode::StorageFull
                | FailureCode::StorageFailed => {}
            }
            return 0;
        }
    };
    marks.hit_if(Mark::ArcCacheHit, route.cached);
    marks.hit_if(Mark::DeadHopPassed, route.timeouts > 0);
    marks.hit_if(Mark::LongWay, route.rpcs >= 3);
    route.rpcs
}

/// No lookup takes more steps: above the hop limit, 2·log2 N + s, of any ring simulated here, also
/// when its members judge its size by neighbours that lie close together.
const STEPS_MAX: u8 = 64;

/// How much later than its deadline an answer may come: sweeps and long turns.
const ANSWER_SLACK: Duration = Duration::from_millis(1_000);
