//! Operators' requests under way on a core: which answer goes to whom on the admin thread. Whoever
//! has given up waiting is forgotten with the next request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use tokio::sync::oneshot;

use super::ticket::Front;
use crate::engine::request::{AdminAnswer, ClientAnswer, Ticket};

/// Who waits for what.
#[derive(Default)]
pub(crate) struct Operators {
    next: Cell<u32>,
    waiting: RefCell<HashMap<u32, Waiting>>,
}

/// An operator who waits for an answer.
pub(crate) enum Waiting {
    /// To a request that any client may make.
    Client(oneshot::Sender<ClientAnswer>),
    /// To an operator's request.
    Admin(oneshot::Sender<AdminAnswer>),
}

impl Operators {
    /// A ticket for a request of `waiting`. Who has given up waiting is forgotten.
    pub(crate) fn start(&self, waiting: Waiting) -> Ticket {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let mut all = self.waiting.borrow_mut();
        all.retain(|_, waiting| !waiting.is_closed());
        all.insert(number, waiting);
        Front::Operator(number).ticket()
    }

    /// The core has answered a client's request.
    pub(crate) fn answer(&self, number: u32, answer: ClientAnswer) {
        if let Some(Waiting::Client(sender)) = self.waiting.borrow_mut().remove(&number) {
            let _ = sender.send(answer);
        }
    }

    /// The core has answered an operator's request.
    pub(crate) fn answer_admin(&self, ticket: Ticket, answer: AdminAnswer) {
        let Front::Operator(number) = Front::of(ticket) else {
            return;
        };
        if let Some(Waiting::Admin(sender)) = self.waiting.borrow_mut().remove(&number) {
            let _ = sender.send(answer);
        }
    }
}

impl Waiting {
    fn is_closed(&self) -> bool {
        match self {
            Self::Client(sender) => sender.is_closed(),
            Self::Admin(sender) => sender.is_closed(),
        }
    }
}
