//! What is claimed of every state: the invariant of CHORD.md, judged by the production checker, as
//! far as it applies to a ring of that size; and which failures the claims allow for.
//!
//! Zave's proof begins at s + 1 principals. A smaller ring is judged by the same checker with two
//! allowances: a newcomer nobody knows yet is skipped by others, so principals are not counted; and
//! a member whose list is empty goes on with its predecessor or, knowing nobody, is a ring by
//! itself until it is notified.

use proto::chord::invariant::{MemberState, Violation, check};
use proto::id::Id;

use super::cast::{Cast, Rank};
use super::cell::Cells;
use super::rules;
use super::state::RingState;

/// What failures are assumed to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assumption {
    /// The whole invariant: at least s + 1 principals, and a live successor for everybody.
    Proof,
    /// A live successor for everybody who had one.
    Successors,
    /// Nothing: who has lost all successors has to find the ring again.
    Nothing,
}

impl Assumption {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Proof, Self::Successors, Self::Nothing];

    /// The word of the command line and the tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proof => "proof",
            Self::Successors => "successors",
            Self::Nothing => "nothing",
        }
    }

    /// Whether this member may fail now. What is on its way to somebody counts as theirs: a list
    /// that was copied before a death is adopted after it.
    #[must_use]
    pub fn allows(self, cells: &Cells, state: &RingState, victim: Rank) -> bool {
        let mut after = state.clone();
        after.fail(victim);
        let members = |rank: &Rank| after.member(*rank).is_some();
        let left = cells.cast().ranks().filter(members).count();
        match self {
            _ if left == 0 => false,
            Self::Nothing => true,
            Self::Successors => keeps_successors(cells, state, &after),
            Self::Proof => {
                left > cells.cast().successors()
                    && keeps_successors(cells, state, &after)
                    && every_outlook_holds(cells, &after)
            }
        }
    }

    /// What is wrong with a state.
    #[must_use]
    pub fn violations(self, cast: &Cast, state: &RingState) -> Vec<Violation> {
        let pointers = state.pointers(cast);
        match self {
            Self::Proof => check(&pointers, cast.successors()),
            Self::Successors => small_ring(pointers, cast.successors()),
            Self::Nothing => {
                let mut found = check(&pointers, cast.successors());
                found.retain(is_about_a_list);
                found
            }
        }
    }
}

/// Whether a list is out of order, names somebody twice or its own member, or is too long.
#[must_use]
pub const fn is_about_a_list(violation: &Violation) -> bool {
    matches!(
        violation,
        Violation::Unordered { .. }
            | Violation::Duplicate { .. }
            | Violation::ContainsSelf { .. }
            | Violation::TooLong { .. }
    )
}

fn small_ring(mut pointers: Vec<MemberState>, len_max: usize) -> Vec<Violation> {
    let mut by_itself: Vec<Id> = Vec::new();
    let live: Vec<Id> = pointers.iter().filter(|m| m.live).map(|m| m.id).collect();
    for member in &mut pointers {
        if member.successors.is_empty() {
            let before = member.predecessor.filter(|before| live.contains(before));
            let next = before.unwrap_or(member.id);
            member.successors.push(next);
            by_itself.extend((next == member.id).then_some(next));
        }
    }
    let mut found = check(&pointers, len_max);
    found.retain(|violation| match violation {
        Violation::TooFewPrincipals { .. } => false,
        Violation::ContainsSelf { member } => !by_itself.contains(member),
        _ => true,
    });
    found
}

fn keeps_successors(cells: &Cells, before: &RingState, after: &RingState) -> bool {
    cells.cast().ranks().all(|rank| {
        let lists = rules::lists(cells, after, rank);
        lists.iter().all(|list| {
            let has_live = |state: &RingState| list.iter().any(|r| state.member(*r).is_some());
            has_live(after) || !has_live(before)
        })
    })
}

/// Whether the invariant holds whatever answers on their way arrive first.
fn every_outlook_holds(cells: &Cells, state: &RingState) -> bool {
    let cast = cells.cast();
    let mut outlooks = vec![state.pointers(cast)];
    for rank in cast.ranks() {
        let Some(member) = state.member(rank) else {
            continue;
        };
        let id = cast.peer(member.rank()).id();
        for list in rules::lists(cells, state, rank).into_iter().skip(1) {
            let list: Vec<Id> = list.iter().map(|rank| cast.peer(*rank).id()).collect();
            let adopted = outlooks.clone().into_iter().map(|mut pointers| {
                for member in pointers.iter_mut().filter(|member| member.id == id) {
                    member.successors.clone_from(&list);
                }
                pointers
            });
            let adopted: Vec<_> = adopted.collect();
            outlooks.extend(adopted);
        }
    }
    outlooks
        .iter()
        .all(|pointers| check(pointers, cast.successors()).is_empty())
}
