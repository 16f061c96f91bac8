//! What the connections of one thread are to send next, whatever the phase: the preload, the closed
//! loop, or what the open loop has found due.

use std::collections::VecDeque;

use crate::plan::{Load, Plan};
use crate::workload::{Request, Workload};

/// A request that may be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// What to ask.
    pub(crate) request: Request,
    /// When it was to be sent, nanoseconds of the run's clock.
    pub(crate) intended_ns: u64,
    /// Whether it belongs to the measured part.
    pub(crate) measured: bool,
}

/// Where the requests of one thread come from.
pub(crate) struct Source {
    workload: Workload,
    phase: Phase,
    /// Due and not sent: open loop only.
    backlog: VecDeque<Due>,
    depth_max: usize,
    depth: usize,
}

enum Phase {
    Idle,
    Preload(Preload),
    Closed(Span),
    Open(Span),
}

/// Which keys of the preload are left to this thread.
struct Preload {
    next: u64,
    step: u64,
    end: u64,
    /// Writes that failed and are tried again.
    again: Vec<u64>,
    stored: u64,
    failures: u64,
}

/// The measured part and the warm-up before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// The measured part begins here.
    pub(crate) begin_ns: u64,
    /// Nothing is due from here on.
    pub(crate) end_ns: u64,
    /// Measured requests left, when their number is given.
    pub(crate) left: Option<u64>,
}

impl Span {
    /// Takes one request that is due at `at_ns` out of the span; says whether it is measured.
    pub(crate) fn take(&mut self, at_ns: u64) -> Option<bool> {
        if at_ns >= self.end_ns {
            return None;
        }
        let measured = at_ns >= self.begin_ns;
        if let (true, Some(left)) = (measured, &mut self.left) {
            *left = left.checked_sub(1)?;
        }
        Some(measured)
    }
}

impl Source {
    pub(crate) fn new(plan: &Plan, thread: u32) -> Self {
        Self {
            workload: Workload::new(plan, thread),
            phase: Phase::Idle,
            backlog: VecDeque::new(),
            depth_max: plan.depth as usize,
            depth: plan.depth as usize,
        }
    }

    /// How many requests may be under way on one connection.
    pub(crate) const fn depth(&self) -> usize {
        self.depth
    }

    /// The next request a connection with room may send.
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<Due> {
        match &mut self.phase {
            Phase::Idle => None,
            Phase::Preload(preload) => {
                let key = preload.again.pop().or_else(|| preload.advance())?;
                let request = self.workload.put(key);
                Some(Due {
                    request,
                    intended_ns: now_ns,
                    measured: false,
                })
            }
            Phase::Closed(span) => {
                let measured = span.take(now_ns)?;
                let request = self.workload.draw();
                Some(Due {
                    request,
                    intended_ns: now_ns,
                    measured,
                })
            }
            Phase::Open(_) => self.backlog.pop_front(),
        }
    }

    /// Begins to write the keys of thread `thread`.
    pub(crate) fn begin_preload(&mut self, plan: &Plan, thread: u32) {
        self.depth = self.depth_max.max(PRELOAD_DEPTH);
        self.phase = Phase::Preload(Preload {
            next: u64::from(thread),
            step: u64::from(plan.threads),
            end: plan.data.keys,
            again: Vec::new(),
            stored: 0,
            failures: 0,
        });
    }

    /// Begins warm-up and measured part.
    pub(crate) fn begin_load(&mut self, load: Load, span: Span) {
        self.depth = self.depth_max;
        self.phase = match load {
            Load::Closed => Phase::Closed(span),
            Load::Open { .. } => Phase::Open(span),
        };
    }

    /// Ends whatever is going on; returns how many measured requests were due and not sent.
    pub(crate) fn end(&mut self) -> u64 {
        self.phase = Phase::Idle;
        let unsent = self.backlog.iter().filter(|due| due.measured).count();
        self.backlog.clear();
        unsent as u64
    }

    /// A write of the preload was confirmed, or it failed and is to be tried again.
    pub(crate) fn preloaded(&mut self, key: u64, stored: bool) {
        if let Phase::Preload(preload) = &mut self.phase {
            if stored {
                preload.stored += 1;
            } else {
                preload.failures += 1;
                preload.again.push(key);
            }
        }
    }

    /// Whether the keys are being written.
    pub(crate) const fn is_preload(&self) -> bool {
        matches!(self.phase, Phase::Preload(_))
    }

    /// `(stored, failures)` of the preload so far.
    pub(crate) fn preload_progress(&self) -> (u64, u64) {
        match &self.phase {
            Phase::Preload(preload) => (preload.stored, preload.failures),
            Phase::Idle | Phase::Closed(_) | Phase::Open(_) => (0, 0),
        }
    }

    /// Whether every measured request of a given number has been taken.
    pub(crate) fn is_spent(&self) -> bool {
        match &self.phase {
            Phase::Closed(span) | Phase::Open(span) => {
                span.left == Some(0) && self.backlog.is_empty()
            }
            Phase::Idle | Phase::Preload(_) => false,
        }
    }

    /// Adds the request that is due at `at_ns` when it is `now_ns`, open loop; `None` when nothing
    /// is due any more.
    pub(crate) fn arrive(&mut self, at_ns: u64, now_ns: u64) -> Option<Arrival> {
        let Phase::Open(span) = &mut self.phase else {
            return None;
        };
        let measured = span.take(at_ns)?;
        let request = self.workload.draw();
        if self.backlog.len() >= BACKLOG_MAX || now_ns >= span.end_ns {
            return Some(Arrival {
                measured,
                kept: false,
            });
        }
        self.backlog.push_back(Due {
            request,
            intended_ns: at_ns,
            measured,
        });
        Some(Arrival {
            measured,
            kept: true,
        })
    }
}

/// What became of a request that was due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Whether it belongs to the measured part.
    pub(crate) measured: bool,
    /// Whether it waits to be sent; otherwise the backlog is full, or the time is over, and it is
    /// counted as unsent.
    pub(crate) kept: bool,
}

impl Preload {
    fn advance(&mut self) -> Option<u64> {
        let key = self.next;
        (key < self.end).then(|| self.next += self.step)?;
        Some(key)
    }
}

/// Requests under way on one connection while the keys are written.
const PRELOAD_DEPTH: usize = 32;

/// Most requests of one thread that are due and not sent: about 100 MiB.
const BACKLOG_MAX: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_by_time_or_by_number() {
        let mut span = Span {
            begin_ns: 10,
            end_ns: 20,
            left: Some(1),
        };
        assert_eq!(span.take(5), Some(false));
        assert_eq!(span.take(10), Some(true));
        assert_eq!(span.take(11), None);
        let mut span = Span {
            begin_ns: 10,
            end_ns: 20,
            left: None,
        };
        assert_eq!((span.take(19), span.take(20)), (Some(true), None));
    }

    #[test]
    fn the_preload_deals_every_key_to_one_thread() {
        let of_thread = |thread| {
            let mut preload = Preload {
                next: thread,
                step: 3,
                end: 8,
                again: vec![],
                stored: 0,
                failures: 0,
            };
            std::iter::from_fn(move || preload.advance()).collect::<Vec<_>>()
        };
        assert_eq!(of_thread(0), [0, 3, 6]);
        assert_eq!(of_thread(1), [1, 4, 7]);
        assert_eq!(of_thread(2), [2, 5]);
    }
}
