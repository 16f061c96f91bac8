//! Who waits for the disk: writes until their record is committed, reads until a write of their key
//! is. Kept by lsn and ended in that order; each ends by its deadline.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::key::Key;
use proto::message::RequestId;

use super::operation::Origin;
use super::service::Written;
use super::wal::names::Lsn;

/// The requests of a core that wait for its disk.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Writes wait for their own record: their lsns grow, and so do their deadlines. One whose time
    /// began elsewhere, before it came to be served here, is among the others.
    writes: VecDeque<Waiter>,
    /// Everything else waits for an earlier record; the second number is that of arrival.
    others: BTreeMap<(Lsn, u64), Waiter>,
    arrived: u64,
    held_bytes: usize,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    /// What it waits for.
    pub(super) lsn: Lsn,
    pub(super) asker: Asker,
    pub(super) wanted: Wanted,
    pub(super) deadline: Duration,
    /// Bytes of its value, which lies in the log until it is committed.
    pub(super) held_bytes: usize,
}

/// Who gets the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// A client or gateway of this core.
    Origin(Origin),
    /// The same, with a write that an earlier owner may have applied.
    Doubtful(Origin),
    /// Another core of this node, by its number for the operation.
    Core { from: u8, request: RequestId },
}

/// What is answered at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// This, to a write.
    Written(Written),
    /// What the store has then of this key, to a read.
    Read(Key),
}

impl Waiting {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.writes.len() + self.others.len()
    }

    /// How many of them are clients of this core.
    pub(super) fn clients_len(&self) -> usize {
        let all = self.writes.iter().chain(self.others.values());
        all.filter(|waiter| waiter.is_client()).count()
    }

    /// Bytes of values that they hold.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes one in.
    pub(super) fn push(&mut self, waiter: Waiter) {
        self.held_bytes += waiter.held_bytes;
        let is_last = self
            .writes
            .back()
            .is_none_or(|last| last.lsn < waiter.lsn && last.deadline <= waiter.deadline);
        if is_last && matches!(waiter.wanted, Wanted::Written(_)) {
            return self.writes.push_back(waiter);
        }
        self.arrived += 1;
        self.others.insert((waiter.lsn, self.arrived), waiter);
    }

    /// The next one whose lsn is `upto` or lower.
    pub(super) fn pop_committed(&mut self, upto: Lsn) -> Option<Waiter> {
        let write = self.writes.front().map(|waiter| waiter.lsn);
        let other = self.others.first_key_value().map(|((lsn, _), _)| *lsn);
        let is_write = write.is_some_and(|lsn| lsn <= upto && other.is_none_or(|it| lsn <= it));
        let waiter = if is_write {
            self.writes.pop_front()
        } else {
            other.filter(|lsn| *lsn <= upto)?;
            self.others.pop_first().map(|(_, waiter)| waiter)
        }?;
        self.held_bytes -= waiter.held_bytes;
        Some(waiter)
    }

    /// All that wait for `from` or a higher lsn, in the order of what they wait for.
    pub(super) fn take_dropped(&mut self, from: Lsn) -> Vec<Waiter> {
        let kept = self.writes.partition_point(|waiter| waiter.lsn < from);
        let others = self.others.split_off(&(from, 0));
        let mut dropped: Vec<_> = self
            .writes
            .drain(kept..)
            .chain(others.into_values())
            .collect();
        dropped.sort_by_key(|waiter| waiter.lsn);
        self.forget(&dropped);
        dropped
    }

    /// All whose deadline has come.
    pub(super) fn take_overdue(&mut self, now: Duration) -> Vec<Waiter> {
        let due = self.writes.partition_point(|waiter| waiter.deadline <= now);
        let mut overdue: Vec<_> = self.writes.drain(..due).collect();
        let is_due = |waiter: &Waiter| waiter.deadline <= now;
        let others = self.others.iter().filter(|(_, waiter)| is_due(waiter));
        let others: Vec<_> = others.map(|(place, _)| *place).collect();
        overdue.extend(others.iter().filter_map(|place| self.others.remove(place)));
        self.forget(&overdue);
        overdue
    }

    /// Gives up the reads of a link that is gone.
    pub(super) fn give_up(&mut self, is_orphaned: impl Fn(&Origin) -> bool) {
        self.others.retain(|_, waiter| {
            let is_read = matches!(waiter.wanted, Wanted::Read(_));
            !(is_read && matches!(&waiter.asker, Asker::Origin(origin) if is_orphaned(origin)))
        });
    }

    fn forget(&mut self, gone: &[Waiter]) {
        self.held_bytes -= gone.iter().map(|waiter| waiter.held_bytes).sum::<usize>();
    }
}

