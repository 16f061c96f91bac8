//! Fingers: the owner of `me + d·2^(bits·k)` for every digit d and place k (base 2 with one bit a
//! digit, base 16 with four). Hints for routing only.
//!
//! One lookup refreshes every finger that the found owner serves. Fingers that fall into the
//! successor list are not kept. A table that stays as it is gets refreshed ever more slowly, down
//! to a bound.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{ID_BITS, Id};
use crate::peer::{NodeName, Peer};

use super::bounds::FINGER_INTERVALS_MAX;
use super::member::{Chord, Reason};
use super::{LookupResult, Pace};

/// The fingers of one member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FingerTable {
    bits: u8,
    owners: BTreeMap<u16, Peer>,
    refresh: Refresh,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Refresh {
    next: Duration,
    pause: Duration,
    cursor: u16,
    changed: bool,
    is_first: bool,
}

impl Default for FingerTable {
    fn default() -> Self {
        Self::new(1)
    }
}

impl FingerTable {
    /// An empty table of `bits` bits a digit: 1, 2, 4 or 8.
    #[must_use]
    pub const fn new(bits: u8) -> Self {
        assert!(matches!(bits, 1 | 2 | 4 | 8), "finger_bits is 1, 2, 4 or 8");
        let refresh = Refresh {
            next: Duration::MAX,
            pause: Duration::ZERO,
            cursor: 0,
            changed: false,
            is_first: true,
        };
        Self {
            bits,
            owners: BTreeMap::new(),
            refresh,
        }
    }

    /// The table `me` has in a ring of `members`, sorted by id, with a successor list of `listed`.
    #[must_use]
    pub fn ideal(bits: u8, me: &Peer, members: &[Peer], listed: usize) -> Self {
        let mut table = Self::new(bits);
        let here = members.partition_point(|peer| peer.id() < me.id());
        let Some(last) = members.get((here + listed) % members.len().max(1)) else {
            return table;
        };
        if listed + 1 >= members.len() {
            return table;
        }
        let horizon = me.id().distance_to(&last.id());
        for index in table.first_beyond(&horizon)..table.len() {
            let start = me.id().plus(&table.distance(index));
            let at = members.partition_point(|peer| peer.id() < start);
            let owner = members.get(at).or(members.first());
            if let Some(owner) = owner.filter(|owner| *owner != me) {
                table.owners.insert(index, owner.clone());
            }
        }
        table
    }

    /// The distinct owners, nearest first.
    pub fn distinct(&self) -> impl Iterator<Item = &Peer> {
        let mut last = None;
        self.owners.values().filter(move |owner| {
            let id = owner.id();
            last.replace(id) != Some(id)
        })
    }

    const fn len(&self) -> u16 {
        let digits = (1u16 << self.bits) - 1;
        (ID_BITS as u16 / self.bits as u16) * digits
    }

    /// Distance of the start of finger `index` from the member.
    fn distance(&self, index: u16) -> Id {
        let digits = (1u16 << self.bits) - 1;
        let (place, digit) = (u32::from(index / digits), u32::from(index % digits) + 1);
        let shift = place * u32::from(self.bits);
        let set = (0..u32::from(self.bits)).filter(|bit| digit & (1 << bit) != 0);
        set.fold(Id::ZERO, |sum, bit| sum.plus_pow2(shift + bit))
    }

