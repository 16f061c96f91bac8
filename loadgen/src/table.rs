//! The result of a run as a page of text: figures, a histogram of the latency, the hop counts, and
//! what went wrong.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::report::{Hops, Percentiles, Summary};

/// Renders `summary`; `latency` is the histogram behind it, in nanoseconds.
#[must_use]
pub fn render(summary: &Summary, latency: &Histogram<u64>) -> String {
    let mut page = Page::default();
    page.head(summary);
    page.figures(summary);
    page.histogram(latency);
    for hops in &summary.hops {
        page.hops(hops);
    }
    page.faults(summary);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

/// Writing to a string cannot fail; this keeps the pages below readable.
macro_rules! line {
    ($page:expr) => { $page.text.push('\n') };
    ($page:expr, $($what:tt)*) => {
        writeln!($page.text, $($what)*).expect("writing to a string cannot fail")
    };
}

impl Page {
    fn head(&mut self, summary: &Summary) {
        let load = &summary.workload;
        let pace = match (load.rate_per_s, &load.arrivals) {
            (Some(rate), Some(arrivals)) => format!("open loop, {} req/s {arrivals}", round(rate)),
            _ => format!("closed loop, depth {}", load.depth),
        };
        line!(self);
        line!(
            self,
            "{} · {} · {} connections to {} · {} threads · seed {}",
            summary.protocol,
            pace,
            load.connections,
            targets(&summary.targets),
            load.threads,
            load.seed,
        );
        let zipf = load
            .zipf_theta
            .map_or(String::new(), |theta| format!(" {theta}"));
        if summary.protocol != "echo" {
            line!(
                self,
                "{} keys {}{zipf} · values {} B · {:.0} % puts · {:.0} % lookups{}",
                round(load.keys as f64),
                load.distribution,
                load.value_bytes,
                load.put_ratio * 100.0,
                load.lookup_ratio * 100.0,
                if load.preload { " · preloaded" } else { "" },
            );
        }
        line!(self);
    }

    fn figures(&mut self, summary: &Summary) {
        let counts = &summary.counts;
        let throughput = summary.metric("throughput").unwrap_or_default();
        line!(
            self,
            "{} answers in {:.2} s: {} req/s",
            round(counts.completed as f64),
            summary.wall_s,
            round(throughput),
        );
        line!(self);
        line!(
            self,
            "{:<10} {:>11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "us",
            "count",
            "mean",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "p99.99",
            "max"
        );
        self.percentiles("latency", &summary.latency);
        if summary.operations.len() > 1 {
            for operation in &summary.operations {
                self.percentiles(&format!("  {}", operation.kind), &operation.latency);
            }
        }
        self.percentiles("service", &summary.service);
        if summary.send_lag.count > 0 {
            self.percentiles("send lag", &summary.send_lag);
        }
        line!(self);
    }

    fn percentiles(&mut self, name: &str, p: &Percentiles) {
        line!(
            self,
            "{name:<10} {:>11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            p.count,
            micros(p.mean_us),
            micros(p.p50_us),
            micros(p.p90_us),
            micros(p.p99_us),
            micros(p.p99_9_us),
            micros(p.p99_99_us),
            micros(p.max_us),
        );
    }

    /// Bars over a logarithmic scale: three steps a decade, from the first to the last that holds
    /// anything.
    fn histogram(&mut self, latency: &Histogram<u64>) {
        let total = latency.len();
        if total == 0 {
            return;
        }
        let bars = bars(latency);
        let most = bars.iter().map(|bar| bar.count).max().unwrap_or(1).max(1);
        let mut below = 0;
        for bar in &bars {
            below += bar.count;
            let width = (bar.count as f64 / most as f64 * BAR_WIDTH).round() as usize;
            let mark = if bar.count > 0 && width == 0 { "." } else { "" };
            line!(
                self,
                "{:>8} .. {:<8} {:>6.2} % {:>8.3} % |{}{mark}",
                time(bar.from_ns),
                time(bar.to_ns),
                percent(bar.count, total),
                percent(below, total),
                "#".repeat(width),
            );
        }
        line!(self);
    }

    fn hops(&mut self, hops: &Hops) {
        let total: u64 = hops.rpcs.iter().map(|entry| entry.count).sum();
        line!(
            self,
            "hops of {}: mean {:.3} rpcs, {:.3} forwards; {:.1} % from the arc cache; {} dead met",
            hops.way,
            hops.rpcs_mean,
            hops.forwards_mean,
            percent(hops.cached, total),
            hops.dead_met,
        );
        for entry in &hops.rpcs {
            let width = (entry.count as f64 / total.max(1) as f64 * BAR_WIDTH).round() as usize;
            line!(
                self,
                "{:>8} rpcs {:>11} {:>8.3} % |{}",
                entry.hops,
                entry.count,
                percent(entry.count, total),
                "#".repeat(width),
            );
        }
        line!(self);
    }

    fn faults(&mut self, summary: &Summary) {
        let counts = &summary.counts;
        line!(
            self,
            "verified {} · wrong {} · lost {} · absent {} · errors {} · late {} · unsent {}",
            counts.verified,
            counts.wrong,
            counts.lost,
            counts.absent,
            summary.errors_total(),
            counts.late,
            counts.unsent,
        );
        if counts.superseded > 0 {
            line!(
                self,
                "superseded {}: writes whose confirming read found another write's value",
                counts.superseded,
            );
        }
        for error in &summary.errors {
            let example = error
                .example
                .as_ref()
                .map_or(String::new(), |text| format!(" ({text})"));
            line!(self, "  {} {}{example}", error.count, error.kind);
        }
        let generator = &summary.generator;
        line!(
            self,
            "generator: {:.2} s CPU ({:.2} user, {:.2} system), {:.2} us a request, busiest thread \
             {:.0} %",
            generator.cpu_s,
            generator.cpu_user_s,
            generator.cpu_sys_s,
            generator.cpu_per_request_us,
            generator.busy * 100.0,
        );
        for reason in &summary.bottleneck.reasons {
            line!(self, "BOTTLENECK: the generator limited this run: {reason}");
        }
    }
}

struct Bar {
    from_ns: u64,
    to_ns: u64,
    count: u64,
}

/// Every sample falls into the step that its recorded value belongs to.
fn bars(latency: &Histogram<u64>) -> Vec<Bar> {
    let mut edges = edges();
    let mut bars: Vec<Bar> = Vec::new();
    for step in latency.iter_recorded() {
        let value = step.value_iterated_to();
        while bars.last().is_none_or(|bar| bar.to_ns <= value)
            && let Some(to_ns) = edges.next()
        {
            let from_ns = bars.last().map_or(0, |bar| bar.to_ns);
            bars.push(Bar {
                from_ns,
                to_ns,
                count: 0,
            });
        }
        if let Some(bar) = bars.last_mut() {
            bar.count += step.count_since_last_iteration();
        }
    }
    let first = bars.iter().position(|bar| bar.count > 0).unwrap_or(0);
    bars.split_off(first)
}

/// 1, 2 and 5 of every decade from a microsecond to ten minutes.
fn edges() -> impl Iterator<Item = u64> {
    (3..12).flat_map(|decade| [1, 2, 5].map(|step| step * 10u64.pow(decade)))
}

fn targets(targets: &[String]) -> String {
    match targets {
        [one] => one.clone(),
        [first, .., last] => format!("{} targets ({first} .. {last})", targets.len()),
        [] => String::new(),
    }
}

fn percent(part: u64, total: u64) -> f64 {
    part as f64 * 100.0 / total.max(1) as f64
}

/// Three or so significant digits, so that columns stay narrow.
fn micros(us: f64) -> String {
    match us {
        us if us < 100.0 => format!("{us:.1}"),
        us if us < 1e6 => format!("{us:.0}"),
        us => format!("{:.2}s", us / 1e6),
    }
}

fn time(ns: u64) -> String {
    match ns {
        0 => "0".to_owned(),
        ns if ns < 1_000_000 => format!("{} us", ns / 1_000),
        ns if ns < 1_000_000_000 => format!("{} ms", ns / 1_000_000),
        ns => format!("{} s", ns / 1_000_000_000),
    }
}

/// Whole numbers with their thousands apart.
fn round(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

const BAR_WIDTH: f64 = 40.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ErrorCount, HopCount};

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(round(7.0), "7");
        assert_eq!(round(1_234_567.4), "1 234 567");
        assert_eq!(round(123_456.0), "123 456");
    }

    #[test]
    fn the_histogram_covers_all_samples_once() {
        let mut latency = Histogram::new(3).unwrap();
        for us in [40u64, 55, 60, 70, 150, 3_000] {
            latency.record(us * 1_000).unwrap();
        }
        let bars = bars(&latency);
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 6);
        assert_eq!(
            (bars[0].from_ns, bars[0].to_ns, bars[0].count),
            (20_000, 50_000, 1)
        );
        assert_eq!(bars.last().unwrap().to_ns, 5_000_000);
    }

    #[test]
    fn the_page_shows_figures_hops_and_faults() {
        let mut latency = Histogram::new(3).unwrap();
        latency.record(60_000).unwrap();
        let mut summary = Summary {
            latency: Percentiles::of(&latency),
            ..Summary::default()
        };
        summary.hops.push(Hops {
            way: "requests".to_owned(),
            rpcs: vec![HopCount { hops: 1, count: 1 }],
            rpcs_mean: 1.0,
            ..Hops::default()
        });
        let example = Some("refused".to_owned());
        summary.errors.push(ErrorCount {
            kind: "connect".to_owned(),
            count: 2,
            example,
        });
        summary.bottleneck.reasons.push("too slow".to_owned());
        let page = render(&summary, &latency);
        for text in [
            "60.0",
            "50 us .. 100 us",
            "1 rpcs",
            "2 connect (refused)",
            "BOTTLENECK",
        ] {
            assert!(page.contains(text), "{text} is missing in {page}");
        }
        assert!(
            page.lines().all(|line| line.chars().count() <= 110),
            "{page}"
        );
    }
}
