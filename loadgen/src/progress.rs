//! What is to be seen while a run goes on: a live line on a terminal, otherwise a plain line every
//! few seconds. Both go to standard error, so that standard output holds nothing but the result.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::Plan;
use crate::report::IntervalStats;

/// Shows how far a run is.
pub(crate) struct Progress {
    show: Show,
    /// Keys written, by thread.
    preloaded: Vec<u64>,
    keys: u64,
    /// Warm-up and measured part, when its length is known.
    length: Option<Duration>,
    warmup: Duration,
    begun: Option<Instant>,
    printed: Instant,
    news: String,
}

enum Show {
    Nothing,
    Live(ProgressBar),
    Lines,
}

impl Progress {
    pub(crate) fn new(plan: &Plan) -> Self {
        let show = if plan.quiet {
            Show::Nothing
        } else if io::stderr().is_terminal() {
            Show::Live(live_line())
        } else {
            Show::Lines
        };
        Self {
            show,
            preloaded: vec![0; plan.threads as usize],
            keys: plan.data.keys,
            length: plan.duration.map(|duration| duration + plan.warmup),
            warmup: plan.warmup,
            begun: None,
            printed: Instant::now(),
            news: "connecting".to_owned(),
        }
    }

    /// Thread `thread` has written `stored` keys.
    pub(crate) fn preloaded(&mut self, thread: u32, stored: u64) {
        if let Some(known) = self.preloaded.get_mut(thread as usize) {
            *known = stored;
        }
        let stored: u64 = self.preloaded.iter().sum();
        self.news = format!("preload: {stored} of {} keys", self.keys);
        self.share(stored as f64 / self.keys.max(1) as f64);
    }

    /// A second of the measured part is complete.
    pub(crate) fn second(&mut self, second: &IntervalStats) {
        let rate = second.completed as f64 / second.length_s;
        self.news = format!(
            "{:>4.0} s  {:>10.0} req/s  p50 {:>9.1} us  p99 {:>9.1} us  max {:>9.1} us  errors {}",
            second.start_s + second.length_s,
            rate,
            second.p50_us,
            second.p99_us,
            second.max_us,
            second.errors,
        );
        self.tick();
    }

    /// Time went on.
    pub(crate) fn tick(&mut self) {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let elapsed = begun.elapsed();
        if elapsed < self.warmup {
            self.news = "warming up".to_owned();
        }
        let length = self.length.map(|length| length.as_secs_f64());
        self.share(length.map_or(0.0, |length| elapsed.as_secs_f64() / length));
    }

    /// The run is over.
    pub(crate) fn finish(&mut self) {
        if let Show::Live(bar) = &self.show {
            bar.finish_and_clear();
        }
    }

    fn share(&mut self, share: f64) {
        match &self.show {
            Show::Nothing => {}
            Show::Live(bar) => {
                bar.set_position((share.clamp(0.0, 1.0) * STEPS as f64) as u64);
                bar.set_message(self.news.clone());
            }
            Show::Lines if self.printed.elapsed() >= LINE_EVERY => {
                self.printed = Instant::now();
                eprintln!("loadgen: {}", self.news);
            }
            Show::Lines => {}
        }
    }
}

fn live_line() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {percent:>3} %  {msg}");
    let bar = ProgressBar::new(STEPS);
    bar.set_style(style.expect("the template is valid").progress_chars("=> "));
    bar
}

const STEPS: u64 = 1_000;

const LINE_EVERY: Duration = Duration::from_secs(3);
