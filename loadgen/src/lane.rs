//! What the tasks of one thread share: where requests come from and where findings go.
//!
//! Nothing here is shared between threads. No borrow is held across an `await`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::connection::Connection;
use crate::dataset::Dataset;
use crate::dialect::{Answer, Body, Dialect, Fault};
use crate::plan::Plan;
use crate::recorder::{ErrorKind, Recorder};
use crate::source::Source;
use crate::window::{Match, Pending, Window};
use crate::workload::Kind;

/// The clock of a run: nanoseconds since its start, the same for all threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// What the tasks of one thread share.
pub(crate) struct Lane<D: Dialect> {
    pub(crate) plan: Arc<Plan>,
    pub(crate) setup: D::Setup,
    pub(crate) clock: Clock,
    pub(crate) data: Arc<Dataset>,
    pub(crate) source: RefCell<Source>,
    pub(crate) recorder: RefCell<Recorder>,
    pub(crate) connections: RefCell<Vec<Rc<Connection<D>>>>,
    /// Nothing new is begun: the run is over or was interrupted.
    pub(crate) halted: Cell<bool>,
    /// Connections are not opened again any more.
    pub(crate) closing: Cell<bool>,
    /// When the last measured answer came.
    pub(crate) last_answer_ns: Cell<u64>,
    /// Grows with everything that is done, so that spinning for nothing can be told from work.
    pub(crate) activity: Cell<u64>,
    /// No connection has room: there is no need to look for one until an answer came.
    pub(crate) full: Cell<bool>,
    /// Time spun away by the open loop.
    pub(crate) spun_ns: Cell<u64>,
}

impl<D: Dialect> Lane<D> {
    /// An answer came on a connection: finds its request and judges it.
    pub(crate) fn settle(
        &self,
        window: &mut Window,
        answer: &Answer<'_>,
        now_ns: u64,
    ) -> Result<(), Fault> {
        let found = match answer.id {
            Some(id) => window.complete(id),
            None => window.complete_next(|pending| self.end_silent(&pending, now_ns)),
        };
        match found {
            Match::Waiting(pending) => self.judge(&pending, &answer.body, now_ns),
            Match::Late => {
                self.recorder.borrow_mut().counts().late += 1;
                Ok(())
            }
            Match::Nobody => Err(Fault::violation("an answer nobody asked for")),
        }
    }

    /// A request failed without an answer.
    pub(crate) fn fail(&self, pending: &Pending, kind: ErrorKind) {
        if pending.measured {
            self.recorder.borrow_mut().failed(kind);
        }
        if pending.request.kind == Kind::Put {
            self.source
                .borrow_mut()
                .preloaded(pending.request.key, false);
        }
    }

    /// A write without an answer of its own ended with one behind it.
    fn end_silent(&self, pending: &Pending, now_ns: u64) {
        self.finish(pending, now_ns, None);
    }

    fn judge(&self, pending: &Pending, body: &Body<'_>, now_ns: u64) -> Result<(), Fault> {
        let request = &pending.request;
        match (request.kind, *body) {
            (Kind::Get | Kind::Put, Body::Value { key, value, route }) => {
                let named = key.is_none_or(|key| key == self.data.key(request.key));
                let verified = self.data.verify(request.key, value);
                self.count_value(pending, named && verified.is_ok());
                if request.kind == Kind::Put {
                    self.count_confirmed(pending, verified.unwrap_or(0));
                }
                self.finish(pending, now_ns, route);
            }
            (Kind::Get | Kind::Put, Body::Absent { key, route }) => {
                if key.is_some_and(|key| key != self.data.key(request.key)) {
                    return Err(Fault::violation("an answer for another key"));
                }
                self.count_absent(pending);
                self.record(pending, now_ns, route);
            }
            (Kind::Put, Body::Stored(route)) => self.finish(pending, now_ns, route),
            (Kind::Lookup(_), Body::Owner(route)) => self.record(pending, now_ns, Some(route)),
            (Kind::Echo, Body::Frame(frame)) => {
                let verified = self.data.verify(request.key, frame);
                let right = verified.is_ok_and(|seen| seen == 0 || seen == request.sequence);
                self.count_value(pending, right);
                self.record(pending, now_ns, None);
            }
            (_, Body::Failed(kind, reason)) => {
                self.fail(pending, kind);
                self.recorder.borrow_mut().explain(kind, reason);
            }
            _ => return Err(Fault::violation("an answer that does not fit its request")),
        }
        Ok(())
    }

    /// A read or a confirmed write ended well.
    fn finish(&self, pending: &Pending, now_ns: u64, route: Option<proto::message::Route>) {
        if pending.request.kind == Kind::Put {
            self.data.mark_stored(pending.request.key);
            self.source
                .borrow_mut()
                .preloaded(pending.request.key, true);
        }
        self.record(pending, now_ns, route);
    }

    fn record(&self, pending: &Pending, now_ns: u64, route: Option<proto::message::Route>) {
        if pending.measured {
            self.last_answer_ns.set(now_ns);
            self.recorder.borrow_mut().answered(pending, now_ns, route);
        }
    }

    /// Wrong values count whenever they are seen, also in warm-up and preload.
    fn count_value(&self, pending: &Pending, right: bool) {
        let mut recorder = self.recorder.borrow_mut();
        if !right {
            recorder.counts().wrong += 1;
        } else if pending.measured {
            recorder.counts().verified += 1;
        }
    }

    /// The read that confirms a write shows the number of the write whose value it found; 0 when
    /// the value is too short to tell.
    fn count_confirmed(&self, pending: &Pending, seen: u64) {
        if !pending.measured {
            return;
        }
        let is_other = seen != 0 && seen != pending.request.sequence;
        let mut recorder = self.recorder.borrow_mut();
        let counts = recorder.counts();
        counts.confirmed += 1;
        counts.superseded += u64::from(is_other);
    }

    /// Absent after a confirmed write is lost; so is a write whose own confirmation finds nothing.
    fn count_absent(&self, pending: &Pending) {
        let is_put = pending.request.kind == Kind::Put;
        let preloading = self.source.borrow().is_preload();
        if is_put {
            self.source
                .borrow_mut()
                .preloaded(pending.request.key, false);
        }
        let mut recorder = self.recorder.borrow_mut();
        let counts = recorder.counts();
        counts.absent += u64::from(pending.measured);
        let lost = pending.stored_before || (is_put && self.data.lasting && !preloading);
        counts.lost += u64::from(lost);
    }
}
