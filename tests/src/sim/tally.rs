//! How often each kind of fault was injected: counted where it takes effect, not where it is asked
//! for. A partition counts for every pair of hosts that it cuts, a broken link for each link; that
//! nodes join is no fault and shows in the marks.

use std::ops::AddAssign;

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FaultKind {
    /// A message took much longer than usual.
    SlowMessage,
    /// A link broke; a part of what was under way arrived.
    LinkBroken,
    /// A dial was refused although the node serves.
    DialRefused,
    /// Messages in both directions between two hosts were held up.
    Partition,
    /// Messages in one direction were held up.
    OneWayPartition,
    /// A message was held up by a partition.
    HeldMessage,
    /// A request of the ring arrived twice.
    Duplicate,
    /// A message overtook an earlier one between the same hosts.
    Reordered,
    /// A node was stopped for a while (SIGSTOP).
    Pause,
    /// A core did not get the CPU for a while.
    Stall,
    /// A process was killed (SIGKILL).
    Kill,
    /// A host lost its power.
    PowerCut,
    /// A host lost its disks.
    Wipe,
    /// A node left gracefully.
    Leave,
    /// A node that had been down started again.
    Restart,
    /// A write that was not durable was torn by a power cut.
    TornWrite,
    /// A write that was not durable was lost by a power cut.
    LostWrite,
    /// A disk wrote less than it was asked to.
    ShortWrite,
    /// A disk failed an operation.
    DiskError,
    /// A disk said to try again.
    DiskInterrupted,
    /// A disk had no room.
    DiskFull,
    /// A bit on a medium was turned over.
    BitFlip,
    /// A read had a wrong bit.
    FlippedRead,
    /// A disk took much longer than usual.
    SlowDisk,
    /// A disk did nothing for a while.
    StuckDisk,
    /// A wall clock was set to within the bound of skew.
    SkewWithin,
    /// A wall clock was set beyond the bound.
    SkewBeyond,
    /// A wall clock jumped back.
    ClockBack,
    /// Mail between two cores was slow.
    SlowMail,
    /// Mail overtook earlier mail of another core.
    ReorderedMail,
}

impl FaultKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 30] = [
        Self::SlowMessage,
        Self::LinkBroken,
        Self::DialRefused,
        Self::Partition,
        Self::OneWayPartition,
        Self::HeldMessage,
        Self::Duplicate,
        Self::Reordered,
        Self::Pause,
        Self::Stall,
        Self::Kill,
        Self::PowerCut,
        Self::Wipe,
        Self::Leave,
        Self::Restart,
        Self::TornWrite,
        Self::LostWrite,
        Self::ShortWrite,
        Self::DiskError,
        Self::DiskInterrupted,
        Self::DiskFull,
        Self::BitFlip,
        Self::FlippedRead,
        Self::SlowDisk,
        Self::StuckDisk,
        Self::SkewWithin,
        Self::SkewBeyond,
        Self::ClockBack,
        Self::SlowMail,
        Self::ReorderedMail,
    ];
}

/// Counts by kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally([u64; FaultKind::ALL.len()]);

impl Tally {
    /// Counts one.
    pub(super) const fn count(&mut self, kind: FaultKind) {
        self.0[kind as usize] += 1;
    }

    /// How many of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How often a kind was injected.
    #[must_use]
    pub const fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind as usize]
    }
}

impl AddAssign for Tally {
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
    fn every_kind_has_its_own_count() {
        for (number, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
        let mut tally = Tally::default();
        tally.count(FaultKind::Kill);
        tally += tally;
        assert_eq!(
            (tally.of(FaultKind::Kill), tally.of(FaultKind::Wipe)),
            (2, 0)
        );
    }
}
