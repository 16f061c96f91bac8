//! Faults of a simulated disk: the n-th operation fails, once or for ever; and lies, for tests of
//! the tests: a disk that claims what it has not done has to be found out.

use node::engine::wal::disk::{DiskErrorKind, DiskOp};

/// What goes wrong with an operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// It fails.
    Error(DiskErrorKind),
    /// A write, of zeros too, is shorter than it should be and says so; other operations are
    /// interrupted.
    ShortWrite,
    /// A read has one wrong bit; other operations do well.
    FlippedBit,
}

/// Which operations have a fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FaultPlan {
    /// What goes wrong.
    pub fault: Fault,
    /// The first operation that has it, counted from 0 in the order of submission.
    pub from: u64,
    /// The first that has it no more.
    pub to: u64,
    /// Whether reads are spared.
    pub spares_reads: bool,
}

/// What a disk claims although it is not so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lie {
    /// A durable write is not durable: one of so many, none when 0.
    DurableWriteLost(u64),
    /// Syncs of files do nothing.
    SyncIgnored,
    /// Syncs of the folder do nothing.
    FolderSyncIgnored,
    /// A write writes half and reports all: one of so many.
    ShortReportedFull(u64),
}

impl FaultPlan {
    /// One operation has the fault.
    #[must_use]
    pub const fn once(fault: Fault, from: u64) -> Self {
        let to = from + 1;
        Self {
            fault,
            from,
            to,
            spares_reads: false,
        }
    }

    /// That operation has it and all after it.
    #[must_use]
    pub const fn for_ever(fault: Fault, from: u64) -> Self {
        let to = u64::MAX;
        Self {
            fault,
            from,
            to,
            spares_reads: false,
        }
    }

    /// The fault of an operation.
    pub(super) fn fault(&self, number: u64, op: &DiskOp) -> Option<Fault> {
        let is_spared = self.spares_reads && matches!(op, DiskOp::Read { .. });
        (!is_spared && (self.from..self.to).contains(&number)).then_some(self.fault)
    }
}
