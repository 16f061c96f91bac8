//! One virtual node in the ring: its state (CHORD.md, "State of a member") and its clockwork. What
//! arrives is sorted in `inbox`. The operations are in `join`, `stabilise`, `rectify`, `fingers`,
//! `merge` and `departure`; each is one local change after at most one remote answer.

use std::collections::VecDeque;
use std::time::Duration;

use crate::id::Id;
use crate::message::{GetNeighbours, Message, ReplyTo, RequestIds};
use crate::peer::{NodeName, Peer};
use crate::time::Now;

use super::asks::{Asks, Purpose};
use super::bounds::RING_LOOKUP_DEADLINE;
use super::cache::MemberCache;
use super::dice::Dice;
use super::fingers::FingerTable;
use super::join::Joining;
use super::merge::Merging;
use super::rectify::Check;
use super::stabilise::Stabilising;
use super::successors::SuccessorList;
use super::{ChordConfig, ChordOutput, LookupResult, OwnMember, Phase, RttTable};

/// The Chord machine of one virtual node.
///
/// After every `handle_*`, `start` and `leave`: drain `poll_output()`, then ask `poll_timeout()`.
#[derive(Clone, Debug)]
pub struct Chord {
    pub(super) config: ChordConfig,
    pub(super) me: Peer,
    pub(super) phase: Phase,
    pub(super) predecessor: Option<Peer>,
    pub(super) successors: SuccessorList,
    pub(super) fingers: FingerTable,
    pub(super) cache: MemberCache,
    pub(super) asks: Asks,
    pub(super) dice: Dice,
    pub(super) joining: Joining,
    pub(super) stabilising: Stabilising,
    pub(super) check: Check,
    pub(super) merging: Merging,
    pub(super) leave_by: Duration,
    pub(super) lookups: [Option<Errand>; 3],
    ticket: u64,
    changes: u64,
    outputs: VecDeque<ChordOutput>,
}

/// A lookup this member waits for.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    ticket: u64,
    until: Duration,
    pub(super) via: Option<NodeName>,
}

/// Why a member looks something up; one of each at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reason {
    Join = 0,
    Finger = 1,
    Merge = 2,
}

/// The pointers of a member at one moment, for status pages and checkers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberSnapshot {
    /// The member.
    pub me: Peer,
    /// Where it stands.
    pub phase: Phase,
    /// Its predecessor.
    pub predecessor: Option<Peer>,
    /// Its successor list, nearest first.
    pub successors: Vec<Peer>,
    /// Its distinct fingers, nearest first.
    pub fingers: Vec<Peer>,
}

/// Ready-made pointers for [`Chord::placed`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pointers {
    /// The predecessor; `None` in a ring of one.
    pub predecessor: Option<Peer>,
    /// The successor list, nearest first.
    pub successors: Vec<Peer>,
    /// The fingers.
    pub fingers: FingerTable,
}

impl Chord {
    /// Virtual node `me`, not started. `ids` gives out its request ids (their instance is the index
    /// of the virtual node, so that answers find it); `seed` feeds its jitter.
    #[must_use]
    pub fn new(config: ChordConfig, ids: RequestIds, me: Peer, seed: u64) -> Self {
        let len_max = usize::from(config.params.successors);
        Self {
            successors: SuccessorList::new(me.id(), len_max),
            fingers: FingerTable::new(config.finger_bits),
            cache: MemberCache::new(me.name().clone(), &config.bootstrap),
            config,
            me,
            phase: Phase::Idle,
            predecessor: None,
            asks: Asks::new(ids),
            dice: Dice::new(seed),
            joining: Joining::default(),
            stabilising: Stabilising::default(),
            check: Check::default(),
            merging: Merging::default(),
            leave_by: Duration::ZERO,
            lookups: [const { None }; 3],
            ticket: 0,
            changes: 0,
            outputs: VecDeque::new(),
        }
    }

    /// A member with ready-made pointers: how simulations begin with a ring that already stands.
    #[must_use]
    pub fn placed(
        config: ChordConfig,
        ids: RequestIds,
        me: Peer,
        seed: u64,
        pointers: Pointers,
        now: Now,
    ) -> Self {
        let mut chord = Self::new(config, ids, me, seed);
        chord.predecessor = pointers.predecessor;
        chord.successors.adopt(None, &pointers.successors);
        chord.fingers = pointers.fingers;
        if let Some(before) = chord.predecessor.clone() {
            chord.predecessor_alive(&before, now.mono);
        }
        chord.become_member(now.mono);
        chord.calm_down(now.mono);
        chord
    }

    /// Joins through the bootstrappers, or starts a ring where there are none but the node itself.
    pub fn start(&mut self, now: Now) {
        assert!(self.phase == Phase::Idle, "a member is started once");
        if self.cache.is_empty() {
            self.become_member(now.mono);
        } else {
            self.begin_join(now.mono);
        }
    }

    /// Joins through another member of its own host.
    pub fn start_beside(&mut self, now: Now) {
        assert!(self.phase == Phase::Idle, "a member is started once");
        self.joining.beside = true;
        self.begin_join(now.mono);
    }

