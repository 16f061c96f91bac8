//! What a writer knows of its keys: acknowledged, refused and unknown writes, and what a read may
//! therefore say. The oracle of every rig that kills, cuts or fills.
//!
//! A key has the last acknowledged write, or a later one whose answer never came. Anything older is
//! a lost write, a deleted value that is read again is one too, and a value that no write carried
//! comes from nowhere. Writes of a key are sent over one link, which keeps their order.

use proto::version::Version;

/// What a write leaves: a value with this number, or nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Write {
    /// Counts the writes of the key, from 1; 0 is the time before the first.
    pub seq: u64,
    /// Whether it takes the value away.
    pub is_delete: bool,
}

/// What a read said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Nothing is there.
    Absent,
    /// The value of the write with this number, whole.
    Value(u64),
    /// Bytes that no write of this key carried.
    Foreign,
}

/// One key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The last write that counts: acknowledged, or served since.
    settled: Write,
    /// The version it was given, when that is known.
    version: Option<Version>,
    /// Writes after it whose end is not known.
    open: Vec<Write>,
    last: u64,
}

impl Entry {
    /// A key that was never written.
    #[must_use]
    pub fn new() -> Self {
        Self {
            settled: Write {
                seq: 0,
                is_delete: true,
            },
            version: None,
            open: Vec::new(),
            last: 0,
        }
    }

    /// A write is sent.
    pub fn begin(&mut self, is_delete: bool) -> Write {
        self.last += 1;
        let write = Write {
            seq: self.last,
            is_delete,
        };
        self.open.push(write);
        write
    }

    /// A write was answered with `version`. Versions of a key grow, across restarts too.
    pub fn acknowledge(&mut self, write: Write, version: Option<Version>) -> Result<(), String> {
        if write.seq <= self.settled.seq {
            return Ok(());
        }
        let before = self.version;
        self.settle(write, version);
        match (before, version) {
            (Some(before), Some(now)) if now <= before => Err(format!(
                "write {write:?} got version {now:?} after {before:?}"
            )),
            _ => Ok(()),
        }
    }

    /// A write was refused: it must never be seen.
    pub fn refuse(&mut self, write: Write) {
        self.open.retain(|open| *open != write);
    }

    /// A delete found nothing: then nothing may have been there, and it has left nothing either.
    pub fn nothing_to_delete(&mut self, write: Write) -> Result<(), String> {
        self.refuse(write);
        self.observe(Seen::Absent, self.settled)
    }

    /// A read was answered that was sent when `floor` was the last write that counts. What is seen
    /// counts from now on: a value is not served before it is durable.
    pub fn observe(&mut self, seen: Seen, floor: Write) -> Result<(), String> {
        let matches = |write: &Write| match seen {
            Seen::Absent => write.is_delete,
            Seen::Value(seq) => !write.is_delete && write.seq == seq,
            Seen::Foreign => false,
        };
        if matches(&self.settled) || matches(&floor) {
            return Ok(());
        }
        match self.open.iter().copied().find(matches) {
            Some(write) => {
                self.settle(write, None);
                Ok(())
            }
            None => Err(self.complaint(seen)),
        }
    }

    /// A read after everything has come to rest: besides judging it, ends the writes that were
    /// open, because nothing of them can still be under way.
    pub fn conclude(&mut self, seen: Seen, version: Option<Version>) -> Result<(), String> {
        let expected = self.version;
        let before = self.settled;
        let judged = self.observe(seen, self.settled);
        self.open.clear();
        judged?;
        if self.settled != before {
            self.version = version;
            return Ok(());
        }
        match (expected, version) {
            (Some(expected), Some(got)) if expected != got => Err(format!(
                "{before:?} was acknowledged with {expected:?} and is read with {got:?}"
            )),
            _ => Ok(()),
        }
    }

    /// The last write that counts.
    #[must_use]
    pub fn settled(&self) -> Write {
        self.settled
    }

