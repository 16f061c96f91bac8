//! A network for tests: N hosts, each a [`Ring`] and a [`Router`], on virtual time, with delays,
//! crashes, pauses and partitions. A seed reproduces a run. Speaks the machines' messages
//! unencoded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::id::Id;
use crate::message::{LookupMode, Message, ReplyTo, RequestId, RequestIds};
use crate::peer::{NodeName, Peer, RingParams};
use crate::time::Now;

use super::dice::Dice;
use super::invariant::{MemberState, check, is_ideal};
use super::{
    Chord, ChordConfig, ChordOutput, FingerTable, LookupResult, Pace, Phase, Pointers, Ring,
    Router, RouterConfig, RouterOutput,
};

pub(super) fn params(successors: u8) -> RingParams {
    RingParams {
        ring: "test".into(),
        successors,
        replication: 3,
        virtual_nodes_max: 64,
        value_max: 65_495,
    }
}

pub(super) fn name(index: usize) -> NodeName {
    NodeName::parse(&format!("10.0.0.1:{}", 7000 + index)).unwrap()
}

/// `count` members of as many nodes, sorted by id.
pub(super) fn sorted_peers(params: &RingParams, count: usize) -> Vec<Peer> {
    let peer = |index| Peer::derive(params, &name(index), 0).unwrap();
    let mut peers: Vec<_> = (0..count).map(peer).collect();
    peers.sort_by_key(Peer::id);
    peers
}

pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// What a test ring is made of.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) successors: u8,
    pub(super) finger_bits: u8,
    pub(super) vnodes: u16,
    pub(super) direct: bool,
    pub(super) seed: u64,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            successors: 16,
            finger_bits: 4,
            vnodes: 1,
            direct: true,
            seed,
        }
    }
}

pub(super) struct Host {
    pub(super) ring: Ring,
    pub(super) router: Router,
    pub(super) done: BTreeMap<u64, LookupResult>,
    state: State,
    inbox: Vec<Packet>,
    group: u8,
    due: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Up,
    Down,
    Paused,
}