    /// The result of a lookup.
    pub fn handle_lookup(&mut self, ticket: u64, result: LookupResult, now: Now) {
        for reason in [Reason::Join, Reason::Finger, Reason::Merge] {
            let slot = &mut self.lookups[reason as usize];
            let Some(errand) = slot.take_if(|errand| errand.ticket == ticket) else {
                continue;
            };
            if let Ok(found) = &result {
                self.cache.remember(found.owner.name(), now.mono);
            } else if let Some(via) = &errand.via {
                self.cache.failed(via);
            }
            match reason {
                Reason::Join => self.place_found(result, now.mono),
                Reason::Finger => self.finger_found(&result, now.mono),
                Reason::Merge => self.self_found(result, now.mono),
            }
            return;
        }
    }

    /// Time has come to `poll_timeout()`.
    pub fn handle_timeout(&mut self, now: Now) {
        let mut resend = Vec::new();
        let silent = self.asks.expire(now.mono, &mut resend);
        self.outputs.extend(resend);
        for ask in silent {
            self.node_dead(&ask, now.mono);
        }
        match self.phase {
            Phase::Joining => self.join_timeout(now.mono),
            Phase::Member => {
                self.round_timeout(now.mono);
                self.watch_timeout(now.mono);
                self.finger_timeout(now.mono);
                self.merge_timeout(now.mono);
            }
            Phase::Leaving => self.leave_timeout(now.mono),
            Phase::Idle | Phase::Left => {}
        }
    }

    /// The monotonic time at which `handle_timeout` is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let clockwork = match self.phase {
            Phase::Idle | Phase::Left => return None,
            Phase::Joining => self.join_due(),
            Phase::Member => {
                let parts = [
                    self.round_due(),
                    self.watch_due(),
                    self.finger_due(),
                    self.merge_due(),
                ];
                parts.into_iter().flatten().min()
            }
            Phase::Leaving => Some(self.leave_by),
        };
        clockwork.into_iter().chain(self.asks.due()).min()
    }

    /// The next thing to do; call until `None`.
    pub fn poll_output(&mut self) -> Option<ChordOutput> {
        self.outputs.pop_front()
    }

    /// Where this member stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The member itself.
    #[must_use]
    pub const fn me(&self) -> &Peer {
        &self.me
    }

    /// Grows whenever something changes that a routing view shows.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// This member as routing views show it.
    #[must_use]
    pub fn own_member(&self) -> OwnMember {
        OwnMember {
            me: self.me.clone(),
            predecessor: self.predecessor.clone(),
            successors: self.successors.peers().to_vec(),
            serving: self.phase == Phase::Member,
        }
    }

    /// Its successors, nearest first, and its predecessor.
    pub(super) fn neighbours(&self) -> impl Iterator<Item = &Peer> {
        self.successors.peers().iter().chain(&self.predecessor)
    }

    /// Everybody this member can forward to, in no order, with repetitions.
    pub fn hops(&self) -> impl Iterator<Item = &Peer> {
        self.neighbours().chain(self.fingers.distinct())
    }

    /// The pointers of this member.
    #[must_use]
    pub fn snapshot(&self) -> MemberSnapshot {
        MemberSnapshot {
            me: self.me.clone(),
            phase: self.phase,
            predecessor: self.predecessor.clone(),
            successors: self.successors.peers().to_vec(),
            fingers: self.fingers.distinct().cloned().collect(),
        }
    }

    /// The round-trip times this member has measured.
    #[must_use]
    pub const fn rtt(&self) -> &RttTable {
        self.asks.rtt()
    }

    pub(super) fn become_member(&mut self, now: Duration) {
        self.phase = Phase::Member;
        self.changed();
        self.round_at_once(now);
        self.first_finger(now);
        self.first_self_lookup(now);
    }

    pub(super) const fn changed(&mut self) {
        self.changes += 1;
    }

    pub(super) fn set_predecessor(&mut self, predecessor: Option<Peer>) {
        self.check = Check::default();
        if self.predecessor != predecessor {
            self.predecessor = predecessor;
            self.changed();
        }
    }

    pub(super) fn ask_neighbours(&mut self, of: Peer, purpose: Purpose, now: Duration) {
        let message = Message::GetNeighbours(GetNeighbours { vnode: of.vnode() });
        self.ask(of, purpose, message, now);
    }

    pub(super) fn ask(
        &mut self,
        to: Peer,
        purpose: Purpose,
        message: Message<'static>,
        now: Duration,
    ) {
        let output = self.asks.open(to, purpose, message, now);
        self.outputs.push_back(output);
    }

    pub(super) fn tell(&mut self, to: &NodeName, message: Message<'static>) {
        let to = to.clone();
        self.outputs.push_back(ChordOutput::Tell { to, message });
    }

    pub(super) fn answer(&mut self, reply: ReplyTo, message: Message<'static>) {
        self.outputs
            .push_back(ChordOutput::Answer { reply, message });
    }

    pub(super) fn look_up(
        &mut self,
        reason: Reason,
        target: Id,
        via: Option<NodeName>,
        now: Duration,
    ) {
        self.ticket += 1;
        let (ticket, deadline) = (self.ticket, now + RING_LOOKUP_DEADLINE);
        // The router always ends a lookup by its deadline; the slot frees itself if it does not.
        let until = deadline + RING_LOOKUP_DEADLINE;
        let errand = Errand {
            ticket,
            until,
            via: via.clone(),
        };
        self.lookups[reason as usize] = Some(errand);
        self.outputs.push_back(ChordOutput::Lookup {
            ticket,
            target,
            via,
            deadline,
        });
    }

    pub(super) fn is_looking(&self, reason: Reason, now: Duration) -> bool {
        self.lookups[reason as usize]
            .as_ref()
            .is_some_and(|errand| errand.until > now)
    }
}
