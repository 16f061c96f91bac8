//! The virtual nodes of one host as one machine: dispatch by index, messages between siblings
//! delivered on the spot, and the routing view of them all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::message::{Message, ReplyTo, RequestId, RequestIds};
use crate::peer::{NodeName, Peer};
use crate::time::Now;

use super::inbox::not_member;
use super::{
    Chord, ChordConfig, ChordOutput, LookupResult, MemberSnapshot, Misbehaviour, Phase, RoutingView,
};

/// All virtual nodes of a host. Same grammar as [`Chord`]; beside `poll_output()`, `poll_view()`
/// gives the routing view whenever it has changed.
#[derive(Clone, Debug)]
pub struct Ring {
    name: NodeName,
    members: Vec<Chord>,
    view: Arc<RoutingView>,
    shown: u64,
    local: VecDeque<Local>,
    outputs: VecDeque<ChordOutput>,
}

/// A message from one virtual node of this host to another.
#[derive(Clone, Debug)]
enum Local {
    Request(Option<RequestId>, Message<'static>),
    Answer(RequestId, Message<'static>),
}

impl Ring {
    /// `vnodes` virtual nodes of the node called `name`, not started; `core` and `tag` go into
    /// their request ids.
    ///
    /// # Panics
    /// When the ring's parameters do not allow that many virtual nodes.
    #[must_use]
    pub fn new(
        config: &ChordConfig,
        name: &NodeName,
        vnodes: u16,
        core: u8,
        tag: u8,
        seed: u64,
    ) -> Self {
        let member = |vnode: u16| {
            let me = Peer::derive(&config.params, name, vnode);
            let me = me.expect("configuration keeps virtual nodes below the ring's cap");
            let ids = RequestIds::new(core, tag, vnode);
            let seed = seed ^ me.id().high();
            Chord::new(config.clone(), ids, me, seed)
        };
        Self::of((0..vnodes.max(1)).map(member).collect())
    }

    /// A host of members that exist already, in the order of their indices: for simulations.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of(members: Vec<Chord>) -> Self {
        let first = members.first().expect("a host has at least one member");
        Self {
            name: first.me().name().clone(),
            members,
            view: Arc::default(),
            shown: 0,
            local: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Starts or joins the ring: virtual node 0 first, the others through it.
    pub fn start(&mut self, now: Now) {
        if let Some(first) = self.members.first_mut() {
            first.start(now);
        }
        self.settle(now);
    }

    /// Leaves the ring with all virtual nodes.
    pub fn leave(&mut self, now: Now) {
        for member in &mut self.members {
            member.leave(now);
        }
        self.settle(now);
    }

    /// A `GetNeighbours`, `Notify`, `Join` or `Leave`; `reply` is used by those that are answered.
    pub fn handle_request(
        &mut self,
        reply: ReplyTo,
        from: &NodeName,
        message: &Message<'_>,
        now: Now,
    ) -> Result<(), Misbehaviour> {
        let Some(vnode) = addressee(message) else {
            return Err(Misbehaviour::Unexpected {
                from: from.clone(),
                what: "a request of the ring was expected",
            });
        };
        let Some(member) = self.members.get_mut(usize::from(vnode)) else {
            if let (Some(first), false) = (self.members.first(), is_one_way(message)) {
                let message = not_member(first.me());
                self.outputs
                    .push_back(ChordOutput::Answer { reply, message });
            }
            return Ok(());
        };
        let verdict = member.handle_request(reply, from, message, now);
        self.settle(now);
        verdict
    }

    /// The answer to a request of a virtual node.
    pub fn handle_answer(
        &mut self,
        request: RequestId,
        from: &NodeName,
        message: &Message<'_>,
        now: Now,
    ) -> Result<(), Misbehaviour> {
        let Some(member) = self.members.get_mut(usize::from(request.instance())) else {
            return Ok(());
        };
        let verdict = member.handle_answer(request, from, message, now);
        self.settle(now);
        verdict
    }

    /// `node` could not be dialled, or the link to it broke.
    pub fn handle_unreachable(&mut self, node: &NodeName, now: Now) {
        for member in &mut self.members {
            member.handle_unreachable(node, now);
        }
        self.settle(now);
    }

    /// The result of a lookup.
    pub fn handle_lookup(&mut self, ticket: u64, result: LookupResult, now: Now) {
        let vnode = usize::try_from(ticket >> TICKET_BITS).unwrap_or(usize::MAX);
        if let Some(member) = self.members.get_mut(vnode) {
            member.handle_lookup(ticket & TICKET_MASK, result, now);
        }
        self.settle(now);
    }

    /// Time has come to `poll_timeout()`.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.poll_timeout().is_none_or(|due| due > now.mono) {
            return;
        }
        self.mind_siblings(now.mono);
        self.settle(now);
        for member in &mut self.members {
            if member.poll_timeout().is_some_and(|due| due <= now.mono) {
                member.handle_timeout(now);
            }
        }
        self.settle(now);
    }

    /// The monotonic time at which `handle_timeout` is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.members.iter().filter_map(Chord::poll_timeout).min()
    }

