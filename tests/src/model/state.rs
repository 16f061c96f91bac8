//! One state of a small ring: its members, what is in flight between them, and what may still
//! happen to it. A request in flight belongs to the question of its asker; the same notification
//! is in flight once at most, for it says the same twice.

use std::sync::Arc;

use proto::chord::Purpose;
use proto::chord::invariant::MemberState;

use super::actor::Effect;
use super::cast::{Cast, MEMBERS_MAX, Rank, Said};
use super::cell::Cell;

/// A state.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RingState {
    places: [Place; MEMBERS_MAX],
    flights: [[Flight; SLOTS.len()]; MEMBERS_MAX],
    notices: u32,
    partings: u32,
    /// Members that may still start.
    pub joins: u8,
    /// Members that may still fail.
    pub failures: u8,
}

/// What is at a place of the circle.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Place {
    /// Nobody yet.
    #[default]
    Empty,
    /// A member or joiner.
    Taken(Arc<Cell>),
    /// Somebody failed here.
    Dead,
}

/// Where a question is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Flight {
    /// There is none.
    #[default]
    None,
    /// On its way.
    Asked,
    /// Answered; the answer is on its way.
    Answered(Said),
}

/// What a question is about: a member has one at a time of each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Slot {
    /// Of a stabilisation: head or candidate.
    Round = 0,
    /// The check of the old predecessor.
    Check = 1,
    /// A place in the ring.
    Join = 2,
}

/// Every slot.
pub const SLOTS: [Slot; 3] = [Slot::Round, Slot::Check, Slot::Join];

impl RingState {
    /// Nobody anywhere.
    #[must_use]
    pub fn empty(joins: u8, failures: u8) -> Self {
        Self {
            places: Default::default(),
            flights: Default::default(),
            notices: 0,
            partings: 0,
            joins,
            failures,
        }
    }

    /// What is at this place.
    #[must_use]
    pub fn place(&self, rank: Rank) -> &Place {
        &self.places[usize::from(rank)]
    }

    /// Who is at this place, in whatever phase.
    #[must_use]
    pub fn at(&self, rank: Rank) -> Option<&Arc<Cell>> {
        match self.place(rank) {
            Place::Taken(cell) => Some(cell),
            Place::Empty | Place::Dead => None,
        }
    }

    /// The member at this place.
    #[must_use]
    pub fn member(&self, rank: Rank) -> Option<&Arc<Cell>> {
        self.at(rank).filter(|cell| cell.is_member())
    }

    /// Puts somebody in their place.
    pub fn put(&mut self, cell: Arc<Cell>) {
        let rank = usize::from(cell.rank());
        self.places[rank] = Place::Taken(cell);
    }

    /// A member fails: nothing reaches it any more, and its own questions are of no interest.
    pub fn fail(&mut self, rank: Rank) {
        self.places[usize::from(rank)] = Place::Dead;
        self.flights[usize::from(rank)] = Default::default();
        for from in (0u8..).take(MEMBERS_MAX) {
            self.notices &= !way(from, rank);
            self.partings &= !(way(from, rank) | way(rank, from));
        }
    }

    /// Where a question is.
    #[must_use]
    pub fn flight(&self, asker: Rank, slot: Slot) -> Flight {
        self.flights[usize::from(asker)][slot as usize]
    }

    /// Moves a question on.
    pub fn set_flight(&mut self, asker: Rank, slot: Slot, flight: Flight) {
        self.flights[usize::from(asker)][slot as usize] = flight;
    }

    /// Whether `from` has a notification for `to` in flight.
    #[must_use]
    pub const fn has_notice(&self, from: Rank, to: Rank) -> bool {
        self.notices & way(from, to) != 0
    }

    /// Takes a notification out of the net.
    pub fn take_notice(&mut self, from: Rank, to: Rank) {
        self.notices &= !way(from, to);
    }

    /// Whether `from` is on its way to tell `to` that it leaves.
    #[must_use]
    pub const fn has_parting(&self, from: Rank, to: Rank) -> bool {
        self.partings & way(from, to) != 0
    }

    /// Takes a parting out of the net.
    pub fn take_parting(&mut self, from: Rank, to: Rank) {
        self.partings &= !way(from, to);
    }

    /// A member has begun to leave: its own questions are of no interest any more.
    pub fn drop_questions(&mut self, rank: Rank) {
        self.flights[usize::from(rank)] = Default::default();
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.notices == 0
            && self.partings == 0
            && self
                .flights
                .as_flattened()
                .iter()
                .all(|f| *f == Flight::None)
    }

    /// Puts what a member does into the net; an answer is returned.
    pub fn send(&mut self, from: Rank, effects: &[Effect]) -> Option<Said> {
        let mut answer = None;
        for effect in effects {
            match *effect {
                Effect::Ask(Purpose::Leave, to) if self.at(to).is_some() => {
                    self.partings |= way(from, to);
                }
                Effect::Ask(Purpose::Leave, _) => {}
                Effect::Ask(purpose, _) => {
                    let slot = slot_of(purpose).expect("all others have a slot");
                    self.set_flight(from, slot, Flight::Asked);
                }
                Effect::Notify(to) if self.at(to).is_some() => self.notices |= way(from, to),
                Effect::Notify(_) => {}
                Effect::Answer(said) => answer = Some(said),
            }
        }
        answer
    }

    /// The question of a slot: its purpose and who is asked.
    #[must_use]
    pub fn question(&self, asker: Rank, slot: Slot) -> Option<(Purpose, Rank)> {
        let mut asking = self.at(asker)?.asking().iter();
        asking
            .find(|(purpose, _)| slot_of(*purpose) == Some(slot))
            .copied()
    }

    /// The pointers of everybody, as the invariant wants them.
    #[must_use]
    pub fn pointers(&self, cast: &Cast) -> Vec<MemberState> {
        let here = cast.ranks().filter_map(|rank| self.at(rank));
        let state = |cell: &Arc<Cell>| MemberState {
            id: cast.peer(cell.rank()).id(),
            predecessor: cell.essence().predecessor,
            successors: cell.essence().successors.clone(),
            live: cell.is_member(),
        };
        here.map(state).collect()
    }
}

/// The slot of a question of this purpose; what a leaver tells is none.
#[must_use]
pub const fn slot_of(purpose: Purpose) -> Option<Slot> {
    match purpose {
        Purpose::Head | Purpose::Candidate => Some(Slot::Round),
        Purpose::Predecessor => Some(Slot::Check),
        Purpose::Join => Some(Slot::Join),
        Purpose::Leave => None,
    }
}

/// The bit for what goes from one to another.
const fn way(from: Rank, to: Rank) -> u32 {
    1 << (from as usize * MEMBERS_MAX + to as usize)
}

const _: () = assert!(MEMBERS_MAX * MEMBERS_MAX <= 32);
