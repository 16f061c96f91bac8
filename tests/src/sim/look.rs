//! What is looked at while a seed runs: the ring after every change where its invariant must hold,
//! and now and then everything that the machines show of rare paths.

use proto::chord::Ring;
use proto::chord::invariant::{MemberState, Violation, check, is_ideal};

use node::engine::journal::Phase;
use node::engine::wal::log::AppendError;

use super::happening::NodeState;
use super::marks::Mark;
use super::run::Run;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Cores whose log was full, as bits.
    full: u128,
    /// The ring had more than one member.
    had_company: bool,
    /// The ring was in two parts.
    was_split: bool,
    /// The ring was ideal with all nodes in it: from then on its invariant holds. While it grows
    /// from a ring of one it is outside of the proof.
    was_whole: bool,
}

impl Run {
    /// Looks at everything.
    pub(super) fn look(&mut self) -> Result<(), String> {
        self.clients.check_deadlines(&self.world)?;
        for node in 0..self.nodes.len() {
            for core in 0..self.swarm.setup.cores {
                self.look_at(node, core)?;
            }
            self.look_at_member(node);
        }
        self.look_at_ring()
    }

    fn look_at(&mut self, node: usize, number: u8) -> Result<(), String> {
        let Some(core) = self.world.core(node, number) else {
            return Ok(());
        };
        let bit = 1u128 << (node * 8 + usize::from(number));
        let marks = &mut self.marks;
        match core.shard().phase() {
            Phase::Open(report) => {
                marks.hit_if(Mark::SegmentFreed, report.segments_freed > 0);
                marks.hit_if(Mark::RecordsMoved, report.moved_bytes > 0);
                marks.hit_if(Mark::CompactionDamaged, report.damage.is_some());
                let is_full = matches!(report.refusal, Some(AppendError::Full { .. }));
                let is_poisoned = matches!(report.refusal, Some(AppendError::Poisoned { .. }));
                marks.hit_if(Mark::LogFull, is_full);
                marks.hit_if(Mark::LogPoisoned, is_poisoned);
                let resumes = self.seen.full & bit != 0 && report.refusal.is_none();
                marks.hit_if(Mark::LogResumed, resumes);
                self.seen.full = self.seen.full & !bit | if is_full { bit } else { 0 };
            }
            Phase::Recovering(_) | Phase::Failed(_) | Phase::Memory => self.seen.full &= !bit,
        }
        let (shard, counters) = (core.shard().counters(), core.counters());
        marks.hit_if(Mark::WritesDropped, shard.dropped_writes > 0);
        marks.hit_if(Mark::DiskBusy, shard.refused_disk_busy > 0);
        marks.hit_if(Mark::ReadWaited, shard.waited_reads > 0);
        marks.hit_if(Mark::RecordsSwept, shard.expired > 0);
        marks.hit_if(Mark::DiskTimeout, counters.disk_timeouts > 0);
        marks.hit_if(Mark::OwnerDisowned, counters.disowned > 0);
        marks.hit_if(Mark::OwnerSilent, counters.owner_timeouts > 0);
        marks.hit_if(Mark::LookupFailed, counters.lookups_failed > 0);
        marks.hit_if(Mark::OtherCore, counters.mailbox_hops > 0);
        let memory = core.shard().memory();
        if core.shard().is_serving() && memory.bytes_used > memory.memory_max + RECOVERY_BYTES {
            return Err(format!("core {number} of node {node} holds {memory:?}"));
        }
        Ok(())
    }

    fn look_at_member(&mut self, node: usize) {
        let is_member = self.is_member(node);
        let has_company = (0..self.nodes.len()).any(|other| other != node && self.is_member(other));
        let book = &mut self.nodes[node];
        if is_member && !book.is_member {
            let mark = if book.was_member {
                Mark::Rejoined
            } else {
                Mark::Joined
            };
            self.marks.hit_if(mark, has_company);
            book.was_member = true;
        }
        book.is_member = is_member;
    }