#[derive(Clone, Debug)]
struct Packet {
    from: NodeName,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Request(RequestId, Message<'static>),
    OneWay(Message<'static>),
    Answer(RequestId, Message<'static>),
    Unreachable,
}

pub(super) struct Net {
    pub(super) plan: Plan,
    pub(super) params: RingParams,
    pub(super) hosts: BTreeMap<NodeName, Host>,
    pub(super) now: Duration,
    pub(super) messages: u64,
    /// Check the invariant after every change.
    pub(super) strict: bool,
    dice: Dice,
    queue: BTreeMap<(Duration, u64), (NodeName, Packet)>,
    links: BTreeSet<(NodeName, NodeName)>,
    sequence: u64,
    tickets: u64,
}

const TAG_RING: u8 = 1;
const TAG_ROUTER: u8 = 2;
const RING_TICKET: u64 = 1 << 63;

impl Net {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            params: params(plan.successors),
            dice: Dice::new(plan.seed),
            plan,
            hosts: BTreeMap::new(),
            now: Duration::from_secs(100),
            messages: 0,
            strict: false,
            queue: BTreeMap::new(),
            links: BTreeSet::new(),
            sequence: 0,
            tickets: 0,
        }
    }

    /// `count` hosts started at the same moment; all but host 0 join through host 0.
    pub(super) fn boot(plan: Plan, count: usize) -> Self {
        let mut net = Self::new(plan);
        for index in (0..count).rev() {
            let bootstrap = if index == 0 { vec![] } else { vec![name(0)] };
            net.start(index, bootstrap);
        }
        net
    }

    /// A ring of `count` hosts that already stands.
    pub(super) fn placed(plan: Plan, count: usize) -> Self {
        let mut net = Self::new(plan);
        let peers = sorted_peers(&net.params, count);
        let listed = usize::from(net.plan.successors).min(count - 1);
        let now = net.time();
        for (rank, me) in peers.iter().enumerate() {
            let pointers = Pointers {
                predecessor: (count > 1).then(|| peers[(rank + count - 1) % count].clone()),
                successors: (1..=listed)
                    .map(|i| peers[(rank + i) % count].clone())
                    .collect(),
                fingers: FingerTable::ideal(net.plan.finger_bits, me, &peers, listed),
            };
            let ids = RequestIds::new(0, TAG_RING, 0);
            let seed = net.dice.roll();
            let config = net.config(vec![name(0)]);
            let chord = Chord::placed(config, ids, me.clone(), seed, pointers, now);
            net.install(me.name().clone(), Ring::of(vec![chord]));
            net.pump(me.name());
        }
        net
    }

    /// Two hosts of two virtual nodes each, in two rings: the first of one with the second of the
    /// other.
    pub(super) fn cross(&mut self, one: &NodeName, two: &NodeName) {
        let now = self.time();
        for (host, other) in [(one, two), (two, one)] {
            let member = |vnode: u16| {
                let peer = |name, vnode| Peer::derive(&self.params, name, vnode).unwrap();
                let partner = peer(other, 1 - vnode);
                let pointers = Pointers {
                    predecessor: Some(partner.clone()),
                    successors: vec![partner],
                    fingers: FingerTable::new(self.plan.finger_bits),
                };
                let ids = RequestIds::new(0, TAG_RING, vnode);
                let config = self.config(vec![one.clone(), two.clone()]);
                let me = peer(host, vnode);
                Chord::placed(config, ids, me, u64::from(vnode), pointers, now)
            };
            let members = vec![member(0), member(1)];
            self.install(host.clone(), Ring::of(members));
            self.pump(host);
        }
    }

    pub(super) fn start(&mut self, index: usize, bootstrap: Vec<NodeName>) {
        let (config, seed) = (self.config(bootstrap), self.dice.roll());
        let ring = Ring::new(&config, &name(index), self.plan.vnodes, 0, TAG_RING, seed);
        self.install(name(index), ring);
        let now = self.time();
        self.hosts.get_mut(&name(index)).unwrap().ring.start(now);
        self.pump(&name(index));
    }

    pub(super) fn leave(&mut self, host: &NodeName) {
        let now = self.time();
        self.hosts.get_mut(host).unwrap().ring.leave(now);
        self.pump(host);
    }

    /// kill −9: whoever has a link to it sees it break, at once.
    pub(super) fn kill(&mut self, host: &NodeName) {
        self.hosts.get_mut(host).unwrap().state = State::Down;
        self.break_links(host);
    }

    /// The power goes: nobody is told.
    pub(super) fn silence(&mut self, host: &NodeName) {
        self.hosts.get_mut(host).unwrap().state = State::Down;
        self.set_group(host, 255);
    }

    pub(super) fn pause(&mut self, host: &NodeName) {
        self.hosts.get_mut(host).unwrap().state = State::Paused;
    }

    /// Continues a paused host; with `broken`, it finds every link of its own broken.
    pub(super) fn resume(&mut self, host: &NodeName, broken: bool) {
        self.hosts.get_mut(host).unwrap().state = State::Up;
        let inbox = std::mem::take(&mut self.hosts.get_mut(host).unwrap().inbox);
        if broken {
            let mine = |link: &(NodeName, NodeName)| link.0 == *host;
            let peers: Vec<_> = self.links.iter().filter(|l| mine(l)).cloned().collect();
            for (_, peer) in peers {
                let packet = Packet {
                    from: peer,
                    what: What::Unreachable,
                };
                self.deliver(host, packet);
            }
        } else {
            inbox
                .into_iter()
                .for_each(|packet| self.deliver(host, packet));
        }
    }

    /// Hosts of different groups do not reach each other.
    pub(super) fn set_group(&mut self, host: &NodeName, group: u8) {
        self.hosts.get_mut(host).unwrap().group = group;
    }

    pub(super) fn names(&self) -> Vec<NodeName> {
        self.hosts.keys().cloned().collect()
    }

    /// Names in the order of their ids.
    pub(super) fn names_in_order(&self) -> Vec<NodeName> {
        let mut peers: Vec<_> = self
            .hosts
            .values()
            .map(|host| host.ring.members()[0].me().clone())
            .collect();
        peers.sort_by_key(Peer::id);
        peers.into_iter().map(|peer| peer.name().clone()).collect()
    }

    pub(super) fn is_up(&self, host: &NodeName) -> bool {
        self.hosts[host].state == State::Up
    }

    pub(super) fn run(&mut self, span: Duration) {
        self.run_to(self.now + span, |_| false);
    }

    /// Runs until every live member's pointers are ideal.
    pub(super) fn settle(&mut self, within: Duration) -> Duration {
        let start = self.now;
        let done = |net: &Self| net.is_ideal();
        assert!(
            self.run_to(self.now + within, done),
            "not ideal after {within:?}, seed {}:\n{}",
            self.plan.seed,
            self.dump()
        );
        self.now - start
    }

    pub(super) fn is_ideal(&self) -> bool {
        let up = self.hosts.values().filter(|host| host.state == State::Up);
        let complete = up.clone().all(|host| host.ring.is_complete());
        complete && is_ideal(&self.states(), usize::from(self.plan.successors))
    }

    pub(super) fn states(&self) -> Vec<MemberState> {
        let mut states = Vec::new();
        for host in self.hosts.values().filter(|host| host.state != State::Down) {
            for member in host.ring.snapshots() {
                states.push(MemberState {
                    id: member.me.id(),
                    predecessor: member.predecessor.as_ref().map(Peer::id),
                    successors: member.successors.iter().map(Peer::id).collect(),
                    live: member.phase == Phase::Member,
                });
            }
        }
        states
    }

    pub(super) fn look(&mut self, at: &NodeName, target: Id, mode: LookupMode) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        let (now, deadline) = (self.time(), self.now + Duration::from_secs(5));
        let host = self.hosts.get_mut(at).unwrap();
        host.router
            .lookup(ticket, target, mode, None, deadline, now);
        self.pump(at);
        ticket
    }

