//! What is going on, for whoever watches: steps with a spinner on a terminal, plain lines
//! elsewhere. Goes to standard error, so that standard output holds pages only.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A sequence of steps, shown on standard error.
#[derive(Debug)]
pub struct Steps {
    bar: ProgressBar,
    plain: bool,
    start: Instant,
}

impl Steps {
    /// Of `total` steps.
    #[must_use]
    pub fn new(total: u64) -> Self {
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self {
            bar,
            plain: !std::io::stderr().is_terminal(),
            start: Instant::now(),
        }
    }

    /// The next step begins.
    pub fn next(&self, what: impl Into<String>) {
        let what = what.into();
        if self.plain {
            let after = self.start.elapsed().as_secs_f64();
            eprintln!("{after:6.1} s  {what}");
        }
        self.bar.inc(1);
        self.bar.set_message(what);
    }

    /// Prints text between the steps, on standard output.
    pub fn print(&self, text: &str) {
        self.bar.suspend(|| print!("{text}"));
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const TEMPLATE: &str = "{spinner} {pos}/{len} {elapsed} {wide_msg}";
const TICK: Duration = Duration::from_millis(100);
