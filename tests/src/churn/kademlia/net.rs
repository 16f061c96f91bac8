//! The nodes of the model and the messages between them, on virtual time.
//! What a node knows is in `buckets`, how a lookup goes in `search`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::dice::Dice;
use crate::ring_net::{Count, Delay, Queue};

use super::buckets::{Buckets, Contact};
use super::search::{Aim, Search};
use super::{K, PATIENCE, REFRESH, RPC_PATIENCE};

/// All nodes of the model.
#[derive(Debug)]
pub(super) struct Net {
    nodes: Vec<Node>,
    /// Nodes that are up and have joined.
    members: Vec<Contact>,
    queue: Queue<Event>,
    now: Duration,
    delay: Delay,
    dice: Dice,
    ended: VecDeque<Ended>,
    upkeep: Count,
    asked: Count,
}

#[derive(Debug)]
struct Node {
    me: Contact,
    is_up: bool,
    buckets: Buckets,
    searches: BTreeMap<u64, Search>,
    /// Requests that wait: whom they went to, and the lookup they serve.
    waiting: BTreeMap<u64, (Contact, Why)>,
    next: u64,
}

/// What a request is for.
#[derive(Clone, Copy, Debug)]
enum Why {
    /// Step of this lookup.
    Step(u64),
    /// Whether the oldest contact of a full bucket is alive; the other one wants its place.
    Check(Contact),
}

#[derive(Debug)]
enum Event {
    Arrive(u32, Contact, Box<Mail>),
    Silence(u32, u64),
    Refresh(u32),
    Patience(u32, u64),
}

#[derive(Debug)]
enum Mail {
    Find(u64, u64, bool),
    Nodes(u64, Vec<Contact>),
    Ping(u64),
    Pong(u64),
}

/// A lookup that was asked for and has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) retry: bool,
    pub(super) named: bool,
    pub(super) correct: bool,
    pub(super) hops: u64,
    pub(super) timeouts: u64,
    pub(super) took: Duration,
}

impl Net {
    /// `count` nodes that know each other as well as they can: every bucket full of nodes drawn by
    /// lot, or of all there are.
    pub(super) fn placed(count: u32, seed: u64, delay: Delay) -> Self {
        let mut net = Self {
            nodes: Vec::new(),
            members: Vec::new(),
            queue: Queue::new(),
            now: Duration::from_secs(100),
            delay,
            dice: Dice::new(seed),
            ended: VecDeque::new(),
            upkeep: Count::default(),
            asked: Count::default(),
        };
        for _ in 0..count {
            let host = net.create();
            net.members.push(net.nodes[host as usize].me);
        }
        let mut order = net.members.clone();
        for host in 0..count as usize {
            for at in (1..order.len()).rev() {
                order.swap(at, net.dice.index(at + 1));
            }
            for contact in &order {
                net.nodes[host].buckets.see(*contact);
            }
        }
        net
    }

    pub(super) const fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn run_to(&mut self, at: Duration) {
        while self.queue.due().is_some_and(|due| due <= at) {
            if let Some((due, event)) = self.queue.pop() {
                self.now = due;
                self.happen(event);
            }
        }
        self.now = self.now.max(at);
    }

    /// A new node looks itself up through a member.
    pub(super) fn join(&mut self) -> u32 {
        let entrance = self.any_member();
        let host = self.create();
        let me = self.nodes[host as usize].me;
        if let Some(entrance) = entrance {
            self.begin(host, me.id, Aim::Join, &[entrance]);
        }
        host
    }

    pub(super) fn crash(&mut self, host: u32) {
        let node = &mut self.nodes[host as usize];
        let me = node.me;
        node.is_up = false;
        node.buckets = Buckets::new(me.id, self.now);
        node.searches.clear();
        node.waiting.clear();
        self.members.retain(|member| *member != me);
    }

    /// A member drawn by lot looks `target` up.
    pub(super) fn look(&mut self, target: u64, retry: bool, counted: bool) {
        if let Some(asker) = self.any_member() {
            let known = self.nodes[asker.host as usize].buckets.closest(target);
            let aim = Aim::Asked { retry, counted };
            let search = self.begin(asker.host, target, aim, &known);
            let ends = Event::Patience(asker.host, search);
            self.queue.push(self.now + PATIENCE, ends);
        }
    }