    /// The next thing to do; call until `None`.
    pub fn poll_output(&mut self) -> Option<ChordOutput> {
        self.outputs.pop_front()
    }

    /// The routing view, when it has changed since the last call.
    pub fn poll_view(&mut self) -> Option<Arc<RoutingView>> {
        let changes = 1 + self.members.iter().map(Chord::changes).sum::<u64>();
        if changes == self.shown {
            return None;
        }
        self.shown = changes;
        let in_ring = |member: &&Chord| matches!(member.phase(), Phase::Member | Phase::Leaving);
        let own = self.members.iter().filter(in_ring);
        let hops = own.clone().flat_map(Chord::hops);
        let hops = hops.filter(|hop| *hop.name() != self.name).cloned();
        // A member that has lost everybody would take all positions for its own; while a sibling
        // has company, there is a ring, and it is out of it.
        let has_company = own.clone().any(|member| !member.is_alone());
        let own = own.clone().map(|member| {
            let mut own = member.own_member();
            own.serving &= !(has_company && member.is_alone());
            own
        });
        let own = own.collect();
        self.view = Arc::new(RoutingView::new(changes, own, hops.collect()));
        Some(Arc::clone(&self.view))
    }

    /// The routing view as `poll_view` last gave it.
    #[must_use]
    pub const fn view(&self) -> &Arc<RoutingView> {
        &self.view
    }

    /// The pointers of every virtual node.
    pub fn snapshots(&self) -> impl Iterator<Item = MemberSnapshot> {
        self.members.iter().map(Chord::snapshot)
    }

    /// The virtual nodes.
    #[must_use]
    pub fn members(&self) -> &[Chord] {
        &self.members
    }

