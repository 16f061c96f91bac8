//! Members shared between the states that contain them. Small rings have few different members and
//! very many combinations, so each member that differs up to the passing of time is kept once, and
//! what an input makes of it is computed once, by the production machine.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use proto::chord::{Essence, Phase, Purpose};
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
    predecessor: Option<Rank>,
    successors: Vec<Rank>,
    asking: Vec<(Purpose, Rank)>,
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
    comparisons: AtomicUsize,
}

impl Cells {
    /// Nobody yet; `bug` is planted in every machine.
    #[must_use]
    pub fn new(cast: Cast, bug: Option<Bug>) -> Self {
        Self {
            cast,
            bug,
            known: Mutex::default(),
            comparisons: AtomicUsize::new(0),
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
    ///
    /// # Panics
    /// When a member that is like another up to the passing of time behaves differently: each one
    /// that comes by another way is given all inputs whose outcome is known.
    #[must_use]
    pub fn cell(&self, actor: Actor) -> Arc<Cell> {
        let essence = actor.essence();
        let rank = self.cast.rank(&actor.chord().me().id());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = known.get(&(rank, essence.clone())) {
            let cell = Arc::clone(cell);
            drop(known);
            self.compare(&cell, &actor);
            return cell;
        }
        let cell = Arc::new(Cell::new(&self.cast, actor));
        known.insert((rank, essence), Arc::clone(&cell));
        cell
    }

    /// How many times a member was compared with one that is like it.
    #[must_use]
    pub fn comparisons(&self) -> usize {
        self.comparisons.load(Ordering::Relaxed)
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

    fn compare(&self, cell: &Cell, actor: &Actor) {
        let known = cell.steps.read().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<_> = known
            .iter()
            .map(|(input, outcome)| (*input, Arc::clone(outcome)))
            .collect();
        for (input, outcome) in &known {
            let mut other = actor.clone();
            let effects = other.step(&self.cast, self.bug, *input);
            assert!(
                effects == outcome.effects && other.essence() == outcome.next.essence,
                "{input:?} tells two members apart that should be alike: {:?}",
                cell.essence
            );
        }
        self.comparisons.fetch_add(known.len(), Ordering::Relaxed);
    }
}

impl Cell {
    fn new(cast: &Cast, actor: Actor) -> Self {
        let essence = actor.essence();
        let rank = cast.rank(&actor.chord().me().id());
        let mut hasher = Xxh3::new();
        (rank, &essence).hash(&mut hasher);
        let asking = essence.asking.iter().map(|(why, of)| (*why, cast.rank(of)));
        Self {
            rank,
            predecessor: essence.predecessor.map(|id| cast.rank(&id)),
            successors: essence.successors.iter().map(|id| cast.rank(id)).collect(),
            asking: asking.collect(),
            essence,
            actor,
            digest: hasher.finish(),
            steps: RwLock::default(),
        }
    }

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

    /// What it has asked whom, the oldest question first.
    #[must_use]
    pub fn asking(&self) -> &[(Purpose, Rank)] {
        &self.asking
    }

    /// Its predecessor.
    #[must_use]
    pub const fn predecessor(&self) -> Option<Rank> {
        self.predecessor
    }

    /// Whether it is on its way out of the ring.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        matches!(self.essence.phase, Phase::Leaving | Phase::Left)
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