    /// Every live host looks `targets` random positions up; all results, checked against the ids.
    pub(super) fn look_everywhere(
        &mut self,
        targets: usize,
        mode: LookupMode,
    ) -> Vec<LookupResult> {
        let names: Vec<_> = self
            .names()
            .into_iter()
            .filter(|name| self.is_up(name))
            .collect();
        let mut asked = Vec::new();
        for at in &names {
            for _ in 0..targets {
                let parts = [
                    self.dice.roll().to_be_bytes(),
                    self.dice.roll().to_be_bytes(),
                ];
                let target = Id::digest(&[&parts[0], &parts[1]]);
                asked.push((at.clone(), target, self.look(at, target, mode)));
            }
        }
        self.run(Duration::from_millis(5500));
        let mut live: Vec<_> = self.states();
        live.retain(|state| state.live);
        live.sort_by_key(|state| state.id);
        let mut results = Vec::new();
        for (at, target, ticket) in asked {
            let result = self.hosts.get_mut(&at).unwrap().done.remove(&ticket);
            let result = result.expect("every lookup ends by its deadline");
            // A cached arc may be out of date: its owner says so when it is asked.
            if let Some(found) = result.as_ref().ok().filter(|found| !found.route.cached) {
                let rank = live.partition_point(|state| state.id < target);
                let owner = live.get(rank).unwrap_or(&live[0]).id;
                assert_eq!(found.owner.id(), owner, "seed {}", self.plan.seed);
            }
            results.push(result);
        }
        results
    }

    pub(super) fn time(&self) -> Now {
        let wall_ms = u64::try_from(self.now.as_millis()).unwrap();
        Now {
            mono: self.now,
            wall_ms,
        }
    }

    pub(super) fn dump(&self) -> String {
        let mut lines = String::new();
        for host in self.hosts.values() {
            for member in host.ring.snapshots() {
                lines.push_str(&format!(
                    "{:?} {:?} {:?}",
                    host.state, member.phase, member.me
                ));
                let list = &member.successors[..member.successors.len().min(4)];
                lines.push_str(&format!(" pred {:?} succ {list:?}\n", member.predecessor));
            }
        }
        lines
    }

