//! How many tasks of a core live. A worker ends after the last of them: a runtime dropped with
//! operations in flight leaves sockets behind that still accept.

use std::cell::Cell;

use super::notify::Notify;

/// Counts live tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    live: Cell<usize>,
    ended: Notify,
}

impl Tasks {
    /// A task starts.
    pub(crate) fn start(&self) {
        self.live.set(self.live.get() + 1);
    }

    /// A task has ended.
    pub(crate) fn end(&self) {
        self.live.set(self.live.get() - 1);
        if self.live.get() == 0 {
            self.ended.notify();
        }
    }

    /// How many live.
    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    /// Waits until none lives.
    pub(crate) async fn all_ended(&self) {
        while self.live.get() > 0 {
            self.ended.notified().await;
        }
    }
}
