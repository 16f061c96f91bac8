//! The invariant of CHORD.md (Zave 2017) as a function on a snapshot of a ring.
//!
//! Two properties imply the rest: every live member has a live successor, and enough members are
//! skipped by nobody. The rest (ordered lists, one ordered ring, connected appendages) is checked
//! too, as a check of the checker. Dead members may be given, or left out: whoever is not live is
//! dead.

use std::fmt;

use crate::id::Id;

/// The pointers of one member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberState {
    /// Its id.
    pub id: Id,
    /// Its predecessor.
    pub predecessor: Option<Id>,
    /// Its successor list, nearest first.
    pub successors: Vec<Id>,
    /// Whether it is alive and in the ring.
    pub live: bool,
}

/// One way in which a ring is broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Violation {
    /// No entry of a live member's list is alive.
    NoLiveSuccessor {
        /// The member.
        member: Id,
    },
    /// Too few members are skipped by nobody.
    TooFewPrincipals {
        /// How many there are.
        got: usize,
        /// How many there must be: s + 1, or all members of a smaller ring.
        expected: usize,
    },
    /// A list contains its own member.
    ContainsSelf {
        /// The member.
        member: Id,
    },
    /// A list names somebody twice.
    Duplicate {
        /// The member.
        member: Id,
        /// Who is named twice.
        entry: Id,
    },
    /// A list is not in the order of the circle.
    Unordered {
        /// The member.
        member: Id,
        /// The entry that is not behind the one before it.
        entry: Id,
    },
    /// A list is longer than s.
    TooLong {
        /// The member.
        member: Id,
        /// Its length.
        len: usize,
    },
    /// First live successors form more than one ring, or none.
    NotOneRing {
        /// How many there are.
        rings: usize,
    },
    /// The ring winds round the circle more than once.
    WindsTwice {
        /// A member of the ring.
        member: Id,
    },
    /// A member from which the ring is not reached.
    Disconnected {
        /// The member.
        member: Id,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLiveSuccessor { member } => {
                write!(f, "{member:?} has no live successor")
            }
            Self::TooFewPrincipals { got, expected } => {
                write!(
                    f,
                    "only {got} members are skipped by nobody, {expected} must be"
                )
            }
            Self::ContainsSelf { member } => {
                write!(f, "the successor list of {member:?} contains itself")
            }
            Self::Duplicate { member, entry } => {
                write!(f, "the successor list of {member:?} names {entry:?} twice")
            }
            Self::Unordered { member, entry } => {
                write!(
                    f,
                    "the successor list of {member:?} is out of order at {entry:?}"
                )
            }
            Self::TooLong { member, len } => {
                write!(f, "the successor list of {member:?} has {len} entries")
            }
            Self::NotOneRing { rings } => write!(f, "there are {rings} rings instead of one"),
            Self::WindsTwice { member } => {
                write!(
                    f,
                    "the ring of {member:?} winds round the circle more than once"
                )
            }
            Self::Disconnected { member } => {
                write!(f, "the ring is not reached from {member:?}")
            }
        }
    }
}

/// Every violation in a snapshot of members with lists of at most `list_len` entries; in
/// O(N·s·log N).
#[must_use]
pub fn check(members: &[MemberState], list_len: usize) -> Vec<Violation> {
    let live = Live::of(members);
    let mut violations = Vec::new();
    for member in &live.members {
        check_list(member, list_len, &mut violations);
        let alone = live.ids.len() == 1 && member.successors.is_empty();
        if !alone && live.first_successor(member).is_none() {
            violations.push(Violation::NoLiveSuccessor { member: member.id });
        }
    }
    let (got, expected) = (live.principals(), live.ids.len().min(list_len + 1));
    if got < expected {
        violations.push(Violation::TooFewPrincipals { got, expected });
    }
    live.check_ring(&mut violations);
    violations
}