    /// Whether the end of a write is not known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    fn settle(&mut self, write: Write, version: Option<Version>) {
        self.settled = write;
        self.version = version;
        self.open.retain(|open| open.seq > write.seq);
    }

    fn complaint(&self, seen: Seen) -> String {
        let kind = match seen {
            Seen::Foreign => "a value from nowhere",
            Seen::Value(seq) if seq > self.last => "a value that was never written",
            Seen::Value(seq) if seq > self.settled.seq => "a value that was refused",
            Seen::Value(_) if self.settled.is_delete => "a deleted value is back",
            Seen::Value(_) | Seen::Absent => "an acknowledged write is lost",
        };
        format!(
            "{kind}: {seen:?} is read, {:?} counts, {:?} are open",
            self.settled, self.open
        )
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(entry: &mut Entry) -> Write {
        entry.begin(false)
    }

    fn acknowledged(entry: &mut Entry, is_delete: bool) -> Write {
        let write = entry.begin(is_delete);
        entry
            .acknowledge(write, None)
            .expect("no version, no fault");
        write
    }

    fn rest(entry: &mut Entry, seen: Seen) -> Result<(), String> {
        entry.conclude(seen, None)
    }

    fn fails(judged: Result<(), String>, words: &str) {
        let complaint = judged.expect_err(words);
        assert!(complaint.contains(words), "{complaint}");
    }

    #[test]
    fn what_was_acknowledged_is_there_or_lost() {
        let mut entry = Entry::new();
        let first = acknowledged(&mut entry, false);
        let second = acknowledged(&mut entry, false);
        assert_eq!(rest(&mut entry, Seen::Value(second.seq)), Ok(()));
        fails(rest(&mut entry, Seen::Value(first.seq)), "lost");
        fails(rest(&mut entry, Seen::Absent), "lost");
        fails(rest(&mut entry, Seen::Value(9)), "never written");
        fails(rest(&mut entry, Seen::Foreign), "nowhere");
    }

    #[test]
    fn an_unknown_write_may_be_there_and_then_has_to_stay() {
        for seen in [1, 2, 3] {
            let mut entry = Entry::new();
            acknowledged(&mut entry, false);
            put(&mut entry);
            put(&mut entry);
            assert_eq!(rest(&mut entry, Seen::Value(seen)), Ok(()));
            for later in [1, 2, 3].into_iter().filter(|later| *later != seen) {
                rest(&mut entry.clone(), Seen::Value(later)).expect_err("another one");
            }
        }
    }

    #[test]
    fn a_served_value_counts_like_an_acknowledged_one() {
        let mut entry = Entry::new();
        acknowledged(&mut entry, false);
        let floor = entry.settled();
        let open = put(&mut entry);
        assert_eq!(entry.observe(Seen::Value(1), floor), Ok(()));
        assert!(entry.is_open(), "the older value says nothing of the write");
        assert_eq!(entry.observe(Seen::Value(open.seq), floor), Ok(()));
        assert!(!entry.is_open());
        fails(rest(&mut entry, Seen::Value(1)), "lost");
    }

    #[test]
    fn deleted_values_stay_away_and_refused_ones_never_come() {
        let mut entry = Entry::new();
        acknowledged(&mut entry, false);
        acknowledged(&mut entry, true);
        fails(rest(&mut entry.clone(), Seen::Value(1)), "back");
        assert_eq!(rest(&mut entry, Seen::Absent), Ok(()));
        let refused = put(&mut entry);
        entry.refuse(refused);
        fails(rest(&mut entry, Seen::Value(refused.seq)), "refused");
    }

    #[test]
    fn a_delete_that_finds_nothing_gives_a_loss_away() {
        let mut entry = Entry::new();
        let delete = entry.begin(true);
        assert_eq!(entry.nothing_to_delete(delete), Ok(()));
        acknowledged(&mut entry, false);
        let delete = entry.begin(true);
        fails(entry.nothing_to_delete(delete), "lost");
    }

    #[test]
    fn versions_grow_and_are_kept() {
        let version = |stamp| Version { stamp, node: 1 };
        let mut entry = Entry::new();
        let first = put(&mut entry);
        assert_eq!(entry.acknowledge(first, Some(version(5))), Ok(()));
        fails(
            entry.conclude(Seen::Value(1), Some(version(4))),
            "was acknowledged with",
        );
        let second = put(&mut entry);
        fails(entry.acknowledge(second, Some(version(5))), "got version");
    }
}
