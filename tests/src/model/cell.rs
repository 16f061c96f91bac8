//! Members shared between the states that contain them. Small rings have few different members and
//! very many combinations, so each member that differs up to the passing of time is kept once, and
//! what an input makes of it is computed once, by the production machine.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use proto::chord::{Essence, Phase};
use proto::planted::Bug;
use xxhash_rust::xxh3::Xxh3;

use super::actor::{Actor, Effect, Input};
use super::cast::{Cast, Rank};

/// A member as it stands in any number of states.
#[derive(Debug)]
pub struct Cell {
    rank: Rank,
    actor: Actor,
    essence: Essence,
    successors: Vec<Rank>,
    digest: u64,
    steps: RwLock<HashMap<Input, Arc<Outcome>>>,
}

/// What an input leads to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The member afterwards.
    pub next: Arc<Cell>,
    /// What it does.
    pub effects: Vec<Effect>,
}

/// All members met so far, of one exploration.
#[derive(Debug)]
pub struct Cells {
    cast: Cast,
    bug: Option<Bug>,
    known: Mutex<HashMap<(Rank, Essence), Arc<Cell>>>,
}

impl Cells {
    /// Nobody yet; `bug` is planted in every machine.
    #[must_use]
    pub fn new(cast: Cast, bug: Option<Bug>) -> Self {
        Self {
            cast,
            bug,
            known: Mutex::default(),
        }
    }

    /// Who plays.
    #[must_use]
    pub const fn cast(&self) -> &Cast {
        &self.cast
    }

    /// How many different members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether nobody has been met.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one cell of everybody who is like `actor`.
    #[must_use]
    pub fn cell(&self, actor: Actor) -> Arc<Cell> {
        let essence = actor.essence();
        let rank = self.cast.rank(&actor.chord().me().id());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry((rank, essence.clone()));
        Arc::clone(entry.or_insert_with(|| {
            let mut hasher = Xxh3::new();
            (rank, &essence).hash(&mut hasher);
            let successors = essence.successors.iter();
            Arc::new(Cell {
                rank,
                successors: successors.map(|id| self.cast.rank(id)).collect(),
                essence,
                actor,
                digest: hasher.finish(),
                steps: RwLock::default(),
            })
        }))
    }

    /// What `input` makes of a member.
    #[must_use]
    pub fn step(&self, cell: &Cell, input: Input) -> Arc<Outcome> {
        let known = cell.steps.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = known.get(&input) {
            return Arc::clone(outcome);
        }
        drop(known);
        let mut actor = cell.actor.clone();
        let effects = actor.step(&self.cast, self.bug, input);
        let next = self.cell(actor);
        let outcome = Arc::new(Outcome { next, effects });
        let mut steps = cell.steps.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(steps.entry(input).or_insert(outcome))
    }
}

impl Cell {
    /// Its rank.
    #[must_use]
    pub const fn rank(&self) -> Rank {
        self.rank
    }

    /// The machine in it.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Its state up to the passing of time.
    #[must_use]
    pub const fn essence(&self) -> &Essence {
        &self.essence
    }

    /// Its successor list.
    #[must_use]
    pub fn successors(&self) -> &[Rank] {
        &self.successors
    }

    /// Whether it is in the ring.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.essence.phase == Phase::Member
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Cell {}

impl Hash for Cell {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}
