//! What can happen next in a small ring, and what comes of it: the actions between which the
//! explorer chooses, each one input to a production machine.
//!
//! Shortcuts give a second input at once. A question to a head is put when it is about to arrive:
//! until then it changes nobody, and its asker only waits; if the head is dropped meanwhile, it is
//! because it died or joins anew, and the question finds that either way. A Join is put when it
//! arrives, and its refusal returns at once: the joiner is where it was. Nothing else is cut short.

use std::sync::Arc;

use proto::chord::Purpose;

use super::actor::{Actor, Input};
use super::cast::{Cast, List, MEMBERS_MAX, Rank, Said};
use super::cell::{Cell, Cells};
use super::state::{Flight, Place, RingState, SLOTS, Slot, slot_of};

/// One thing that can happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// A member begins a stabilisation.
    Round(Rank),
    /// A member's question arrives.
    Serve(Rank, Slot),
    /// The answer arrives.
    Answer(Rank, Slot),
    /// A member finds that another, which it has asked, is dead.
    FindDead(Rank, Rank),
    /// A notification arrives.
    Notice(Rank, Rank),
    /// A joiner asks a member for a place; for the first time it starts with it.
    Join(Rank, Rank),
    /// A member looks itself up, and the answer names an owner.
    LookUp(Rank, Rank),
    /// A member fails.
    Fail(Rank),
    /// A member begins to leave on purpose, which counts as a failure.
    Leave(Rank),
    /// A neighbour hears of it.
    Parting(Rank, Rank),
    /// Who leaves is gone.
    Exit(Rank),
}

/// What is explored beside the plain operation of the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    /// Members look themselves up.
    pub self_lookups: bool,
    /// Who has failed may come back, as one of the joins.
    pub returns: bool,
    /// Members leave on purpose.
    pub leaves: bool,
    /// Questions whose way makes no difference are answered at once.
    pub shortcuts: bool,
}

/// Everything that can happen in a state but a failure, in a fixed order.
pub fn actions(cells: &Cells, scope: Scope, state: &RingState, found: &mut Vec<Action>) {
    let cast = cells.cast();
    for asker in cast.ranks() {
        for slot in SLOTS {
            in_flight(state, asker, slot, found);
        }
        let notices = cast.ranks().filter(|to| state.has_notice(asker, *to));
        found.extend(notices.map(|to| Action::Notice(asker, to)));
        let partings = cast.ranks().filter(|to| state.has_parting(asker, *to));
        found.extend(partings.map(|to| Action::Parting(asker, to)));
        let leaver = state.at(asker).filter(|cell| cell.is_leaving());
        found.extend(leaver.map(|_| Action::Exit(asker)));
    }
    for rank in cast.ranks() {
        if may_join(scope, state, rank) {
            let members = cast.ranks().filter(|other| state.member(*other).is_some());
            found.extend(members.map(|before| Action::Join(rank, before)));
        }
        let Some(member) = state
            .member(rank)
            .filter(|cell| !cell.essence().stabilising)
        else {
            continue;
        };
        found.push(Action::Round(rank));
        if scope.self_lookups && member.essence().seeks_itself {
            let others = cast.ranks().filter(|other| *other != rank);
            let alone = is_alone(member);
            let others = others.filter(|other| match state.member(*other) {
                Some(owner) => !alone || owns(cast, owner, rank),
                None => false,
            });
            found.extend(others.map(|owner| Action::LookUp(rank, owner)));
        }
    }
}

/// What becomes of a state; `None` when nothing changes.
pub fn apply(cells: &Cells, scope: Scope, state: &RingState, action: Action) -> Option<RingState> {
    let mut next = state.clone();
    let net = &mut next;
    match action {
        Action::Round(rank) => {
            give(cells, net, rank, Input::Timer)?;
            if scope.shortcuts {
                serve_head(cells, net, rank);
            }
        }
        Action::Serve(asker, slot) => serve(cells, net, asker, slot)?,
        Action::Answer(asker, slot) => answer(cells, net, asker, slot)?,
        Action::FindDead(asker, dead) => {
            for slot in SLOTS {
                if matches!(net.question(asker, slot), Some((_, of)) if of == dead) {
                    net.set_flight(asker, slot, Flight::None);
                }
            }
            give(cells, net, asker, Input::Dead(dead))?;
        }
        Action::Notice(from, to) => {
            net.take_notice(from, to);
            give(cells, net, to, Input::Notified(from))?;
        }
        Action::Join(joiner, before) => join(cells, scope, net, joiner, before)?,
        Action::LookUp(rank, owner) => look_up(cells, scope, net, rank, owner)?,
        Action::Fail(rank) => {
            net.failures -= 1;
            net.fail(rank);
        }
        Action::Leave(rank) => {
            net.failures -= 1;
            net.drop_questions(rank);
            give(cells, net, rank, Input::Leave)?;
        }
        Action::Parting(from, to) => {
            net.take_parting(from, to);
            let input = parting(net, from)?;
            give(cells, net, to, input)?;
        }
        Action::Exit(rank) => net.fail(rank),
    }
    (next != *state).then_some(next)
}

/// Whether `owner` would answer a lookup of `rank` as its owner, by its own predecessor.
pub fn owns(cast: &Cast, owner: &Cell, rank: Rank) -> bool {
    let (id, upto) = (cast.peer(rank).id(), cast.peer(owner.rank()).id());
    let before = owner.essence().predecessor;
    before.is_none_or(|before| id.is_between(&before, &upto))
}

