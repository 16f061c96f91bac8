//! What one thread finds out, second by second.
//!
//! Counters and histograms of one second are kept in an [`Interval`], handed over when the second
//! is over, and added up elsewhere. Only requests of the measured part are recorded; answers that
//! come after its end belong to its last second.

use std::sync::mpsc::Sender;

use hdrhistogram::Histogram;
use proto::message::{LookupMode, Route};

use crate::dialect::Fault;
use crate::report::Counts;
use crate::window::Pending;
use crate::workload::Kind;

/// How a request, or an attempt to connect, can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ErrorKind {
    /// No answer within the deadline.
    Timeout,
    /// The connection broke with the request under way.
    Broken,
    /// A connection could not be opened.
    Connect,
    /// The target broke the rules of the protocol.
    Violation,
    /// The target says the request is wrong.
    Invalid,
    /// The role of the certificate does not allow it.
    Forbidden,
    /// The memory cap is reached.
    MemoryFull,
    /// Too much is under way.
    Overloaded,
    /// No way to the owner was found.
    NoRoute,
    /// The node is not a member.
    NotMember,
    /// The target does not know whether the write was applied.
    Unknown,
    /// The owner's disk is full.
    StorageFull,
    /// The owner's disk failed.
    StorageFailed,
}

impl ErrorKind {
    /// Names by position.
    pub(crate) const NAMES: [&'static str; 13] = [
        "timeout",
        "broken",
        "connect",
        "violation",
        "invalid",
        "forbidden",
        "memory_full",
        "overloaded",
        "no_route",
        "not_member",
        "unknown",
        "storage_full",
        "storage_failed",
    ];
}

/// Ways to an owner whose hops are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// What reads and writes took.
    Requests,
    /// Lookups, arc cache first.
    Cached,
    /// Recursive lookups without the arc cache.
    Recursive,
    /// Iterative lookups.
    Iterative,
}

impl Way {
    /// Names by position.
    pub(crate) const NAMES: [&'static str; 4] = ["requests", "cached", "recursive", "iterative"];

    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Get | Kind::Put | Kind::Echo => Self::Requests,
            Kind::Lookup(LookupMode::Cached) => Self::Cached,
            Kind::Lookup(LookupMode::Recursive | LookupMode::Traced) => Self::Recursive,
            Kind::Lookup(LookupMode::Iterative) => Self::Iterative,
        }
    }
}

/// Hop counts of one way.
#[derive(Clone, Debug)]
pub(crate) struct HopTable {
    /// Answers by number of nodes contacted.
    pub(crate) rpcs: Box<[u64; 256]>,
    /// Answers whose owner came from the arc cache.
    pub(crate) cached: u64,
    /// Dead nodes met.
    pub(crate) dead_met: u64,
}

impl Default for HopTable {
    fn default() -> Self {
        Self {
            rpcs: Box::new([0; 256]),
            cached: 0,
            dead_met: 0,
        }
    }
}

/// What happened in one second, or in several once they are added up.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Which second of the measured part.
    pub(crate) index: u64,
    /// Latency by [`Kind::index`].
    pub(crate) latency: [Histogram<u64>; 4],
    /// From send to answer.
    pub(crate) service: Histogram<u64>,
    /// From intended start to send; stays empty in a closed loop.
    pub(crate) lag: Histogram<u64>,
    /// By [`Way`].
    pub(crate) hops: [HopTable; 4],
    /// Fates.
    pub(crate) counts: Counts,
    /// By [`ErrorKind`].
    pub(crate) errors: [u64; ErrorKind::NAMES.len()],
    /// The last error of each [`ErrorKind`] in words, where there is more to say than its name.
    pub(crate) examples: [Option<String>; ErrorKind::NAMES.len()],
}

impl Interval {
    pub(crate) fn new(index: u64) -> Self {
        Self {
            index,
            latency: std::array::from_fn(|_| histogram()),
            service: histogram(),
            lag: histogram(),
            hops: std::array::from_fn(|_| HopTable::default()),
            counts: Counts::default(),
            errors: [0; ErrorKind::NAMES.len()],
            examples: Default::default(),
        }
    }

