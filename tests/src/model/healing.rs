//! Does a ring heal? From a state on, nobody fails or joins any more, everything in flight arrives,
//! members stabilise in turn, and the ring has to become ideal and stay so.
//!
//! The way is a function of the state, so that it is walked once: a state that leads to one whose
//! end is known is known as well. Members look themselves up only where stabilising changes
//! nothing any more, so that the count of such states shows what self-lookups are good for.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use proto::chord::invariant::is_ideal;
use xxhash_rust::xxh3::Xxh3;

use super::cast::Rank;
use super::cell::Cells;
use super::rules::{self, Action, Scope};
use super::state::{Flight, RingState, SLOTS};

/// Where states lead.
#[derive(Debug)]
pub struct Healing {
    known: [Mutex<HashMap<u64, Way>>; SHARDS],
}

/// How a state becomes ideal, or that it does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// By stabilising.
    Stabilising,
    /// With the help of self-lookups.
    SelfLookups,
    /// Not at all.
    Never,
}

impl Default for Healing {
    fn default() -> Self {
        Self {
            known: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Healing {
    /// Where this state leads.
    #[must_use]
    pub fn way(&self, cells: &Cells, scope: Scope, state: &RingState) -> Way {
        let mut passed = Vec::new();
        let mut way = Way::Stabilising;
        let mut now = calmed(state);
        for step in 0.. {
            let key = digest(&now);
            if let Some(known) = self.known(key) {
                way = way.max(known);
                break;
            }
            passed.push(key);
            match next(cells, scope, &now) {
                Next::Ideal => break,
                Next::Step(after) => now = after,
                Next::LookedUp(after) => {
                    way = Way::SelfLookups;
                    now = after;
                }
                Next::Stuck => way = Way::Never,
            }
            if way == Way::Never || step > STEPS_MAX {
                way = Way::Never;
                break;
            }
        }
        for key in passed {
            self.shard(key).insert(key, way);
        }
        way
    }

    /// How many states need self-lookups, of how many that were passed.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for shard in &self.known {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let helped = shard.values().filter(|way| **way == Way::SelfLookups);
            counts = (counts.0 + helped.count(), counts.1 + shard.len());
        }
        counts
    }

    fn known(&self, key: u64) -> Option<Way> {
        self.shard(key).get(&key).copied()
    }

    fn shard(&self, key: u64) -> std::sync::MutexGuard<'_, HashMap<u64, Way>> {
        let index = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        self.known[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Ideal,
    Step(RingState),
    LookedUp(RingState),
    Stuck,
}

/// Nobody joins or fails any more.
fn calmed(state: &RingState) -> RingState {
    let mut calm = state.clone();
    (calm.joins, calm.failures) = (0, 0);
    calm
}

fn next(cells: &Cells, scope: Scope, state: &RingState) -> Next {
    if !state.is_quiet() || is_busy(cells, state) {
        return Next::Step(arrive(cells, state));
    }
    let after = sweep(cells, state);
    if after != *state {
        return Next::Step(after);
    }
    let all_in = cells
        .cast()
        .ranks()
        .all(|r| state.at(r).is_none_or(|cell| cell.is_member()));
    if all_in && is_ideal(&state.pointers(cells.cast()), cells.cast().successors()) {
        return Next::Ideal;
    }
    match scope.self_lookups.then(|| look_up(cells, state)).flatten() {
        Some(after) => Next::LookedUp(after),
        None => Next::Stuck,
    }
}

fn is_busy(cells: &Cells, state: &RingState) -> bool {
    let mut here = cells.cast().ranks().filter_map(|rank| state.at(rank));
    here.any(|cell| cell.essence().stabilising || cell.is_leaving())
}

/// What is in flight arrives, one after the other.
fn arrive(cells: &Cells, state: &RingState) -> RingState {
    let mut now = state.clone();
    for _ in 0..ARRIVALS_MAX {
        let Some(after) =
            arrivals(cells, &now).find_map(|what| rules::apply(cells, ALL_AT_ONCE, &now, what))
        else {
            break;
        };
        now = after;
    }
    now
}

fn arrivals(cells: &Cells, state: &RingState) -> impl Iterator<Item = Action> {
    let cast = cells.cast();
    let questions = cast.ranks().flat_map(move |asker| {
        SLOTS.into_iter().filter_map(move |slot| {
            let (_, of) = state.question(asker, slot)?;
            match state.flight(asker, slot) {
                Flight::Answered(_) => Some(Action::Answer(asker, slot)),
                _ if state.at(of).is_some() => Some(Action::Serve(asker, slot)),
                _ => Some(Action::FindDead(asker, of)),
            }
        })
    });
    let notices = cast.ranks().flat_map(move |from| {
        let to = cast.ranks().filter(move |to| state.has_notice(from, *to));
        to.map(move |to| Action::Notice(from, to))
    });
    let partings = cast.ranks().flat_map(move |from| {
        let to = cast.ranks().filter(move |to| state.has_parting(from, *to));
        to.map(move |to| Action::Parting(from, to))
    });
    let leaving = |rank: &Rank| state.at(*rank).is_some_and(|cell| cell.is_leaving());
    let exits = cast.ranks().filter(leaving).map(Action::Exit);
    questions.chain(notices).chain(partings).chain(exits)
}

/// Joiners try every member in turn, members stabilise in turn.
#[must_use]
pub fn sweep(cells: &Cells, state: &RingState) -> RingState {
    let mut now = state.clone();
    for rank in cells.cast().ranks() {
        for before in cells.cast().ranks() {
            let seeks = now.at(rank).is_some_and(|cell| cell.essence().seeks_place);
            if seeks && now.member(before).is_some() {
                now = after(cells, &now, Action::Join(rank, before));
            }
        }
        now = after(cells, &now, Action::Round(rank));
    }
    now
}

fn look_up(cells: &Cells, state: &RingState) -> Option<RingState> {
    let mut now = state.clone();
    for rank in cells.cast().ranks() {
        let others = cells.cast().ranks().filter(|other| *other != rank);
        let mut members = others.filter_map(|other| now.member(other));
        let owner = members.find(|owner| rules::owns(cells.cast(), owner, rank));
        let owner = owner.map(|owner| owner.rank());
        if let Some(owner) = owner {
            now = after(cells, &now, Action::LookUp(rank, owner));
        }
    }
    (now != *state).then_some(now)
}

fn after(cells: &Cells, state: &RingState, action: Action) -> RingState {
    match rules::apply(cells, ALL_AT_ONCE, state, action) {
        Some(next) => arrive(cells, &next),
        None => state.clone(),
    }
}

fn digest(state: &RingState) -> u64 {
    let mut hasher = Xxh3::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// On the way to healing every question is answered before the next thing happens.
const ALL_AT_ONCE: Scope = Scope {
    self_lookups: true,
    returns: false,
    leaves: false,
    shortcuts: true,
};

const SHARDS: usize = 64;

/// Sweeps after which a ring that is not ideal counts as split for good.
const STEPS_MAX: usize = 64;

/// Far more than can be in flight in a ring of so few.
const ARRIVALS_MAX: usize = 1000;
