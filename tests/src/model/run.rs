//! Explorations: what a ring starts with and what may happen to it, the search by `stateright`, and
//! its figures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto::chord::invariant::Violation;
use proto::planted::Bug;
use stateright::{Checker, HasDiscoveries, Model, Property};

use super::actor::Actor;
use super::cast::{Cast, Rank};
use super::cell::Cells;
use super::claims::{Assumption, is_about_a_list};
use super::healing::{Healing, Way, sweep};
use super::rules::{self, Action, Scope};
use super::state::RingState;

/// What is explored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// For each place of the circle whether a member stands there from the start.
    pub start: Vec<bool>,
    /// How many may join.
    pub joins: u8,
    /// How many may fail.
    pub failures: u8,
    /// Length s of the lists.
    pub successors: u8,
    /// What failures leave.
    pub assumption: Assumption,
    /// What else happens.
    pub scope: Scope,
    /// Planted in every machine.
    pub bug: Option<Bug>,
    /// Begin with two rings of every second member each, to see that this is found.
    pub split: bool,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Unique states.
    pub states: usize,
    /// Transitions.
    pub transitions: usize,
    /// Longest shortest way from the start.
    pub depth: usize,
    /// Different members.
    pub members: usize,
    /// States that become ideal only with self-lookups.
    pub helped: usize,
    /// Comparisons of members that should be alike.
    pub comparisons: usize,
    /// Time it took.
    pub elapsed: Duration,
    /// Whether everything was explored.
    pub complete: bool,
    /// Claims that do not hold, each with the way to the state that breaks it.
    pub broken: Vec<(&'static str, Vec<String>)>,
}

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Threads.
    pub threads: usize,
    /// Give up after so many transitions.
    pub transitions_max: Option<usize>,
}

impl Plan {
    /// A ring that stands, drawn as letters: `M` a member, `j` a place where somebody may join.
    #[must_use]
    pub fn of(drawing: &str, joins: u8, failures: u8, assumption: Assumption) -> Self {
        Self {
            start: drawing.chars().map(|place| place == 'M').collect(),
            joins,
            failures,
            successors: 2,
            assumption,
            scope: Scope {
                self_lookups: true,
                returns: false,
                leaves: false,
                shortcuts: false,
            },
            bug: None,
            split: false,
        }
    }

    /// The drawing.
    #[must_use]
    pub fn drawing(&self) -> String {
        self.start
            .iter()
            .map(|here| if *here { 'M' } else { 'j' })
            .collect()
    }

    /// Whether the ring has as many members as the assumption is about.
    #[must_use]
    pub fn is_within_proof(&self) -> bool {
        let members = self.start.iter().filter(|here| **here).count();
        self.assumption != Assumption::Proof || members > usize::from(self.successors)
    }

    /// Explores everything.
    #[must_use]
    pub fn explore(&self, effort: Effort) -> Report {
        let began = Instant::now();
        let cast = Cast::new(self.start.len(), self.successors);
        let ring = SmallRing {
            plan: self.clone(),
            cells: Cells::new(cast, self.bug),
            healing: Healing::default(),
            seen: Default::default(),
        };
        let mut builder = ring.checker().threads(effort.threads);
        builder = builder.finish_when(HasDiscoveries::AnyFailures);
        if let Some(most) = effort.transitions_max {
            builder = builder.target_state_count(most);
        }
        let done = builder.spawn_bfs().join();
        let model = done.model();
        let discoveries = done.discoveries().into_iter();
        let broken = discoveries.map(|(claim, path)| (claim, model.story(path.into_vec())));
        Report {
            states: done.unique_state_count(),
            transitions: done.state_count(),
            depth: done.max_depth(),
            members: model.cells.len(),
            comparisons: model.cells.comparisons(),
            helped: model.healing.counts().0,
            elapsed: began.elapsed(),
            complete: effort
                .transitions_max
                .is_none_or(|most| done.state_count() < most),
            broken: broken.collect(),
        }
    }
}

/// The ring as `stateright` wants it.
#[derive(Debug)]
struct SmallRing {
    plan: Plan,
    cells: Cells,
    healing: Healing,
    seen: [AtomicBool; 3],
}