    /// Adds another interval to this one.
    pub(crate) fn merge(&mut self, other: &Self) {
        let pairs = self.latency.iter_mut().zip(&other.latency);
        let more = [
            (&mut self.service, &other.service),
            (&mut self.lag, &other.lag),
        ];
        for (mine, theirs) in pairs.chain(more) {
            mine.add(theirs)
                .expect("all histograms have the same bounds");
        }
        for (mine, theirs) in self.hops.iter_mut().zip(&other.hops) {
            mine.rpcs
                .iter_mut()
                .zip(theirs.rpcs.iter())
                .for_each(|(a, b)| *a += b);
            mine.cached += theirs.cached;
            mine.dead_met += theirs.dead_met;
        }
        self.errors
            .iter_mut()
            .zip(&other.errors)
            .for_each(|(a, b)| *a += b);
        for (mine, theirs) in self.examples.iter_mut().zip(&other.examples) {
            if theirs.is_some() {
                mine.clone_from(theirs);
            }
        }
        self.counts.add(&other.counts);
    }

    /// Latency of all kinds together.
    pub(crate) fn latency_all(&self) -> Histogram<u64> {
        let mut all = histogram();
        for latency in &self.latency {
            all.add(latency)
                .expect("all histograms have the same bounds");
        }
        all
    }

    /// Errors of all kinds.
    pub(crate) fn errors_total(&self) -> u64 {
        self.errors.iter().sum()
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.sent += other.sent;
        self.completed += other.completed;
        self.verified += other.verified;
        self.confirmed += other.confirmed;
        self.superseded += other.superseded;
        self.wrong += other.wrong;
        self.absent += other.absent;
        self.lost += other.lost;
        self.unsent += other.unsent;
        self.late += other.late;
        self.reconnects += other.reconnects;
    }
}

/// What is recorded of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Times {
    kind: Kind,
    intended_ns: u64,
    sent_ns: u64,
    now_ns: u64,
}

/// Records what one thread sees and hands every full second over.
pub(crate) struct Recorder {
    current: Box<Interval>,
    /// Answers with the same times that are not recorded yet.
    alike: (Times, u64),
    /// Where the measured part begins and ends; `None` while it has not begun or has no set end.
    begin_ns: Option<u64>,
    intervals_max: Option<u64>,
    with_lag: bool,
    sink: Sender<Box<Interval>>,
}

impl Recorder {
    pub(crate) fn new(sink: Sender<Box<Interval>>, with_lag: bool) -> Self {
        let current = Box::new(Interval::new(0));
        let none = Times {
            kind: Kind::Get,
            intended_ns: 0,
            sent_ns: 0,
            now_ns: 0,
        };
        Self {
            current,
            alike: (none, 0),
            begin_ns: None,
            intervals_max: None,
            with_lag,
            sink,
        }
    }

    /// The measured part begins, and lasts `intervals_max` seconds when that is known. Wrong and
    /// lost values seen before it are kept, everything else is forgotten.
    pub(crate) fn begin(&mut self, begin_ns: u64, intervals_max: Option<u64>) {
        self.alike.1 = 0;
        let Counts { wrong, lost, .. } = self.current.counts;
        *self.current = Interval::new(0);
        self.current.counts = Counts {
            wrong,
            lost,
            ..Counts::default()
        };
        self.begin_ns = Some(begin_ns);
        self.intervals_max = intervals_max;
    }

    /// Hands over what is over at `now_ns`, also when nothing happened.
    pub(crate) fn advance(&mut self, now_ns: u64) {
        while let Some(begin_ns) = self.begin_ns {
            let next = self.current.index + 1;
            let over = now_ns >= begin_ns + next * INTERVAL_NS;
            if !over || self.intervals_max.is_some_and(|max| next >= max) {
                return;
            }
            self.record_alike();
            let full = std::mem::replace(&mut self.current, Box::new(Interval::new(next)));
            // Nobody listens any more only when the run is being given up.
            let _ = self.sink.send(full);
        }
    }

    /// Hands over what is left.
    pub(crate) fn finish(mut self) {
        self.record_alike();
        let _ = self.sink.send(self.current);
    }

    /// The counters of the current second.
    pub(crate) fn counts(&mut self) -> &mut Counts {
        &mut self.current.counts
    }

    /// A request was answered at `now_ns`.
    ///
    /// Requests that left in one write and were answered by one receive have the same times: they
    /// are counted first and recorded together, which a deep pipeline feels.
    pub(crate) fn answered(&mut self, pending: &Pending, now_ns: u64, route: Option<Route>) {
        let times = Times {
            kind: pending.request.kind,
            intended_ns: pending.intended_ns,
            sent_ns: pending.sent_ns,
            now_ns,
        };
        if self.alike.0 != times {
            self.record_alike();
            self.alike.0 = times;
        }
        self.alike.1 += 1;
        if let Some(route) = route {
            let table = &mut self.current.hops[Way::of(pending.request.kind) as usize];
            table.rpcs[usize::from(route.rpcs)] += 1;
            table.cached += u64::from(route.cached);
            table.dead_met += u64::from(route.timeouts);
        }
    }