    /// Whether every virtual node is a member.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.members
            .iter()
            .all(|member| member.phase() == Phase::Member)
    }

    /// Whether every virtual node has left.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.members
            .iter()
            .all(|member| member.phase() == Phase::Left)
    }

    /// Collects what the members want, delivers what they tell each other, and starts those that
    /// wait for virtual node 0.
    fn settle(&mut self, now: Now) {
        self.start_siblings(now);
        loop {
            for vnode in 0..self.members.len() {
                while let Some(output) = self.members[vnode].poll_output() {
                    self.sort_output(vnode, output);
                }
            }
            let Some(local) = self.local.pop_front() else {
                return;
            };
            self.deliver(&local, now);
        }
    }

    fn start_siblings(&mut self, now: Now) {
        if self.members[0].phase() != Phase::Member {
            return;
        }
        for member in &mut self.members[1..] {
            if member.phase() == Phase::Idle {
                member.start_beside(now);
            }
        }
    }

    /// Siblings know of each other without asking anybody: two rings that both run through this
    /// host, or a virtual node that has lost everybody, are put right from here. Lookups would not
    /// find them, because a host answers for all of its members.
    fn mind_siblings(&mut self, now: Duration) {
        if self.members.len() < 2 {
            return;
        }
        let in_ring = |member: &Chord| member.phase() == Phase::Member;
        let is_lonely = |member: &Chord| in_ring(member) && member.is_alone();
        if let Some(lonely) = self.members.iter().rposition(is_lonely) {
            return self.reunite(lonely, now);
        }
        for index in 0..self.members.len() {
            let member = &self.members[index];
            let siblings = self.members.iter().filter(|it| in_ring(it)).map(Chord::me);
            let skipped = siblings.filter(|it| member.skips(it)).min_by_key(|it| {
                let from = member.me().id();
                from.distance_to(&it.id())
            });
            if let Some(skipped) = skipped.cloned()
                && self.members[index].may_reunite(now)
            {
                self.members[index].ask_candidate(skipped, now);
            }
        }
    }

    /// A virtual node that has lost everybody has its siblings. Where one of them still knows
    /// another node, that is the way back into the ring; where none does, no other node may be
    /// left, so one after the other takes its place behind the sibling before it.
    fn reunite(&mut self, lonely: usize, now: Duration) {
        let via = self.members.iter().find_map(|member| {
            let mut near = member.neighbours();
            near.find(|peer| *peer.name() != self.name)
        });
        let via = via.map(|peer| peer.name().clone());
        let before = self.sibling_before(lonely).cloned();
        let lonely = &mut self.members[lonely];
        if !lonely.may_reunite(now) {
            return;
        }
        match (via, before) {
            (Some(via), _) => lonely.look_home(via, now),
            (None, Some(before)) => lonely.ask_for_place(before, now),
            (None, None) => {}
        }
    }

    /// The member of this host that comes before the one of this index.
    fn sibling_before(&self, index: usize) -> Option<&Peer> {
        let id = self.members[index].me().id();
        let others = self.members.iter().filter(|member| {
            let is_other = member.me().id() != id;
            is_other && member.phase() == Phase::Member
        });
        others
            .map(Chord::me)
            .min_by_key(|me| me.id().distance_to(&id))
    }

    fn sort_output(&mut self, vnode: usize, output: ChordOutput) {
        match output {
            ChordOutput::Ask {
                to,
                request,
                message,
            } if to == self.name => {
                self.local.push_back(Local::Request(Some(request), message));
            }
            ChordOutput::Tell { to, message } if to == self.name => {
                self.local.push_back(Local::Request(None, message));
            }
            ChordOutput::Answer { reply, message } if reply.link == LOCAL_LINK => {
                self.local.push_back(Local::Answer(reply.request, message));
            }
            ChordOutput::Lookup {
                ticket,
                target,
                via,
                deadline,
            } => {
                let ticket = (vnode as u64) << TICKET_BITS | ticket & TICKET_MASK;
                let lookup = ChordOutput::Lookup {
                    ticket,
                    target,
                    via,
                    deadline,
                };
                self.outputs.push_back(lookup);
            }
            other => self.outputs.push_back(other),
        }
    }

    fn deliver(&mut self, local: &Local, now: Now) {
        let name = &self.name;
        let verdict = match local {
            Local::Request(request, message) => {
                let reply = ReplyTo {
                    core: 0,
                    link: LOCAL_LINK,
                    request: request.unwrap_or_default(),
                };
                let vnode = addressee(message).unwrap_or(u16::MAX);
                match self.members.get_mut(usize::from(vnode)) {
                    Some(member) => member.handle_request(reply, name, message, now),
                    None => {
                        let absent = not_member(self.members[0].me());
                        let answer = Local::Answer(reply.request, absent);
                        self.local.extend(request.map(|_| answer));
                        Ok(())
                    }
                }
            }
            Local::Answer(request, message) => {
                match self.members.get_mut(usize::from(request.instance())) {
                    Some(member) => member.handle_answer(*request, name, message, now),
                    None => Ok(()),
                }
            }
        };
        assert!(
            verdict.is_ok(),
            "siblings speak for themselves: {verdict:?}"
        );
    }
}

/// The virtual node a request of the ring is meant for.
const fn addressee(message: &Message<'_>) -> Option<u16> {
    match message {
        Message::GetNeighbours(ask) => Some(ask.vnode),
        Message::Notify(notify) => Some(notify.vnode),
        Message::Join(join) => Some(join.vnode),
        Message::Leave(leave) => Some(leave.vnode),
        _ => None,
    }
}

const fn is_one_way(message: &Message<'_>) -> bool {
    matches!(message, Message::Notify(_))
}

/// The link between virtual nodes of one host: no number the shell gives.
const LOCAL_LINK: u64 = u64::MAX;

/// A ticket carries the virtual node above this many bits of the member's own number.
const TICKET_BITS: u32 = 48;
const TICKET_MASK: u64 = (1 << TICKET_BITS) - 1;
