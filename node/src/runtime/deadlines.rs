//! Deadlines of connections: a watchdog each, all in one heap, one timer for the core. A watchdog
//! that is re-armed or disarmed leaves its old entry in the heap, which is found stale when its
//! time comes: arming costs a push at most, and nothing while it stays armed.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::socket::Closer;

/// Ends a connection at a deadline unless it is disarmed before.
pub(crate) struct Watchdog {
    closer: Closer,
    due: Cell<Option<Duration>>,
    queued: Cell<Option<Duration>>,
    has_bitten: Cell<bool>,
}

/// All deadlines of a core.
#[derive(Default)]
pub(crate) struct Deadlines {
    heap: RefCell<BinaryHeap<Entry>>,
}

struct Entry {
    at: Duration,
    watchdog: Weak<Watchdog>,
}

impl Watchdog {
    /// A watchdog at rest over the connection of `closer`.
    pub(crate) fn new(closer: Closer) -> Rc<Self> {
        let (due, queued, has_bitten) = (Cell::default(), Cell::default(), Cell::default());
        Rc::new(Self {
            closer,
            due,
            queued,
            has_bitten,
        })
    }

    /// Ends the connection now.
    pub(crate) fn closer(&self) -> &Closer {
        &self.closer
    }

    /// Calls the deadline off.
    pub(crate) fn disarm(&self) {
        self.due.set(None);
    }

    /// Whether a deadline runs.
    pub(crate) fn is_armed(&self) -> bool {
        self.due.get().is_some()
    }

    /// Whether a deadline has ended the connection.
    pub(crate) fn has_bitten(&self) -> bool {
        self.has_bitten.get()
    }
}

impl Deadlines {
    /// Ends the watchdog's connection at `at` unless it is disarmed or armed anew before.
    pub(crate) fn arm(&self, watchdog: &Rc<Watchdog>, at: Duration) {
        watchdog.due.set(Some(at));
        if watchdog.queued.get().is_none_or(|queued| at < queued) {
            self.queue(watchdog, at);
        }
    }

    /// When `expire` is due next.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.heap.borrow().peek().map(|entry| entry.at)
    }

    /// Ends every connection whose deadline has come by `now`.
    pub(crate) fn expire(&self, now: Duration) {
        while let Some(watchdog) = self.pop(now) {
            match watchdog.due.get() {
                Some(due) if due <= now => {
                    watchdog.due.set(None);
                    watchdog.has_bitten.set(true);
                    watchdog.closer.end();
                }
                Some(due) => self.queue(&watchdog, due),
                None => {}
            }
        }
    }

    fn queue(&self, watchdog: &Rc<Watchdog>, at: Duration) {
        watchdog.queued.set(Some(at));
        self.heap.borrow_mut().push(Entry {
            at,
            watchdog: Rc::downgrade(watchdog),
        });
    }

    /// The next watchdog whose entry is due and not superseded by an earlier one.
    fn pop(&self, now: Duration) -> Option<Rc<Watchdog>> {
        let mut heap = self.heap.borrow_mut();
        while heap.peek().is_some_and(|entry| entry.at <= now) {
            let Entry { at, watchdog } = heap.pop()?;
            let watchdog = watchdog
                .upgrade()
                .filter(|dog| dog.queued.get() == Some(at));
            if let Some(watchdog) = watchdog {
                watchdog.queued.set(None);
                return Some(watchdog);
            }
        }
        None
    }
}

/// The earliest entry is the greatest, as the heap wants it.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn watchdog() -> Rc<Watchdog> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("an address"));
        Watchdog::new(Closer::of(stream.expect("a connection")))
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_deadline_moved_back_is_kept_at_its_new_time() {
        let (deadlines, dog) = (Deadlines::default(), watchdog());
        deadlines.arm(&dog, s(5));
        deadlines.arm(&dog, s(9));
        assert_eq!(deadlines.next(), Some(s(5)));
        deadlines.expire(s(5));
        assert!(!dog.has_bitten() && dog.is_armed());
        assert_eq!(deadlines.next(), Some(s(9)));
        deadlines.expire(s(9));
        assert!(dog.has_bitten());
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn a_deadline_moved_forward_comes_first_and_the_old_one_is_stale() {
        let (deadlines, dog) = (Deadlines::default(), watchdog());
        deadlines.arm(&dog, s(9));
        deadlines.arm(&dog, s(2));
        deadlines.expire(s(2));
        assert!(dog.has_bitten());
        deadlines.expire(s(9));
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn a_disarmed_watchdog_stays_quiet() {
        let (deadlines, dog) = (Deadlines::default(), watchdog());
        deadlines.arm(&dog, s(1));
        dog.disarm();
        deadlines.expire(s(3));
        assert!(!dog.has_bitten());
    }
}