    fn record_alike(&mut self) {
        let (times, count) = self.alike;
        if count == 0 {
            return;
        }
        self.alike.1 = 0;
        let interval = &mut *self.current;
        interval.counts.completed += count;
        let latency = times.now_ns.saturating_sub(times.intended_ns);
        interval.latency[times.kind.index()].saturating_record_n(latency, count);
        let service = times.now_ns.saturating_sub(times.sent_ns);
        interval.service.saturating_record_n(service, count);
        if self.with_lag {
            let lag = times.sent_ns.saturating_sub(times.intended_ns);
            interval.lag.saturating_record_n(lag, count);
        }
    }

    /// A connection could not be opened, or (`was_up`) ended before its time: then the requests
    /// that were under way are the errors, and this only says why.
    pub(crate) fn disconnected(&mut self, fault: &Fault, was_up: bool, example: String) {
        let kind = match fault {
            Fault::Violation(_) => ErrorKind::Violation,
            Fault::Closed | Fault::Io(_) | Fault::Link(_) if was_up => ErrorKind::Broken,
            Fault::Closed | Fault::Io(_) | Fault::Link(_) => ErrorKind::Connect,
        };
        self.current.errors[kind as usize] += u64::from(kind != ErrorKind::Broken);
        self.current.examples[kind as usize] = Some(example);
    }

    /// Keeps the first reason of a kind of error in the current second.
    pub(crate) fn explain(&mut self, kind: ErrorKind, reason: &str) {
        self.current.examples[kind as usize].get_or_insert_with(|| reason.to_owned());
    }

    /// The last disconnection of the current second, in words.
    pub(crate) fn last_disconnect(&self) -> Option<String> {
        self.current.examples.iter().flatten().next().cloned()
    }

    /// A request failed.
    pub(crate) fn failed(&mut self, kind: ErrorKind) {
        self.current.errors[kind as usize] += 1;
    }
}

/// Nanoseconds up to ten minutes, three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, VALUE_NS_MAX, 3).expect("the bounds are valid")
}

/// Length of an interval.
pub(crate) const INTERVAL_NS: u64 = 1_000_000_000;

const VALUE_NS_MAX: u64 = 600 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Request;
    use std::sync::mpsc;

    fn pending(intended_ns: u64, sent_ns: u64) -> Pending {
        let request = Request {
            kind: Kind::Get,
            key: 0,
            sequence: 0,
            bytes: 0,
        };
        let mut pending = Pending::new(request, intended_ns, true);
        pending.sent_ns = sent_ns;
        pending
    }

    #[test]
    fn seconds_are_handed_over_in_order_and_the_last_takes_the_rest() {
        let (sink, intervals) = mpsc::channel();
        let mut recorder = Recorder::new(sink, true);
        recorder.begin(1_000, Some(3));
        let second = |number: u64| 1_000 + number * INTERVAL_NS + 5;
        for number in [0, 2, 7] {
            recorder.advance(second(number));
            recorder.answered(&pending(0, 10), second(number), None);
        }
        recorder.finish();
        let got: Vec<_> = intervals
            .iter()
            .map(|i| (i.index, i.counts.completed))
            .collect();
        assert_eq!(got, [(0, 1), (1, 0), (2, 2)]);
    }

    #[test]
    fn latency_counts_from_the_intended_start() {
        let (sink, intervals) = mpsc::channel();
        let mut recorder = Recorder::new(sink, true);
        recorder.begin(0, None);
        let route = Route {
            rpcs: 2,
            timeouts: 1,
            cached: true,
        };
        recorder.answered(&pending(1_000, 51_000), 61_000, Some(route));
        recorder.finish();
        let interval = intervals.recv().unwrap();
        assert!(interval.latency[0].equivalent(interval.latency[0].max(), 60_000));
        assert!(interval.service.equivalent(interval.service.max(), 10_000));
        assert!(interval.lag.equivalent(interval.lag.max(), 50_000));
        assert_eq!(interval.hops[0].rpcs[2], 1);
        assert_eq!((interval.hops[0].cached, interval.hops[0].dead_met), (1, 1));
    }
}
