//! Bugs on purpose. The simulator proves its worth by finding each of them (RELIABILITY.md, "The
//! simulator"); `tests/src/planted.rs` plants and counts.
//!
//! Without the feature `planted` no bug can be planted: [`is`] is a constant and the code behind it
//! is compiled away. No package turns the feature on by itself. Bugs of replication follow with it:
//! a tie that is broken by arrival needs two copies, and so does a lifetime by somebody else's
//! clock; [`Bug::TtlFromRestart`] is what one host can get wrong of it.

/// A bug that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Bug {
    /// The log: a write is acknowledged when it is handed to the disk.
    AckBeforeSync,
    /// The log: a write that wrote less than it should counts as whole.
    ShortWriteIgnored,
    /// The log: a new segment is used before its name is synchronised.
    NoFolderSync,
    /// The log: recovery ends at the first bad record, whatever follows.
    CutAtFirstBad,
    /// The log: the checksum does not cover the length.
    ChecksumWithoutLength,
    /// The log: all segments have the same salt, one that anybody can guess.
    NoSalt,
    /// The log: a sync that failed is tried again, and its second answer believed.
    SyncRetried,
    /// The log: compaction does not begin with the oldest segment, so that tombstones go before the
    /// records they bury.
    TombstoneDropped,
    /// The log: compaction moves a record whose tombstone is on its way, and so behind it.
    TombstoneOvertaken,
    /// The store: recovery counts a lifetime from the restart.
    TtlFromRestart,
    /// The gateway: a write whose owner is silent is reported as failed.
    TimeoutIsFailure,
    /// The gateway: the number of a request is given again at once.
    NumberReused,
    /// The ring: nobody asks whether an old predecessor still lives: a dead one stays.
    DeadPredecessor,
    /// The ring: a copied list is taken over in any order.
    UnorderedList,
    /// The ring: a lookup may walk back from wherever it arrived, as often as it likes.
    HopLoop,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::AckBeforeSync,
        Self::ShortWriteIgnored,
        Self::NoFolderSync,
        Self::CutAtFirstBad,
        Self::ChecksumWithoutLength,
        Self::NoSalt,
        Self::SyncRetried,
        Self::TombstoneDropped,
        Self::TombstoneOvertaken,
        Self::TtlFromRestart,
        Self::TimeoutIsFailure,
        Self::NumberReused,
        Self::DeadPredecessor,
        Self::UnorderedList,
        Self::HopLoop,
    ];
}

/// Whether this bug is planted in this thread.
#[cfg(not(feature = "planted"))]
#[inline]
#[must_use]
pub const fn is(_: Bug) -> bool {
    false
}

/// Whether this bug is planted in this thread.
#[cfg(feature = "planted")]
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Plants a bug in this thread, or removes it.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}