    pub(super) fn poll_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    pub(super) fn count_anew(&mut self) {
        (self.upkeep, self.asked) = (Count::default(), Count::default());
    }

    /// What was sent for the upkeep, and for the lookups that were asked for.
    pub(super) const fn counts(&self) -> (Count, Count) {
        (self.upkeep, self.asked)
    }

    fn any_member(&mut self) -> Option<Contact> {
        let index = self.dice.index(self.members.len());
        self.members.get(index).copied()
    }

    fn create(&mut self) -> u32 {
        let host = u32::try_from(self.nodes.len()).expect("fewer nodes than 2^32");
        let id = self.dice.roll();
        self.nodes.push(Node {
            me: Contact { id, host },
            is_up: true,
            buckets: Buckets::new(id, self.now),
            searches: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
        });
        let first = REFRESH.mul_f64(crate::ring_net::unit(&mut self.dice));
        self.queue.push(self.now + first, Event::Refresh(host));
        host
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(to, from, mail) if self.nodes[to as usize].is_up => {
                self.arrive(to, from, *mail);
            }
            Event::Silence(host, request) => self.silence(host, request),
            Event::Refresh(host) if self.nodes[host as usize].is_up => self.refresh(host),
            Event::Patience(host, search) => self.end(host, search),
            Event::Arrive(..) | Event::Refresh(_) => {}
        }
    }

    fn arrive(&mut self, to: u32, from: Contact, mail: Mail) {
        self.see(to, from);
        let node = &mut self.nodes[to as usize];
        match mail {
            Mail::Find(request, target, asked) => {
                let mut closest = node.buckets.closest(target);
                closest.retain(|contact| *contact != from);
                self.send(to, from, Mail::Nodes(request, closest), asked);
            }
            Mail::Ping(request) => self.send(to, from, Mail::Pong(request), false),
            Mail::Pong(request) => {
                node.waiting.remove(&request);
            }
            Mail::Nodes(request, mut named) => {
                let Some((_, Why::Step(search))) = node.waiting.remove(&request) else {
                    return;
                };
                named.retain(|contact| contact.host != to);
                if let Some(search) = node.searches.get_mut(&search) {
                    search.answered(from, &named);
                }
                self.go_on(to, search);
            }
        }
    }

    /// Enters a sender, or asks whether the oldest contact of its bucket is alive.
    fn see(&mut self, host: u32, from: Contact) {
        let node = &mut self.nodes[host as usize];
        let Some(oldest) = node.buckets.see(from) else {
            return;
        };
        let is_checked = |(to, why): &(Contact, Why)| *to == oldest && matches!(why, Why::Check(_));
        if !node.waiting.values().any(is_checked) {
            let request = self.ask(host, oldest, Why::Check(from));
            self.send(host, oldest, Mail::Ping(request), false);
        }
    }

    fn silence(&mut self, host: u32, request: u64) {
        let node = &mut self.nodes[host as usize];
        let Some((silent, why)) = node.waiting.remove(&request) else {
            return;
        };
        node.buckets.drop(silent);
        match why {
            Why::Check(heir) => {
                node.buckets.see(heir);
            }
            Why::Step(search) => {
                if let Some(search) = node.searches.get_mut(&search) {
                    search.silent(silent);
                }
                self.go_on(host, search);
            }
        }
    }

    fn refresh(&mut self, host: u32) {
        let noise = self.dice.roll();
        let since = self.now.saturating_sub(REFRESH);
        let stale = self.nodes[host as usize].buckets.stale(since, noise);
        self.look_into(host, &stale);
        self.queue.push(self.now + REFRESH, Event::Refresh(host));
    }

    fn look_into(&mut self, host: u32, positions: &[u64]) {
        for target in positions {
            let known = self.nodes[host as usize].buckets.closest(*target);
            self.begin(host, *target, Aim::Refresh, &known);
        }
    }

    fn begin(&mut self, host: u32, target: u64, aim: Aim, known: &[Contact]) -> u64 {
        let now = self.now;
        let node = &mut self.nodes[host as usize];
        node.buckets.note_lookup(target, now);
        node.next += 1;
        let number = node.next;
        let search = Search::new(target, aim, now, known);
        node.searches.insert(number, search);
        self.go_on(host, number);
        number
    }

    /// Asks whoever is next, or ends the lookup.
    fn go_on(&mut self, host: u32, number: u64) {
        let Some(search) = self.nodes[host as usize].searches.get_mut(&number) else {
            return;
        };
        if search.is_done() {
            let nobody = search.best().is_none();
            let again = matches!(search.aim, Aim::Asked { retry: true, .. } | Aim::Join);
            if nobody && again && search.began + PATIENCE > self.now {
                return self.start_over(host, number);
            }
            return self.end(host, number);
        }
        let (target, asked) = (search.target, matches!(search.aim, Aim::Asked { .. }));
        for contact in search.next() {
            let request = self.ask(host, contact, Why::Step(number));
            self.send(host, contact, Mail::Find(request, target, asked), asked);
        }
    }

    /// Nobody has answered: once more with whom the node knows by now, or through a member.
    fn start_over(&mut self, host: u32, number: u64) {
        let entrance = self.any_member();
        let node = &mut self.nodes[host as usize];
        let Some(mut search) = node.searches.remove(&number) else {
            return;
        };
        let mut known = node.buckets.closest(search.target);
        if known.is_empty() {
            known.extend(entrance);
        }
        let (began, timeouts) = (search.began, search.timeouts);
        search = Search::new(search.target, search.aim, began, &known);
        search.timeouts = timeouts;
        node.searches.insert(number, search);
        if !known.is_empty() {
            self.go_on(host, number);
        }
    }

    fn end(&mut self, host: u32, number: u64) {
        let Some(search) = self.nodes[host as usize].searches.remove(&number) else {
            return;
        };
        let me = self.nodes[host as usize].me;
        match search.aim {
            Aim::Refresh | Aim::Asked { counted: false, .. } => {}
            Aim::Join => {
                self.members.push(me);
                let noise = self.dice.roll();
                let stale = self.nodes[host as usize].buckets.stale(self.now, noise);
                self.look_into(host, &stale);
            }
            Aim::Asked { retry, .. } => {
                let best = search.best();
                let distance = |contact: &Contact| contact.id ^ search.target;
                // A node that is closer itself than all who answered names itself.
                let own = Some((me, 0));
                let named = best
                    .into_iter()
                    .chain(own)
                    .min_by_key(|(one, _)| distance(one));
                let (named, hops) = named.expect("a node knows at least itself");
                let truth = self.members.iter().min_by_key(|member| distance(member));
                self.ended.push_back(Ended {
                    retry,
                    named: best.is_some(),
                    correct: best.is_some() && truth == Some(&named),
                    hops,
                    timeouts: search.timeouts,
                    took: self.now - search.began,
                });
            }
        }
    }

    fn ask(&mut self, host: u32, to: Contact, why: Why) -> u64 {
        let node = &mut self.nodes[host as usize];
        node.next += 1;
        let request = node.next;
        node.waiting.insert(request, (to, why));
        let silence = Event::Silence(host, request);
        self.queue.push(self.now + RPC_PATIENCE, silence);
        request
    }

    fn send(&mut self, from: u32, to: Contact, mail: Mail, asked: bool) {
        let count = if asked {
            &mut self.asked
        } else {
            &mut self.upkeep
        };
        count.messages += 1;
        count.bytes += bytes(&mail);
        let delay = self.delay.draw(from, to.host, &mut self.dice);
        let from = self.nodes[from as usize].me;
        let arrive = Event::Arrive(to.host, from, Box::new(mail));
        self.queue.push(self.now + delay, arrive);
    }
}

/// The size of a message: kind, request id and sender, then a target or the nodes, each with its
/// address and port.
fn bytes(mail: &Mail) -> u64 {
    const HEADER: u64 = 1 + 20 + 20;
    match mail {
        Mail::Find(..) => HEADER + 20,
        Mail::Nodes(_, nodes) => HEADER + 1 + nodes.len().min(K) as u64 * (20 + 4 + 2),
        Mail::Ping(_) | Mail::Pong(_) => HEADER,
    }
}
