//! The histogram log (`.hlog`) of HdrHistogram: one compressed V2 histogram for each interval,
//! which HistogramLogAnalyzer, the Python and the Java tools read.
//!
//! Values are nanoseconds; the column for the largest value is in milliseconds, as the Java tools
//! write it. Header and legend are written here, the lines of the histograms by `hdrhistogram`.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError};

/// Writes a histogram log.
pub struct HistogramLog<W> {
    out: W,
    serializer: V2DeflateSerializer,
}

impl<W: Write> HistogramLog<W> {
    /// Begins a log of intervals whose times count from `start`.
    pub fn begin(mut out: W, start: SystemTime) -> io::Result<Self> {
        let epoch = start
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = epoch.as_secs_f64();
        writeln!(out, "#[Logged with loadgen {}]", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "#[Histogram log format version 1.3]")?;
        writeln!(out, "#[StartTime: {seconds:.3} (seconds since epoch)]")?;
        writeln!(out, "{LEGEND}")?;
        Ok(Self {
            out,
            serializer: V2DeflateSerializer::new(),
        })
    }

    /// Appends the histogram of the interval of length `length` that began `start` after the start
    /// of the log.
    pub fn append(
        &mut self,
        histogram: &Histogram<u64>,
        start: Duration,
        length: Duration,
    ) -> io::Result<()> {
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_max_value_divisor(NS_PER_MS);
        // A writer that begins a log repeats the divisor as a comment: it gets a buffer of its own
        // and only its last line is kept.
        let mut text = Vec::new();
        builder
            .begin_log_with(&mut text, &mut self.serializer)?
            .write_histogram(histogram, start, length, None)
            .map_err(|error| match error {
                IntervalLogWriterError::IoError(error) => error,
                IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
            })?;
        let line = text
            .iter()
            .position(|&b| b == b'\n')
            .map_or(0, |end| end + 1);
        self.out.write_all(&text[line..])
    }

    /// Flushes and returns what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";

const NS_PER_MS: f64 = 1_000_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn log() -> String {
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let mut log = HistogramLog::begin(Vec::new(), start).unwrap();
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        histogram.record_n(50_000, 3).unwrap();
        log.append(&histogram, Duration::ZERO, Duration::from_secs(1))
            .unwrap();
        histogram.record(2_000_000).unwrap();
        log.append(
            &histogram,
            Duration::from_secs(1),
            Duration::from_millis(500),
        )
        .unwrap();
        String::from_utf8(log.finish().unwrap()).unwrap()
    }

    #[test]
    fn header_legend_and_lines_are_the_ones_the_tools_read() {
        let log = log();
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(
            lines[0],
            format!("#[Logged with loadgen {}]", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(lines[1], "#[Histogram log format version 1.3]");
        assert_eq!(
            lines[2],
            "#[StartTime: 1700000000.250 (seconds since epoch)]"
        );
        assert_eq!(lines[3], LEGEND);
        assert!(
            lines[4].starts_with("0.000,1.000,0.050,HISTFAAAA"),
            "{}",
            lines[4]
        );
        assert!(
            lines[5].starts_with("1.000,0.500,2.001,HISTFAAAA"),
            "{}",
            lines[5]
        );
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn the_log_is_read_back() {
        let log = log();
        let intervals = IntervalLogIterator::new(log.as_bytes())
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(interval) => Some(interval.duration()),
                _ => None,
            })
            .collect::<Vec<_>>();
        assert_eq!(
            intervals,
            [Duration::from_secs(1), Duration::from_millis(500)]
        );
    }
}