/// Whether all pointers are what they should be: lists are the true next `list_len` members, and
/// predecessors mirror successors.
#[must_use]
pub fn is_ideal(members: &[MemberState], list_len: usize) -> bool {
    let live = Live::of(members);
    let count = live.ids.len();
    live.members.iter().enumerate().all(|(rank, member)| {
        let len = list_len.min(count - 1);
        let next = (1..=len).map(|step| live.ids[(rank + step) % count]);
        let before = (count > 1).then(|| live.ids[(rank + count - 1) % count]);
        member.predecessor == before && member.successors.iter().copied().eq(next)
    })
}

fn check_list(member: &MemberState, list_len: usize, violations: &mut Vec<Violation>) {
    let list = &member.successors;
    let id = member.id;
    if list.len() > list_len {
        violations.push(Violation::TooLong {
            member: id,
            len: list.len(),
        });
    }
    if list.contains(&id) {
        violations.push(Violation::ContainsSelf { member: id });
    }
    let mut sorted = list.clone();
    sorted.sort_unstable();
    for pair in sorted.windows(2).filter(|pair| pair[0] == pair[1]) {
        violations.push(Violation::Duplicate {
            member: id,
            entry: pair[0],
        });
    }
    let distance = |entry: &Id| id.distance_to(entry);
    for pair in list
        .windows(2)
        .filter(|pair| distance(&pair[0]) >= distance(&pair[1]))
    {
        violations.push(Violation::Unordered {
            member: id,
            entry: pair[1],
        });
    }
}

/// The live members, sorted by id.
struct Live<'a> {
    members: Vec<&'a MemberState>,
    ids: Vec<Id>,
}

impl<'a> Live<'a> {
    fn of(members: &'a [MemberState]) -> Self {
        let mut members: Vec<_> = members.iter().filter(|member| member.live).collect();
        members.sort_unstable_by_key(|member| member.id);
        members.dedup_by_key(|member| member.id);
        let ids = members.iter().map(|member| member.id).collect();
        Self { members, ids }
    }

    /// Rank of the first live entry of the list.
    fn first_successor(&self, member: &MemberState) -> Option<usize> {
        let mut ranks = member
            .successors
            .iter()
            .map(|id| self.ids.binary_search(id));
        ranks.find_map(Result::ok)
    }

    /// How many live members no live member's extended list skips: each adjacent pair (x, y) marks
    /// the ranks strictly between, in a difference array.
    fn principals(&self) -> usize {
        let count = self.ids.len();
        let mut marks = vec![0i64; count + 1];
        let mut mark = |from: usize, to: usize| {
            if from < to {
                marks[from] += 1;
                marks[to] -= 1;
            }
        };
        for member in &self.members {
            let mut x = member.id;
            for y in &member.successors {
                let from = self.ids.partition_point(|id| *id <= x);
                let to = self.ids.partition_point(|id| id < y);
                if x < *y {
                    mark(from, to);
                } else {
                    mark(from, count);
                    mark(0, to);
                }
                x = *y;
            }
        }
        let mut skips = 0;
        let skipped = marks[..count].iter().map(|change| {
            skips += change;
            skips
        });
        skipped.filter(|skips| *skips == 0).count()
    }

    /// First live successors form a graph: there must be one cycle, it must go round the circle
    /// once, and every walk must end in it.
    fn check_ring(&self, violations: &mut Vec<Violation>) {
        let next: Vec<Option<usize>> = match self.members.as_slice() {
            [] => return,
            [only] => vec![self.first_successor(only).or(Some(0))],
            members => members.iter().map(|m| self.first_successor(m)).collect(),
        };
        let ends = walk_ends(&next);
        let mut rings: Vec<usize> = ends.iter().flatten().copied().collect();
        rings.sort_unstable();
        rings.dedup();
        if rings.len() != 1 {
            violations.push(Violation::NotOneRing { rings: rings.len() });
        }
        for ring in rings.into_iter().filter(|ring| winds(*ring, &next) > 1) {
            let member = self.ids[ring];
            violations.push(Violation::WindsTwice { member });
        }
        for (rank, _) in ends.iter().enumerate().filter(|(_, end)| end.is_none()) {
            let member = self.ids[rank];
            violations.push(Violation::Disconnected { member });
        }
    }
}

