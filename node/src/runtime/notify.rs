//! Waking between tasks of one core: a flag with a single waiter, and a race of two futures.
//!
//! Nothing here crosses threads; what does goes through the mailboxes and the control channel.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// A flag one task waits for. Notifications before the wait are kept, several count as one.
#[derive(Default)]
pub(crate) struct Notify {
    is_set: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Notify {
    /// Sets the flag and schedules the waiter behind everything that is already scheduled.
    pub(crate) fn notify(&self) {
        if self.is_set.replace(true) {
            return;
        }
        if let Some(waiter) = self.waiter.take() {
            waiter.wake_by_ref();
            self.waiter.set(Some(waiter));
        }
    }

    /// Waits for the flag and clears it.
    pub(crate) async fn notified(&self) {
        poll_fn(|context| self.poll_notified(context)).await;
    }

    fn poll_notified(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_set.replace(false) {
            return Poll::Ready(());
        }
        let waiter = match self.waiter.take() {
            Some(waiter) if waiter.will_wake(context.waker()) => waiter,
            _ => context.waker().clone(),
        };
        self.waiter.set(Some(waiter));
        Poll::Pending
    }
}

/// A condition that becomes true once and stays so; any number of tasks may wait for it.
#[derive(Default)]
pub(crate) struct Gate {
    is_open: Cell<bool>,
    places: RefCell<Vec<Option<Waker>>>,
}

/// Waits for a gate to open; gives its place among the waiters back when it is dropped.
pub(crate) struct Opened<'a> {
    gate: &'a Gate,
    place: Option<usize>,
}

impl Gate {
    /// Opens the gate for good.
    pub(crate) fn open(&self) {
        self.is_open.set(true);
        let waiters: Vec<Waker> = self
            .places
            .borrow_mut()
            .iter_mut()
            .filter_map(Option::take)
            .collect();
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Whether it is open.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// Waits until it is open.
    pub(crate) const fn opened(&self) -> Opened<'_> {
        Opened {
            gate: self,
            place: None,
        }
    }
}

impl Future for Opened<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.gate.is_open() {
            return Poll::Ready(());
        }
        let mut places = self.gate.places.borrow_mut();
        let place = self
            .place
            .or_else(|| places.iter().position(Option::is_none))
            .unwrap_or(places.len());
        if place == places.len() {
            places.push(None);
        }
        places[place] = Some(context.waker().clone());
        drop(places);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.gate.places.borrow_mut()[place] = None;
        }
    }
}

/// Which of two futures was first.
pub(crate) enum First<A, B> {
    /// The first one.
    Left(A),
    /// The second one.
    Right(B),
}

/// Waits for whichever ends first and drops the other: only for futures that may be dropped, which
/// an accept or a connect may not.
pub(crate) async fn race<A, B>(left: A, right: B) -> First<A::Output, B::Output>
where
    A: Future,
    B: Future,
{
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| {
        if let Poll::Ready(output) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(output));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ready(notify: &Notify) -> bool {
        notify
            .poll_notified(&Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn a_notification_before_the_wait_is_kept_once() {
        let notify = Notify::default();
        assert!(!is_ready(&notify));
        notify.notify();
        notify.notify();
        assert!(is_ready(&notify));
        assert!(!is_ready(&notify));
    }

    #[test]
    fn waiters_of_a_gate_take_one_place_each_and_give_it_back() {
        let gate = Gate::default();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..100 {
            let (mut first, mut second) = (gate.opened(), gate.opened());
            assert!(Pin::new(&mut first).poll(&mut context).is_pending());
            assert!(Pin::new(&mut second).poll(&mut context).is_pending());
            assert!(Pin::new(&mut first).poll(&mut context).is_pending());
        }
        assert_eq!(gate.places.borrow().len(), 2);
        gate.open();
        assert!(Pin::new(&mut gate.opened()).poll(&mut context).is_ready());
    }
}
