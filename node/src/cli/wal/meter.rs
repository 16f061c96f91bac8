//! How far a long command is, on standard error: one line that is rewritten on a terminal, a line a
//! second elsewhere, nothing at all when it takes less than a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use node::rewrite::watch::{Phase, Progress};

/// Shows progress.
pub(super) struct Meter {
    is_terminal: bool,
    start: Instant,
    shown: Option<Instant>,
    phase: Phase,
    phase_start: Instant,
    width: usize,
}

impl Meter {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            is_terminal: io::stderr().is_terminal(),
            start: now,
            shown: None,
            phase: Phase::default(),
            phase_start: now,
            width: 0,
        }
    }

    /// Takes note of the progress and shows it when it is time. Nobody may be there to read it:
    /// that stops no work.
    pub(super) fn tell(&mut self, progress: &Progress) {
        let now = Instant::now();
        if progress.phase != self.phase {
            (self.phase, self.phase_start) = (progress.phase, now);
        }
        let period = if self.is_terminal {
            TERMINAL_PERIOD
        } else {
            PLAIN_PERIOD
        };
        let is_late = now.duration_since(self.start) >= PATIENCE;
        let is_due = self.shown.is_none_or(|shown| now - shown >= period);
        if !(is_late && is_due) {
            return;
        }
        self.shown = Some(now);
        let text = line(progress, now.duration_since(self.phase_start));
        let mut stderr = io::stderr().lock();
        let _ = if self.is_terminal {
            let width = self.width;
            self.width = text.chars().count();
            write!(stderr, "\r{text:width$}")
        } else {
            writeln!(stderr, "chordite: {text}")
        };
        let _ = stderr.flush();
    }

    /// Makes way for what comes next.
    pub(super) fn clear(&mut self) {
        if self.is_terminal && self.width > 0 {
            eprint!("\r{:width$}\r", "", width = self.width);
            self.width = 0;
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The progress, and how fast it is.
fn line(progress: &Progress, elapsed: Duration) -> String {
    let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    match (progress.phase, progress.bytes_read.checked_div(us)) {
        (Phase::Reading | Phase::Checking, Some(rate)) => format!("{progress}, {rate} MB/s"),
        _ => progress.to_string(),
    }
}

/// What takes no longer needs no progress.
const PATIENCE: Duration = Duration::from_secs(1);
const TERMINAL_PERIOD: Duration = Duration::from_millis(100);
const PLAIN_PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_has_a_rate() {
        let mut progress = Progress {
            bytes_read: 30_000_000,
            bytes_total: 120_000_000,
            records_read: 7,
            ..Progress::default()
        };
        let text = line(&progress, Duration::from_secs(2));
        assert_eq!(text, "reading, 25 %, 30 of 120 MB, 7 records, 15 MB/s");
        progress.phase = Phase::Switching;
        assert_eq!(line(&progress, Duration::from_secs(2)), "switching over");
    }
}
