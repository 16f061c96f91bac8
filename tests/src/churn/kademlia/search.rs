//! One iterative lookup of the model: whom it has heard of, whom it asks next, and when it ends.
//! It sends nothing itself.

use std::time::Duration;

use super::buckets::Contact;
use super::{ALPHA, K};

/// What a lookup is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Aim {
    /// The newcomer's own id.
    Join,
    /// A bucket nobody looked into.
    Refresh,
    /// Asked for by the experiment, to be tried again or not, counted or not.
    Asked { retry: bool, counted: bool },
}

/// A lookup under way.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) target: u64,
    pub(super) aim: Aim,
    pub(super) began: Duration,
    pub(super) timeouts: u64,
    /// Everybody heard of, closest first.
    heard: Vec<Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    contact: Contact,
    /// Nodes asked one after the other until this one is reached.
    depth: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    Asked,
    Answered,
    Dead,
}

impl Search {
    pub(super) fn new(target: u64, aim: Aim, began: Duration, known: &[Contact]) -> Self {
        let mut search = Self {
            target,
            aim,
            began,
            timeouts: 0,
            heard: Vec::new(),
        };
        search.hear(known, 1);
        search
    }

    /// Whom to ask now.
    pub(super) fn next(&mut self) -> Vec<Contact> {
        let asked = self.heard.iter().filter(|one| one.state == State::Asked);
        let room = ALPHA.saturating_sub(asked.count());
        let alive = self.heard.iter_mut().filter(|one| one.state != State::Dead);
        let new = alive.take(K).filter(|one| one.state == State::New);
        new.take(room)
            .map(|one| {
                one.state = State::Asked;
                one.contact
            })
            .collect()
    }

    /// Whether the k closest that are not dead have answered.
    pub(super) fn is_done(&self) -> bool {
        let mut alive = self.heard.iter().filter(|one| one.state != State::Dead);
        alive
            .by_ref()
            .take(K)
            .all(|one| one.state == State::Answered)
    }

    pub(super) fn answered(&mut self, by: Contact, named: &[Contact]) {
        let Some(one) = self.heard.iter_mut().find(|one| one.contact == by) else {
            return;
        };
        one.state = State::Answered;
        let depth = one.depth + 1;
        self.hear(named, depth);
    }

    pub(super) fn silent(&mut self, who: Contact) {
        self.timeouts += 1;
        if let Some(one) = self.heard.iter_mut().find(|one| one.contact == who) {
            one.state = State::Dead;
        }
    }

    /// The closest node that has answered, and how many were asked one after the other to reach it.
    pub(super) fn best(&self) -> Option<(Contact, u64)> {
        let mut answered = self.heard.iter().filter(|one| one.state == State::Answered);
        answered.next().map(|one| (one.contact, one.depth))
    }

    fn hear(&mut self, named: &[Contact], depth: u64) {
        for contact in named {
            let distance = |id: u64| id ^ self.target;
            let wanted = distance(contact.id);
            let place = |one: &Heard| distance(one.contact.id).cmp(&wanted);
            if let Err(at) = self.heard.binary_search_by(place) {
                let one = Heard {
                    contact: *contact,
                    depth,
                    state: State::New,
                };
                self.heard.insert(at, one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_three_at_a_time_and_ends_when_the_closest_have_answered() {
        let contact = |id| Contact { id, host: 0 };
        let known: Vec<_> = (10..14).map(contact).collect();
        let aim = Aim::Refresh;
        let mut search = Search::new(8, aim, Duration::ZERO, &known);
        assert_eq!(search.next(), [10, 11, 12].map(contact));
        assert_eq!(search.next(), []);
        search.answered(contact(10), &[contact(9), contact(11)]);
        assert_eq!(search.next(), [contact(9)]);
        search.silent(contact(11));
        search.answered(contact(9), &[]);
        search.answered(contact(12), &[]);
        assert_eq!(search.next(), [contact(13)]);
        assert!(!search.is_done());
        search.silent(contact(13));
        assert!(search.is_done() && search.timeouts == 2);
        assert_eq!(search.best(), Some((contact(9), 2)));
    }
}