    fn config(&self, bootstrap: Vec<NodeName>) -> ChordConfig {
        ChordConfig {
            params: self.params.clone(),
            stabilize_interval: INTERVAL,
            finger_bits: self.plan.finger_bits,
            pace: Pace::Adaptive,
            bootstrap,
        }
    }

    fn install(&mut self, name: NodeName, ring: Ring) {
        let mut config = RouterConfig::new(self.params.clone(), name.clone());
        config.direct = self.plan.direct;
        let router = Router::new(config, RequestIds::new(0, TAG_ROUTER, 0), self.plan.seed);
        let host = Host {
            ring,
            router,
            done: BTreeMap::new(),
            state: State::Up,
            inbox: Vec::new(),
            group: 0,
            due: None,
        };
        self.hosts.insert(name, host);
    }

    /// Runs until `done` (asked at every tick) or `end`; says whether it was done.
    fn run_to(&mut self, end: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let mut asked = Duration::ZERO;
        while self.now < end {
            if self.now >= asked {
                if done(self) {
                    return true;
                }
                asked = self.now + Duration::from_millis(50);
            }
            let packet = self.queue.first_key_value().map(|((at, _), _)| *at);
            let up = self
                .hosts
                .iter()
                .filter(|(_, host)| host.state == State::Up);
            let timer = up.filter_map(|(name, host)| host.due.map(|due| (due, name)));
            let timer = timer.min().map(|(due, name)| (due, name.clone()));
            match (packet, timer) {
                (packet, Some((due, name))) if packet.is_none_or(|at| due <= at) && due < end => {
                    self.now = self.now.max(due);
                    self.expire(&name);
                }
                (Some(at), _) if at < end => {
                    self.now = self.now.max(at);
                    let (_, (to, packet)) = self.queue.pop_first().unwrap();
                    self.deliver(&to, packet);
                }
                _ => self.now = end,
            }
        }
        done(self)
    }

    fn expire(&mut self, name: &NodeName) {
        let now = self.time();
        let host = self.hosts.get_mut(name).unwrap();
        host.ring.handle_timeout(now);
        host.router.handle_timeout(now);
        self.pump(name);
        let due = self.hosts[name].due;
        assert!(
            due.is_none_or(|due| due > self.now),
            "a timer of {name} stays due"
        );
    }

    fn deliver(&mut self, to: &NodeName, packet: Packet) {
        let now = self.time();
        let Some(host) = self.hosts.get_mut(to) else {
            return;
        };
        match host.state {
            State::Up => {}
            State::Down => return,
            State::Paused => return host.inbox.push(packet),
        }
        let from = &packet.from;
        let verdict = match packet.what {
            What::Request(request, message) => {
                let index = from.port().into();
                let reply = ReplyTo {
                    core: 0,
                    link: index,
                    request,
                };
                match message {
                    Message::FindSuccessor(find) => {
                        host.router.handle_find(reply, from, find, now);
                        Ok(())
                    }
                    Message::NextHop(ask) => {
                        host.router.handle_next_hop(reply, &ask, now);
                        Ok(())
                    }
                    other => host.ring.handle_request(reply, from, &other, now),
                }
            }
            What::OneWay(Message::Found(found)) => host.router.handle_found(from, found, now),
            What::OneWay(Message::LookupFailed(failed)) => {
                host.router.handle_lookup_failed(&failed, now);
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
                host.router.handle_answer(request, from, &message, now)
            }
            What::Unreachable => {
                host.ring.handle_unreachable(from, now);
                host.router.handle_unreachable(from, now);
                Ok(())
            }
        };
        assert_eq!(verdict, Ok(()), "honest hosts do not misbehave");
        self.pump(to);
    }

