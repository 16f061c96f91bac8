//! The rare paths a campaign must have taken: each is read off what the machines show, and counted
//! in seeds. A mark that no seed hits means that the simulation does not reach what it claims.

use std::ops::AddAssign;

/// Something that must happen in some seeds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mark {
    /// A recovery found batches that nobody was told of, and cut them off.
    TornTailCut,
    /// A recovery read three segments or more.
    ManySegmentsRecovered,
    /// A recovery found something damaged that lost nothing.
    DamageSurvived,
    /// A node refused to start on damaged records.
    DamageRefused,
    /// A process ended while it read its log.
    RecoveryInterrupted,
    /// Compaction gave a segment back.
    SegmentFreed,
    /// Compaction moved records that live.
    RecordsMoved,
    /// Compaction met a segment that it could not read.
    CompactionDamaged,
    /// A log took no more writes because its disk failed.
    LogPoisoned,
    /// A log took no more writes because its disk was full.
    LogFull,
    /// A log that was full went on when there was room.
    LogResumed,
    /// Writes that were taken were given up.
    WritesDropped,
    /// A write was refused because the disk was slower than the writes.
    DiskBusy,
    /// A request waited for the disk until its deadline.
    DiskTimeout,
    /// A read waited for a write of its key.
    ReadWaited,
    /// A put was refused because the memory cap was reached.
    MemoryFull,
    /// Records were swept because they had expired.
    RecordsSwept,
    /// A key was found absent because its lifetime was over.
    LifetimeOver,
    /// A write of unknown outcome was found applied.
    UnknownApplied,
    /// A write that was asked for again was found applied twice.
    AppliedTwice,
    /// A weak policy lost an answered write in a power cut.
    LostWeakly,
    /// A power cut, and everything that was promised was there.
    PowerCutSurvived,
    /// A client heard that nobody knows what became of its write.
    UnknownAnswer,
    /// A client heard that there is no way to the owner.
    NoRouteAnswer,
    /// A client heard that the node is no member.
    NotMemberAnswer,
    /// A client heard that too much is under way.
    OverloadedAnswer,
    /// An owner that was asked owned the key no more.
    OwnerDisowned,
    /// An owner that was asked said nothing.
    OwnerSilent,
    /// The owner was asked because of an arc that was kept.
    ArcCacheHit,
    /// A lookup passed by a member that was dead.
    DeadHopPassed,
    /// A lookup took three steps or more.
    LongWay,
    /// A lookup ended without an owner.
    LookupFailed,
    /// A request went to the shard of another core.
    OtherCore,
    /// A node joined a ring that stood.
    Joined,
    /// A node that had crashed joined again.
    Rejoined,
    /// A node left in order.
    LeftInOrder,
    /// A node could not leave in order.
    LeftInHaste,
    /// Members formed two rings.
    TwoRings,
    /// Two rings became one.
    RingsMerged,
    /// A member had no live successor.
    SuccessorsLost,
    /// A ring of several was ideal after the first fault and before the last.
    IdealAmidFaults,
    /// A ring that had more members is down to one.
    RingOfOne,
    /// More members than a successor list names.
    RingBeyondList,
}

impl Mark {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 43] = [
        Self::TornTailCut,
        Self::ManySegmentsRecovered,
        Self::DamageSurvived,
        Self::DamageRefused,
        Self::RecoveryInterrupted,
        Self::SegmentFreed,
        Self::RecordsMoved,
        Self::CompactionDamaged,
        Self::LogPoisoned,
        Self::LogFull,
        Self::LogResumed,
        Self::WritesDropped,
        Self::DiskBusy,
        Self::DiskTimeout,
        Self::ReadWaited,
        Self::MemoryFull,
        Self::RecordsSwept,
        Self::LifetimeOver,
        Self::UnknownApplied,
        Self::AppliedTwice,
        Self::LostWeakly,
        Self::PowerCutSurvived,
        Self::UnknownAnswer,
        Self::NoRouteAnswer,
        Self::NotMemberAnswer,
        Self::OverloadedAnswer,
        Self::OwnerDisowned,
        Self::OwnerSilent,
        Self::ArcCacheHit,
        Self::DeadHopPassed,
        Self::LongWay,
        Self::LookupFailed,
        Self::OtherCore,
        Self::Joined,
        Self::Rejoined,
        Self::LeftInOrder,
        Self::LeftInHaste,
        Self::TwoRings,
        Self::RingsMerged,
        Self::SuccessorsLost,
        Self::IdealAmidFaults,
        Self::RingOfOne,
        Self::RingBeyondList,
    ];
}

/// How many seeds hit each mark; of one seed, 0 or 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marks([u64; Mark::ALL.len()]);

impl Default for Marks {
    fn default() -> Self {
        Self([0; Mark::ALL.len()])
    }
}

impl Marks {
    /// This seed hits it.
    pub const fn hit(&mut self, mark: Mark) {
        self.0[mark as usize] = 1;
    }

    /// This seed hits it if so.
    pub const fn hit_if(&mut self, mark: Mark, is_so: bool) {
        if is_so {
            self.hit(mark);
        }
    }

    /// How many seeds hit it.
    #[must_use]
    pub const fn of(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }
}

impl AddAssign for Marks {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_has_its_own_count_of_seeds() {
        for (number, mark) in Mark::ALL.into_iter().enumerate() {
            assert_eq!(mark as usize, number);
        }
        let mut seed = Marks::default();
        seed.hit(Mark::Joined);
        seed.hit(Mark::Joined);
        seed.hit_if(Mark::LogFull, false);
        let mut all = seed;
        all += seed;
        assert_eq!((all.of(Mark::Joined), all.of(Mark::LogFull)), (2, 0));
    }
}