impl Waiter {
    fn is_client(&self) -> bool {
        matches!(
            self.asker,
            Asker::Origin(Origin::Front(_) | Origin::Client(_))
                | Asker::Doubtful(Origin::Front(_) | Origin::Client(_))
        )
    }
}

#[cfg(test)]
mod tests {
    use proto::version::Version;

    use super::*;
    use crate::engine::request::Ticket;

    fn write(lsn: u64, deadline_s: u64) -> Waiter {
        Waiter {
            lsn: Lsn(lsn),
            asker: Asker::Origin(Origin::Front(Ticket(lsn))),
            wanted: Wanted::Written(Written::Stored(Version::default())),
            deadline: Duration::from_secs(deadline_s),
            held_bytes: 10,
        }
    }

    fn read(lsn: u64, deadline_s: u64) -> Waiter {
        Waiter {
            wanted: Wanted::Read(Key::from_bytes([1; 32])),
            held_bytes: 0,
            ..write(lsn, deadline_s)
        }
    }

    fn waiting() -> Waiting {
        let mut waiting = Waiting::default();
        for waiter in [
            write(2, 1),
            write(3, 1),
            read(2, 1),
            write(5, 2),
            read(5, 2),
            read(3, 3),
        ] {
            waiting.push(waiter);
        }
        waiting
    }

    fn lsns(waiters: &[Waiter]) -> Vec<u64> {
        waiters.iter().map(|waiter| waiter.lsn.0).collect()
    }

    #[test]
    fn they_end_in_the_order_of_what_they_wait_for() {
        let mut waiting = waiting();
        assert_eq!((waiting.len(), waiting.clients_len()), (6, 6));
        let mut ended = Vec::new();
        while let Some(waiter) = waiting.pop_committed(Lsn(4)) {
            ended.push(waiter);
        }
        assert_eq!(lsns(&ended), [2, 2, 3, 3]);
        assert_eq!((waiting.len(), waiting.held_bytes()), (2, 10));
        assert!(waiting.pop_committed(Lsn(4)).is_none());
    }

    #[test]
    fn those_that_wait_for_what_was_dropped_are_taken_out() {
        let mut waiting = waiting();
        assert_eq!(lsns(&waiting.take_dropped(Lsn(3))), [3, 3, 5, 5]);
        assert_eq!((waiting.len(), waiting.held_bytes()), (2, 10));
        waiting.push(write(3, 9));
        assert_eq!(waiting.len(), 3, "an lsn is given again");
    }

    /// Found by simulation: a request that came to be served here late got all of its time anew.
    #[test]
    fn a_write_whose_time_began_earlier_ends_earlier() {
        let mut waiting = Waiting::default();
        waiting.push(write(1, 20));
        waiting.push(write(2, 10));
        waiting.push(write(3, 30));
        let overdue = waiting.take_overdue(Duration::from_secs(10));
        assert_eq!(
            overdue.iter().map(|it| it.lsn).collect::<Vec<_>>(),
            [Lsn(2)]
        );
        let left = [1, 3].map(|_| waiting.pop_committed(Lsn(3)).map(|it| it.lsn));
        assert_eq!(left, [Some(Lsn(1)), Some(Lsn(3))]);
    }

    #[test]
    fn a_deadline_ends_them_too() {
        let mut waiting = waiting();
        assert_eq!(
            lsns(&waiting.take_overdue(Duration::from_secs(1))),
            [2, 3, 2]
        );
        assert_eq!(lsns(&waiting.take_overdue(Duration::from_secs(2))), [5, 5]);
        assert_eq!((waiting.len(), waiting.held_bytes()), (1, 0));
    }

    #[test]
    fn reads_of_a_link_that_is_gone_are_given_up_and_writes_stay() {
        let mut waiting = waiting();
        waiting.give_up(|origin| *origin == Origin::Front(Ticket(5)));
        assert_eq!(waiting.len(), 5);
    }
}