    /// The first finger that starts further away than `horizon`.
    fn first_beyond(&self, horizon: &Id) -> u16 {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.distance(middle) <= *horizon {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// `owner`, `reach` away, owns finger `index` and all others up to its own distance.
    fn fill(&mut self, index: u16, owner: &Peer, reach: &Id) -> bool {
        let end = self.first_beyond(reach);
        let mut changed = false;
        for index in index..end {
            let old = self.owners.insert(index, owner.clone());
            changed |= old.as_ref() != Some(owner);
        }
        self.refresh.cursor = end;
        changed
    }

    fn retain(&mut self, keep: impl Fn(u16, &Peer) -> bool) -> bool {
        let before = self.owners.len();
        self.owners.retain(|index, owner| keep(*index, owner));
        self.owners.len() != before
    }
}

impl Chord {
    pub(super) fn first_finger(&mut self, now: Duration) {
        let interval = self.config.stabilize_interval;
        let refresh = &mut self.fingers.refresh;
        refresh.next = now + self.dice.around(interval);
        refresh.pause = interval;
        refresh.is_first = self.fingers.owners.is_empty();
    }

    pub(super) fn finger_due(&self) -> Option<Duration> {
        let next = self.fingers.refresh.next;
        (next != Duration::MAX).then_some(next)
    }

    pub(super) fn finger_timeout(&mut self, now: Duration) {
        if self.fingers.refresh.next > now {
            return;
        }
        let interval = self.config.stabilize_interval;
        if self.is_looking(Reason::Finger, now) {
            self.fingers.refresh.next = now + interval;
            return;
        }
        let Some(last) = self.successors.last().filter(|_| self.successors.is_full()) else {
            // The list names the whole ring.
            if self.fingers.retain(|_, _| false) {
                self.changed();
            }
            self.fingers.refresh.next = now + self.dice.around(4 * interval);
            return;
        };
        let horizon = self.me.id().distance_to(&last.id());
        let first = self.fingers.first_beyond(&horizon);
        let index = match self.config.pace {
            Pace::Papers if !self.fingers.refresh.is_first => self.papers_index(),
            _ => self.fingers.refresh.cursor.max(first),
        };
        if index < first || index >= self.fingers.len() {
            return self.end_cycle(first, now);
        }
        self.fingers.refresh.cursor = index;
        self.fingers.refresh.next = Duration::MAX;
        let start = self.me.id().plus(&self.fingers.distance(index));
        self.look_up(Reason::Finger, start, None, now);
    }

    pub(super) fn finger_found(&mut self, result: &LookupResult, now: Duration) {
        let index = self.fingers.refresh.cursor;
        if let Ok(found) = result {
            let reach = self.me.id().distance_to(&found.owner.id());
            let came_round = reach < self.fingers.distance(index);
            let changed = if came_round {
                self.fingers.refresh.cursor = self.fingers.len();
                self.fingers.retain(|at, _| at < index)
            } else {
                self.fingers.fill(index, &found.owner, &reach)
            };
            if changed {
                self.fingers.refresh.changed = true;
                self.changed();
            }
        } else {
            self.fingers.refresh.cursor = index + 1;
        }
        let is_quick = self.fingers.refresh.is_first && result.is_ok();
        let pause = if is_quick {
            FIRST_PAUSE.min(self.config.stabilize_interval)
        } else {
            self.fingers.refresh.pause
        };
        let pause = match self.config.pace {
            Pace::Papers if !is_quick => self.dice.papers_pause(self.config.stabilize_interval),
            _ => self.dice.around(pause),
        };
        self.fingers.refresh.next = now + pause;
    }

    /// Fingers on a node that is gone.
    pub(super) fn drop_fingers(&mut self, node: &NodeName, now: Duration) {
        if self.fingers.retain(|_, owner| owner.name() != node) {
            self.changed();
            if self.config.pace == Pace::Papers {
                return;
            }
            let interval = self.config.stabilize_interval;
            self.fingers.refresh.pause = interval;
            let next = now + self.dice.around(interval);
            if self.fingers.refresh.next != Duration::MAX {
                self.fingers.refresh.next = self.fingers.refresh.next.min(next);
            }
        }
    }

    /// Any finger behind the first successor (`fix_fingers` of Stoica et al. 2001, Fig. 7). The
    /// list stands for those that it covers, so their turns pass without a lookup.
    fn papers_index(&mut self) -> u16 {
        let head = self.successors.head().map(Peer::id).unwrap_or_default();
        let first = self.fingers.first_beyond(&self.me.id().distance_to(&head));
        let behind = usize::from(self.fingers.len() - first);
        first + u16::try_from(self.dice.below(behind)).unwrap_or(0)
    }

    fn end_cycle(&mut self, first: u16, now: Duration) {
        if self.fingers.retain(|index, _| index >= first) {
            self.changed();
        }
        let interval = self.config.stabilize_interval;
        let refresh = &mut self.fingers.refresh;
        refresh.pause = if std::mem::take(&mut refresh.changed) {
            interval
        } else {
            (refresh.pause * 2).min(interval * FINGER_INTERVALS_MAX)
        };
        refresh.cursor = 0;
        refresh.is_first = false;
        refresh.next = now
            + match self.config.pace {
                Pace::Adaptive => self.dice.around(refresh.pause),
                Pace::Papers => self.dice.papers_pause(interval),
            };
    }
}

/// Pause between the first lookups of a new member.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chord::testnet::{params, sorted_peers};

    #[test]
    fn distances_grow_digit_by_digit() {
        let base2 = FingerTable::new(1);
        assert_eq!(base2.len(), 256);
        assert_eq!(base2.distance(255), Id::from_high(1 << 63));
        let base16 = FingerTable::new(4);
        assert_eq!(base16.len(), 960);
        assert_eq!(base16.distance(959), Id::from_high(15 << 60));
        assert_eq!(base16.distance(946), Id::from_high(2 << 60));
        for table in [base2, base16] {
            for index in 1..table.len() {
                assert!(table.distance(index - 1) < table.distance(index));
                assert_eq!(table.first_beyond(&table.distance(index - 1)), index);
            }
        }
    }

    #[test]
    fn ideal_table_names_the_owners_beyond_the_list() {
        let peers = sorted_peers(&params(2), 64);
        let table = FingerTable::ideal(1, &peers[5], &peers, 2);
        let horizon = peers[5].id().distance_to(&peers[7].id());
        for (index, owner) in &table.owners {
            assert!(table.distance(*index) > horizon);
            let start = peers[5].id().plus(&table.distance(*index));
            let nearer = |peer: &Peer| start.distance_to(&peer.id());
            assert_eq!(peers.iter().min_by_key(|peer| nearer(peer)), Some(owner));
        }
        assert!(table.distinct().count() >= 3);
    }
}