/// For each rank, the cycle its walk ends in, named by one of its ranks; `None` for a dead end.
fn walk_ends(next: &[Option<usize>]) -> Vec<Option<usize>> {
    let mut ends: Vec<Option<usize>> = vec![None; next.len()];
    let mut walked = vec![usize::MAX; next.len()];
    for start in 0..next.len() {
        let (mut way, mut at) = (Vec::new(), Some(start));
        while let Some(rank) = at.filter(|rank| walked[*rank] == usize::MAX) {
            walked[rank] = start;
            way.push(rank);
            at = next[rank];
        }
        // The walk stopped at a dead end, at itself (a new cycle) or at an earlier walk.
        let end = at.and_then(|rank| {
            if walked[rank] == start {
                Some(rank)
            } else {
                ends[rank]
            }
        });
        way.into_iter().for_each(|rank| ends[rank] = end);
    }
    ends
}

/// How often the cycle through `start` goes round the circle: steps that do not ascend in rank.
fn winds(start: usize, next: &[Option<usize>]) -> usize {
    let (mut at, mut winds) = (start, 0);
    while let Some(to) = next[at] {
        winds += usize::from(to <= at);
        at = to;
        if at == start {
            break;
        }
    }
    winds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> Id {
        Id::from_high(n as u64 * 10)
    }

    fn ideal(count: usize, list_len: usize) -> Vec<MemberState> {
        let member = |rank: usize| MemberState {
            id: id(rank),
            predecessor: (count > 1).then(|| id((rank + count - 1) % count)),
            successors: (1..=list_len.min(count - 1))
                .map(|i| id((rank + i) % count))
                .collect(),
            live: true,
        };
        (0..count).map(member).collect()
    }

    #[test]
    fn ideal_rings_are_clean() {
        for count in 1..12 {
            let ring = ideal(count, 3);
            assert_eq!(check(&ring, 3), []);
            assert!(is_ideal(&ring, 3));
        }
    }

    #[test]
    fn two_rings_are_seen() {
        let mut ring = ideal(8, 2);
        for (rank, member) in ring.iter_mut().enumerate() {
            member.successors = vec![id((rank + 2) % 8), id((rank + 4) % 8)];
        }
        let violations = check(&ring, 2);
        assert!(violations.contains(&Violation::NotOneRing { rings: 2 }));
        assert!(violations.contains(&Violation::TooFewPrincipals {
            got: 0,
            expected: 3
        }));
        assert!(!is_ideal(&ring, 2));
    }

    #[test]
    fn ring_that_winds_twice_is_seen() {
        let mut ring = ideal(5, 1);
        for (rank, member) in ring.iter_mut().enumerate() {
            member.successors = vec![id((rank + 2) % 5)];
        }
        let violations = check(&ring, 1);
        assert!(
            violations
                .iter()
                .any(|v| matches!(v, Violation::WindsTwice { .. }))
        );
    }

    #[test]
    fn dead_lists_and_appendages_are_told_apart() {
        let mut ring = ideal(8, 2);
        ring[3].live = false;
        assert_eq!(check(&ring, 2), []);
        ring[4].live = false;
        let violations = check(&ring, 2);
        assert!(violations.contains(&Violation::NoLiveSuccessor { member: id(2) }));
        let mut ring = ideal(8, 2);
        ring[1].successors = vec![id(3), id(4)];
        ring[0].successors = vec![id(1), id(3)];
        // Member 2 is an appendage: skipped, but still connected.
        assert_eq!(check(&ring, 2), []);
        assert!(!is_ideal(&ring, 2));
    }

    #[test]
    fn bad_lists_are_named() {
        let mut ring = ideal(5, 3);
        ring[0].successors = vec![id(2), id(1), id(0), id(2)];
        let violations = check(&ring, 3);
        let has = |wanted: &Violation| violations.contains(wanted);
        assert!(has(&Violation::TooLong {
            member: id(0),
            len: 4
        }));
        assert!(has(&Violation::ContainsSelf { member: id(0) }));
        assert!(has(&Violation::Duplicate {
            member: id(0),
            entry: id(2)
        }));
        assert!(has(&Violation::Unordered {
            member: id(0),
            entry: id(1)
        }));
        assert!(
            violations
                .iter()
                .all(|violation| !violation.to_string().is_empty())
        );
    }
}