impl Model for SmallRing {
    type State = RingState;
    type Action = Action;

    fn init_states(&self) -> Vec<RingState> {
        let mut state = RingState::empty(self.plan.joins, self.plan.failures);
        let here = |rank: &Rank| self.plan.start[usize::from(*rank)];
        let members: Vec<Rank> = self.cells.cast().ranks().filter(here).collect();
        let parity = |rank: Rank| self.plan.split && rank % 2 == 1;
        for parity_of_ring in [false, true] {
            let ring = members.iter().copied();
            let ring: Vec<Rank> = ring
                .filter(|rank| parity(*rank) == parity_of_ring)
                .collect();
            for index in 0..ring.len() {
                let around = |step: usize| ring[(index + step) % ring.len()];
                let list = usize::from(self.plan.successors).min(ring.len() - 1);
                let list: Vec<Rank> = (1..=list).map(around).collect();
                let before = (ring.len() > 1).then(|| around(ring.len() - 1));
                let actor = Actor::placed(self.cells.cast(), ring[index], before, &list);
                state.put(self.cells.cell(actor));
            }
        }
        vec![sweep(&self.cells, &state)]
    }

    fn actions(&self, state: &RingState, actions: &mut Vec<Action>) {
        rules::actions(&self.cells, self.plan.scope, state, actions);
        if state.failures > 0 {
            let victims = self.cells.cast().ranks();
            let victims = victims.filter(|victim| state.member(*victim).is_some());
            let assumed = self.plan.assumption;
            let victims = victims.filter(|victim| assumed.allows(&self.cells, state, *victim));
            for victim in victims {
                actions.push(Action::Fail(victim));
                actions.extend(self.plan.scope.leaves.then_some(Action::Leave(victim)));
            }
        }
    }

    fn next_state(&self, state: &RingState, action: Action) -> Option<RingState> {
        rules::apply(&self.cells, self.plan.scope, state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LISTS, |ring, state| {
                ring.claim(0, || !ring.violations(state).iter().any(is_about_a_list))
            }),
            Property::always(INVARIANT, |ring, state| {
                ring.claim(1, || ring.violations(state).is_empty())
            }),
            Property::always(HEALS, |ring, state| {
                let way = || ring.healing.way(&ring.cells, ring.plan.scope, state);
                ring.claim(2, || way() != Way::Never)
            }),
        ]
    }
}

impl SmallRing {
    /// Only the first state that breaks a claim is told, which is the nearest: `stateright` keeps
    /// the last.
    fn claim(&self, index: usize, holds: impl Fn() -> bool) -> bool {
        self.seen[index].load(Ordering::Relaxed)
            || holds()
            || self.seen[index].swap(true, Ordering::Relaxed)
    }

    fn violations(&self, state: &RingState) -> Vec<Violation> {
        self.plan.assumption.violations(self.cells.cast(), state)
    }

    /// A way to a state, for people.
    fn story(&self, path: Vec<(RingState, Option<Action>)>) -> Vec<String> {
        let mut lines = Vec::new();
        for (state, action) in path {
            lines.push(self.picture(&state));
            let end = || format!("{:?}", self.violations(&state));
            lines.push(action.map_or_else(end, |action| format!("    {action:?}")));
        }
        lines
    }

    fn picture(&self, state: &RingState) -> String {
        let cast = self.cells.cast();
        let member = |rank: Rank| {
            let Some(cell) = state.at(rank) else {
                return format!("{rank}:-");
            };
            let essence = cell.essence();
            let before = essence.predecessor.map(|id| cast.rank(&id));
            let asking = cell
                .asking()
                .iter()
                .map(|(why, of)| format!(" {why:?}?{of}"));
            let (asking, phase) = (asking.collect::<String>(), essence.phase.as_str());
            let before = before.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
            format!("{rank}:{phase} {before}<{:?}{asking}", cell.successors())
        };
        cast.ranks().map(member).collect::<Vec<_>>().join("  ")
    }
}

/// The claims, by the names that reports use.
pub const LISTS: &str = "lists are ordered";
/// See [`LISTS`].
pub const INVARIANT: &str = "the invariant holds";
/// See [`LISTS`].
pub const HEALS: &str = "the ring becomes ideal";
