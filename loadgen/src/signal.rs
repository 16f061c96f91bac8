//! A flag one task raises and one other task of the same thread waits for; no lock, no atomics.
//! Keeps one waker: a second task that waits would take the place of the first.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// The flag.
#[derive(Default)]
pub(crate) struct Signal {
    raised: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Signal {
    /// Raises the flag and wakes whoever waits.
    pub(crate) fn raise(&self) {
        if !self.raised.replace(true)
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// Waits until the flag is raised, and lowers it.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            if self.raised.replace(false) {
                return Poll::Ready(());
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