fn is_alone(cell: &Cell) -> bool {
    cell.essence().predecessor.is_none() && cell.successors().is_empty()
}

fn in_flight(state: &RingState, asker: Rank, slot: Slot, found: &mut Vec<Action>) {
    let flight = state.flight(asker, slot);
    let Some((_, of)) = state.question(asker, slot) else {
        return;
    };
    match flight {
        Flight::None => return,
        Flight::Asked if state.at(of).is_some() => found.push(Action::Serve(asker, slot)),
        Flight::Asked => {}
        Flight::Answered(_) => found.push(Action::Answer(asker, slot)),
    }
    let verdict = Action::FindDead(asker, of);
    if state.at(of).is_none() && !found.contains(&verdict) {
        found.push(verdict);
    }
}

fn may_join(scope: Scope, state: &RingState, rank: Rank) -> bool {
    match state.place(rank) {
        Place::Empty => state.joins > 0,
        Place::Dead => state.joins > 0 && scope.returns,
        Place::Taken(cell) => cell.essence().seeks_place,
    }
}

/// Gives somebody an input and puts into the net what comes of it.
fn give(cells: &Cells, net: &mut RingState, to: Rank, input: Input) -> Option<Option<Said>> {
    let cell = Arc::clone(net.at(to)?);
    let outcome = cells.step(&cell, input);
    net.put(Arc::clone(&outcome.next));
    Some(net.send(to, &outcome.effects))
}

/// A question to a head that lives is put when it is about to arrive.
fn serve_head(cells: &Cells, net: &mut RingState, asker: Rank) {
    let question = net.question(asker, Slot::Round);
    if let Some((Purpose::Head, head)) = question
        && net.at(head).is_some()
    {
        serve(cells, net, asker, Slot::Round).expect("the head is there");
    }
}

fn serve(cells: &Cells, net: &mut RingState, asker: Rank, slot: Slot) -> Option<()> {
    let (purpose, of) = net.question(asker, slot)?;
    let input = match purpose {
        Purpose::Join => Input::Place(asker),
        _ => Input::Neighbours,
    };
    let said = give(cells, net, of, input)?.expect("every question is answered");
    let said = match (purpose, said) {
        (Purpose::Predecessor, Said::Neighbours(..)) => Said::Here,
        (_, said) => said,
    };
    net.set_flight(asker, slot, Flight::Answered(said));
    Some(())
}

fn answer(cells: &Cells, net: &mut RingState, asker: Rank, slot: Slot) -> Option<()> {
    let (purpose, _) = net.question(asker, slot)?;
    let Flight::Answered(said) = net.flight(asker, slot) else {
        return None;
    };
    net.set_flight(asker, slot, Flight::None);
    give(cells, net, asker, Input::Answered(purpose, said)).map(|_| ())
}

fn join(
    cells: &Cells,
    scope: Scope,
    net: &mut RingState,
    joiner: Rank,
    before: Rank,
) -> Option<()> {
    if net.at(joiner).is_none() {
        net.joins -= 1;
        net.put(cells.cell(Actor::joining(cells.cast(), joiner)));
    }
    give(cells, net, joiner, Input::PlaceFound(before))?;
    take_up_place(cells, scope, net, joiner)
}

fn look_up(
    cells: &Cells,
    scope: Scope,
    net: &mut RingState,
    rank: Rank,
    owner: Rank,
) -> Option<()> {
    if net.flight(rank, Slot::Join) != Flight::None {
        return None;
    }
    let before: Arc<Cell> = Arc::clone(net.at(rank)?);
    give(cells, net, rank, Input::SelfFound(owner))?;
    let after = net.at(rank)?;
    if after.asking() == before.asking() {
        return None;
    }
    take_up_place(cells, scope, net, rank)
}

/// A Join is put when it is about to arrive, and a refusal comes back at once.
fn take_up_place(cells: &Cells, scope: Scope, net: &mut RingState, joiner: Rank) -> Option<()> {
    if scope.shortcuts && net.flight(joiner, Slot::Join) == Flight::Asked {
        serve(cells, net, joiner, Slot::Join)?;
        let said = net.flight(joiner, Slot::Join);
        if !matches!(said, Flight::Answered(Said::Accepted(_))) {
            answer(cells, net, joiner, Slot::Join)?;
        }
    }
    Some(())
}

/// What a leaver tells: its pointers as they were when it began to leave.
fn parting(state: &RingState, leaver: Rank) -> Option<Input> {
    let cell = state.at(leaver)?;
    let list = List::of(cell.successors());
    Some(Input::Parting(leaver, cell.predecessor(), list))
}

/// The member's list, now and after each answer and parting that is on its way to it.
pub fn lists(cells: &Cells, state: &RingState, rank: Rank) -> Vec<Vec<Rank>> {
    let Some(cell) = state.at(rank) else {
        return Vec::new();
    };
    let mut lists = vec![cell.successors().to_vec()];
    let answers = cell.asking().iter().filter_map(|(purpose, _)| {
        let slot = slot_of(*purpose).filter(|slot| *slot != Slot::Check)?;
        match state.flight(rank, slot) {
            Flight::Answered(said) => Some(Input::Answered(*purpose, said)),
            Flight::None | Flight::Asked => None,
        }
    });
    let leavers = (0u8..)
        .take(MEMBERS_MAX)
        .filter(|by| state.has_parting(*by, rank));
    let partings = leavers.filter_map(|by| parting(state, by));
    for input in answers.chain(partings) {
        lists.push(cells.step(cell, input).next.successors().to_vec());
    }
    lists
}
