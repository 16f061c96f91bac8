//! What the nodes' metrics say of their logs in a turn: batches, bytes, what compaction moved, and
//! how large the log became. Counters are read before and after; the size is looked at meanwhile by
//! a thread, because its largest value is what is bounded.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::admin;
use crate::measure::{Figures, Measure};

/// The counters of all logs at one moment.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LogCounters {
    batches: f64,
    records: f64,
    batch_bytes: f64,
    moved_bytes: f64,
}

impl LogCounters {
    /// The sums over the nodes at `admins`; `None` when none of them keeps a log.
    ///
    /// # Errors
    /// When a node does not answer.
    pub fn read(admins: &[SocketAddr]) -> io::Result<Option<Self>> {
        let mut sums = None;
        for admin in admins {
            let text = admin::fetch(*admin, "/metrics")?;
            // A log has a segment, if only an empty one.
            if gauge(&text, "segments").unwrap_or(0.0) == 0.0 {
                continue;
            }
            let of = |name| admin::metric(&text, &format!("{PREFIX}{name}_total")).unwrap_or(0.0);
            let sums: &mut Self = sums.get_or_insert_default();
            sums.batches += of("batches");
            sums.records += of("records");
            sums.batch_bytes += of("batch_bytes");
            sums.moved_bytes += of("moved_bytes");
        }
        Ok(sums)
    }

    /// The figures of a turn of `seconds` that began at `before`.
    #[must_use]
    pub fn figures_since(&self, before: &Self, seconds: f64) -> Figures {
        let batches = self.batches - before.batches;
        let bytes = self.batch_bytes - before.batch_bytes;
        let moved = self.moved_bytes - before.moved_bytes;
        let mut figures = Figures::from([
            (Measure::Commits, batches / seconds),
            (
                Measure::RecordsPerBatch,
                (self.records - before.records) / batches,
            ),
            (Measure::WriteAmplification, bytes / (bytes - moved)),
        ]);
        figures.retain(|_, figure| figure.is_finite());
        figures
    }
}

/// Watches the size of all logs until it is stopped.
#[derive(Debug)]
pub struct SpaceWatch {
    stop: Sender<()>,
    thread: JoinHandle<io::Result<Option<f64>>>,
}

impl SpaceWatch {
    /// Begins to look at the nodes at `admins`.
    #[must_use]
    pub fn start(admins: Vec<SocketAddr>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut largest: Option<f64> = None;
            loop {
                for admin in &admins {
                    let ratio = ratio(&admin::fetch(*admin, "/metrics")?);
                    largest = ratio.into_iter().chain(largest).reduce(f64::max);
                }
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return Ok(largest);
                }
            }
        });
        Self { stop, thread }
    }

    /// Ends it; the largest ratio of a log, two segments less, to its live records.
    ///
    /// # Errors
    /// When a node did not answer.
    pub fn stop(self) -> io::Result<Option<f64>> {
        drop(self.stop);
        let ended = self.thread.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Of one node. All its segments have one size.
fn ratio(text: &str) -> Option<f64> {
    let (bytes, segments) = (gauge(text, "used_bytes")?, gauge(text, "segments")?);
    let two_segments = 2.0 * bytes / segments;
    let ratio = (bytes - two_segments) / gauge(text, "live_bytes")?;
    ratio.is_finite().then_some(ratio)
}

fn gauge(text: &str, name: &str) -> Option<f64> {
    admin::metric(text, &format!("{PREFIX}{name}"))
}

const PREFIX: &str = "chordite_wal_";

/// A segment takes longer to fill; and a look costs a node a fraction of a millisecond.
const INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_compared_with_what_lives_in_it() {
        let text = "chordite_wal_used_bytes 100\nchordite_wal_segments 5\n";
        assert_eq!(
            ratio(&format!("{text}chordite_wal_live_bytes 30\n")),
            Some(2.0)
        );
        assert_eq!(ratio(text), None);
    }

    #[test]
    fn figures_are_those_of_the_turn() {
        let before = LogCounters {
            batches: 10.0,
            records: 100.0,
            batch_bytes: 1_000.0,
            moved_bytes: 900.0,
        };
        let after = LogCounters {
            batches: 30.0,
            records: 180.0,
            batch_bytes: 4_000.0,
            moved_bytes: 1_900.0,
        };
        let figures = after.figures_since(&before, 2.0);
        assert_eq!(figures[&Measure::Commits], 10.0);
        assert_eq!(figures[&Measure::RecordsPerBatch], 4.0);
        assert_eq!(figures[&Measure::WriteAmplification], 1.5);
        // Nothing was written: there is no mean.
        assert_eq!(before.figures_since(&before, 2.0).len(), 1);
    }
}