    /// Carries out everything a host wants.
    fn pump(&mut self, at: &NodeName) {
        loop {
            let now = self.time();
            let host = self.hosts.get_mut(at).unwrap();
            if let Some(view) = host.ring.poll_view() {
                host.router.set_view(Arc::clone(&view));
                self.check_invariant();
            } else if let Some(output) = host.ring.poll_output() {
                match output {
                    ChordOutput::Lookup {
                        ticket,
                        target,
                        via,
                        deadline,
                    } => {
                        let (ticket, mode) = (ticket | RING_TICKET, LookupMode::Recursive);
                        host.router.lookup(ticket, target, mode, via, deadline, now);
                    }
                    ChordOutput::Ask {
                        to,
                        request,
                        message,
                    } => {
                        self.send(at, to, What::Request(request, message));
                    }
                    ChordOutput::Tell { to, message } => self.send(at, to, What::OneWay(message)),
                    ChordOutput::Answer { reply, message } => self.reply(at, reply, message),
                }
            } else if let Some(output) = host.router.poll_output() {
                match output {
                    RouterOutput::Done { ticket, result } if ticket & RING_TICKET != 0 => {
                        host.ring.handle_lookup(ticket & !RING_TICKET, result, now);
                    }
                    RouterOutput::Done { ticket, result } => {
                        let again = host.done.insert(ticket, result);
                        assert_eq!(again, None, "a lookup ends once");
                    }
                    RouterOutput::Ask {
                        to,
                        request,
                        message,
                    } => {
                        self.send(at, to, What::Request(request, message));
                    }
                    RouterOutput::Tell { to, message } => self.send(at, to, What::OneWay(message)),
                    RouterOutput::Answer { reply, message } => self.reply(at, reply, message),
                }
            } else {
                let due = [host.ring.poll_timeout(), host.router.poll_timeout()];
                host.due = due.into_iter().flatten().min();
                return;
            }
        }
    }

    fn check_invariant(&self) {
        if self.strict {
            let violations = check(&self.states(), usize::from(self.plan.successors));
            assert!(
                violations.is_empty(),
                "seed {} at {:?}: {violations:?}\n{}",
                self.plan.seed,
                self.now,
                self.dump()
            );
        }
    }

    fn reply(&mut self, at: &NodeName, reply: ReplyTo, message: Message<'static>) {
        let to = NodeName::parse(&format!("10.0.0.1:{}", reply.link)).unwrap();
        self.send(at, to, What::Answer(reply.request, message));
    }

    fn send(&mut self, from: &NodeName, to: NodeName, what: What) {
        assert_ne!(*from, to, "nobody dials itself: {what:?}");
        self.messages += 1;
        let delay = Duration::from_micros(200 + self.dice.roll() % 2000);
        let group = |name: &NodeName| self.hosts.get(name).map(|host| host.group);
        let is_reply = matches!(what, What::Answer(..));
        match self.hosts.get(&to).map(|host| host.state) {
            _ if group(&to).is_some_and(|other| Some(other) != group(from)) => {
                // Dialling into nothing ends after a while.
                if !is_reply {
                    self.queue_packet(
                        DIAL_TIMEOUT,
                        from,
                        Packet {
                            from: to,
                            what: What::Unreachable,
                        },
                    );
                }
            }
            Some(State::Up | State::Paused) => {
                self.links.insert((from.clone(), to.clone()));
                let packet = Packet {
                    from: from.clone(),
                    what,
                };
                self.queue_packet(delay, &to, packet);
            }
            Some(State::Down) | None => {
                if !is_reply {
                    self.queue_packet(
                        delay,
                        from,
                        Packet {
                            from: to,
                            what: What::Unreachable,
                        },
                    );
                }
            }
        }
    }

    fn queue_packet(&mut self, delay: Duration, to: &NodeName, packet: Packet) {
        self.sequence += 1;
        self.queue
            .insert((self.now + delay, self.sequence), (to.clone(), packet));
    }

    fn break_links(&mut self, host: &NodeName) {
        let links: Vec<_> = self
            .links
            .iter()
            .filter(|link| link.1 == *host)
            .cloned()
            .collect();
        for (peer, dead) in links {
            let packet = Packet {
                from: dead.clone(),
                what: What::Unreachable,
            };
            self.queue_packet(Duration::from_millis(1), &peer, packet);
            self.links.remove(&(peer, dead));
        }
    }
}

/// How long a dial into nothing takes to fail.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