    fn look_at_ring(&mut self) -> Result<(), String> {
        let members = self.members();
        if members.is_empty() {
            return Ok(());
        }
        let list_len = usize::from(self.swarm.setup.params.successors);
        let violations = check(&members, list_len);
        if let Some(violation) = violations.iter().find(|it| is_of_one_list(it)) {
            return Err(format!("{violation}\n{}", shown(&members)));
        }
        let has = |is_meant: fn(&Violation) -> bool| violations.iter().any(is_meant);
        let is_split = has(|it| matches!(it, Violation::NotOneRing { rings } if *rings > 1));
        let is_lost = has(|it| matches!(it, Violation::NoLiveSuccessor { .. }));
        self.marks.hit_if(Mark::TwoRings, is_split);
        self.marks.hit_if(Mark::SuccessorsLost, is_lost);
        let is_single = members.len() == 1;
        self.marks
            .hit_if(Mark::RingOfOne, is_single && self.seen.had_company);
        self.seen.had_company |= !is_single;
        let is_ideal = is_ideal(&members, list_len);
        self.marks.hit_if(
            Mark::RingsMerged,
            self.seen.was_split && is_ideal && members.len() > 1,
        );
        let is_long = is_ideal && members.len() > list_len + 1;
        self.marks.hit_if(Mark::RingBeyondList, is_long);
        let is_amid = !self.is_liveness && self.world.tally().total() > 0;
        self.marks
            .hit_if(Mark::IdealAmidFaults, is_ideal && is_amid && !is_single);
        self.seen.was_split = (self.seen.was_split || is_split) && !is_ideal;
        Ok(())
    }

    /// The invariant of CHORD.md, after a change of a ring that was whole once.
    pub(super) fn look_at_calm_ring(&mut self) -> Result<(), String> {
        let members = self.members();
        if !self.seen.was_whole {
            let is_all = (0..self.nodes.len()).all(|node| self.is_whole(node));
            self.seen.was_whole = is_all && self.is_ideal();
            return Ok(());
        }
        if self.is_liveness || members.is_empty() {
            return Ok(());
        }
        let list_len = usize::from(self.swarm.setup.params.successors);
        let mut violations = check(&members, list_len);
        // A ring that a list names whole is outside of the proof: whoever joins it is skipped for a
        // moment. Its states are explored exhaustively elsewhere.
        let is_small = members.len() <= list_len + 1;
        violations.retain(|it| !(is_small && matches!(it, Violation::TooFewPrincipals { .. })));
        match violations.first() {
            None => Ok(()),
            Some(violation) => Err(format!("{violation}\n{}", shown(&members))),
        }
    }

    /// Whether the ring of all live members is ideal.
    pub(super) fn is_ideal(&self) -> bool {
        let list_len = usize::from(self.swarm.setup.params.successors);
        let members = self.members();
        !members.is_empty() && is_ideal(&members, list_len)
    }

    /// The live members.
    pub(super) fn members(&self) -> Vec<MemberState> {
        let mut members = self.world.member_states();
        members.retain(|member| member.live);
        members
    }

    /// Whether a log of this node takes no writes until its process starts again.
    pub(super) fn is_poisoned(&self, node: usize) -> bool {
        self.refuses(node, |refusal| {
            matches!(refusal, AppendError::Poisoned { .. })
        })
    }

    fn refuses(&self, node: usize, is_meant: impl Fn(&AppendError) -> bool) -> bool {
        let cores = 0..self.swarm.setup.cores;
        let mut phases =
            cores.filter_map(|core| Some(self.world.core(node, core)?.shard().phase()));
        phases.any(|phase| match phase {
            Phase::Open(report) => report.refusal.as_ref().is_some_and(&is_meant),
            Phase::Recovering(_) | Phase::Failed(_) | Phase::Memory => false,
        })
    }

    /// Whether a log of this node takes no writes until there is room.
    pub(super) fn is_full(&self, node: usize) -> bool {
        self.refuses(node, |refusal| matches!(refusal, AppendError::Full { .. }))
    }

    /// Whether a node serves and is a member with all its virtual nodes.
    pub(super) fn is_whole(&self, node: usize) -> bool {
        let core = self.world.core(node, 0);
        let ring = core.and_then(|core| core.ring());
        self.world.state(node) == NodeState::Serving && ring.is_some_and(Ring::is_complete)
    }
}

/// Whether no fault of others excuses it: a member sees to the form of its list by itself.
const fn is_of_one_list(violation: &Violation) -> bool {
    matches!(
        violation,
        Violation::ContainsSelf { .. }
            | Violation::Duplicate { .. }
            | Violation::Unordered { .. }
            | Violation::TooLong { .. }
    )
}

/// The pointers of members, one a line.
pub(super) fn shown(members: &[MemberState]) -> String {
    let mut members: Vec<&MemberState> = members.iter().collect();
    members.sort_by_key(|member| member.id);
    let lines = members.iter().map(|member| {
        let MemberState {
            id,
            predecessor,
            successors,
            ..
        } = member;
        format!("    {id:?}: predecessor {predecessor:?}, successors {successors:?}\n")
    });
    lines.collect()
}

/// What a store may take above its cap after a recovery: the same records lie otherwise in memory
/// when they come in another order.
const RECOVERY_BYTES: u64 = 2 << 20;
