//! Puts the seconds of all threads together, in order, and writes each to the histogram log.
//! A second is complete when every thread has handed it over; the last one may be shorter.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use crate::hlog::HistogramLog;
use crate::recorder::{INTERVAL_NS, Interval};
use crate::report::IntervalStats;

/// The measured part so far.
pub(crate) struct Timeline {
    threads: u32,
    /// Seconds that not all threads have handed over yet.
    open: BTreeMap<u64, (u32, Box<Interval>)>,
    totals: Interval,
    /// Whole seconds and the last one are told apart by its length, known only at the end.
    last: Option<Box<Interval>>,
    stats: Vec<IntervalStats>,
    log: Option<HistogramLog<Box<dyn Write>>>,
}

impl Timeline {
    pub(crate) fn new(threads: u32, log: Option<HistogramLog<Box<dyn Write>>>) -> Self {
        Self {
            threads,
            open: BTreeMap::new(),
            totals: Interval::new(0),
            last: None,
            stats: Vec::new(),
            log,
        }
    }

    /// Adds a second of one thread; returns the figures of seconds that are complete by it.
    pub(crate) fn add(&mut self, interval: Box<Interval>) -> io::Result<Vec<IntervalStats>> {
        let index = interval.index;
        match self.open.get_mut(&index) {
            Some((threads, merged)) => {
                *threads += 1;
                merged.merge(&interval);
            }
            None => {
                self.open.insert(index, (1, interval));
            }
        }
        let before = self.stats.len();
        while let Some(entry) = self.open.first_entry()
            && entry.get().0 == self.threads
        {
            let (_, complete) = entry.remove();
            self.push(complete)?;
        }
        Ok(self.stats[before..].to_vec())
    }

    /// Ends the measured part after `wall`; returns the sums and every second.
    pub(crate) fn finish(mut self, wall: Duration) -> io::Result<(Interval, Vec<IntervalStats>)> {
        for (_, (_, interval)) in std::mem::take(&mut self.open) {
            self.push(interval)?;
        }
        if let Some(last) = self.last.take() {
            let start = Duration::from_nanos(last.index * INTERVAL_NS);
            self.close(
                &last,
                wall.saturating_sub(start).max(Duration::from_millis(1)),
            )?;
        }
        if let Some(log) = self.log.take() {
            log.finish()?;
        }
        Ok((self.totals, self.stats))
    }

    fn push(&mut self, interval: Box<Interval>) -> io::Result<()> {
        match self.last.replace(interval) {
            Some(before) => self.close(&before, Duration::from_nanos(INTERVAL_NS)),
            None => Ok(()),
        }
    }

    fn close(&mut self, interval: &Interval, length: Duration) -> io::Result<()> {
        let latency = interval.latency_all();
        let start = Duration::from_nanos(interval.index * INTERVAL_NS);
        if let Some(log) = &mut self.log {
            log.append(&latency, start, length)?;
        }
        let us = |ns: u64| ns as f64 / 1e3;
        self.stats.push(IntervalStats {
            start_s: start.as_secs_f64(),
            length_s: length.as_secs_f64(),
            completed: interval.counts.completed,
            errors: interval.errors_total(),
            p50_us: us(latency.value_at_quantile(0.5)),
            p99_us: us(latency.value_at_quantile(0.99)),
            max_us: us(latency.max()),
        });
        self.totals.merge(interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(index: u64, completed: u64) -> Box<Interval> {
        let mut interval = Interval::new(index);
        interval.counts.completed = completed;
        Box::new(interval)
    }

    #[test]
    fn seconds_of_all_threads_are_added_up_in_order() {
        let mut timeline = Timeline::new(2, None);
        assert!(timeline.add(second(0, 1)).unwrap().is_empty());
        assert!(timeline.add(second(1, 10)).unwrap().is_empty());
        assert!(timeline.add(second(0, 2)).unwrap().is_empty());
        let closed = timeline.add(second(1, 20)).unwrap();
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].completed, 3);
        let (totals, stats) = timeline.finish(Duration::from_millis(1_500)).unwrap();
        assert_eq!(totals.counts.completed, 33);
        assert_eq!(stats[1].completed, 30);
        assert!((stats[1].length_s - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_thread_that_ended_early_is_no_hindrance() {
        let mut timeline = Timeline::new(2, None);
        timeline.add(second(0, 1)).unwrap();
        let (totals, stats) = timeline.finish(Duration::from_secs(1)).unwrap();
        assert_eq!((totals.counts.completed, stats.len()), (1, 1));
    }
}
