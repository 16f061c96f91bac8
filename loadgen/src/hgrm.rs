//! The percentile distribution of a histogram in the classic text format of HdrHistogram
//! (`.hgrm`), which its plotters read. Recorded nanoseconds are printed in a larger unit.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// The distribution of `histogram`, every value divided by `unit` (1,000 prints nanoseconds as
/// microseconds), with five steps for each halving of the distance to 100 %.
#[must_use]
pub fn render(histogram: &Histogram<u64>, unit: f64) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = step.value_iterated_to() as f64 / unit;
        line(&mut text, value, quantile, total);
    }
    footer(&mut text, histogram, unit);
    text
}

fn line(text: &mut String, value: f64, quantile: f64, total: u64) {
    let written = if quantile < 1.0 {
        let inverse = 1.0 / (1.0 - quantile);
        writeln!(
            text,
            "{value:12.3} {quantile:2.12} {total:10} {inverse:14.2}"
        )
    } else {
        writeln!(text, "{value:12.3} {quantile:2.12} {total:10}")
    };
    written.expect("writing to a string cannot fail");
}

fn footer(text: &mut String, histogram: &Histogram<u64>, unit: f64) {
    let (mean, deviation) = if histogram.is_empty() {
        (0.0, 0.0)
    } else {
        (histogram.mean() / unit, histogram.stdev() / unit)
    };
    let max = histogram.max() as f64 / unit;
    let (total, buckets) = (histogram.len(), histogram.buckets());
    let sub_buckets = 2 << (f64::from(histogram.sigfig()) * 10f64.log2()).ceil() as u32;
    write!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {total:12}]\n\
         #[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]\n"
    )
    .expect("writing to a string cannot fail");
}

const TICKS_PER_HALF_DISTANCE: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_classic_one() {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        for us in 1..=4u64 {
            histogram.record(us * 1_000).unwrap();
        }
        let want = concat!(
            "       Value     Percentile TotalCount 1/(1-Percentile)\n\n",
            "       1.000 0.000000000000          1           1.00\n",
            "       1.000 0.100000000000          1           1.11\n",
            "       1.000 0.200000000000          1           1.25\n",
            "       2.000 0.300000000000          2           1.43\n",
            "       2.000 0.400000000000          2           1.67\n",
            "       2.000 0.500000000000          2           2.00\n",
            "       3.001 0.550000000000          3           2.22\n",
            "       3.001 0.600000000000          3           2.50\n",
            "       3.001 0.650000000000          3           2.86\n",
            "       3.001 0.700000000000          3           3.33\n",
            "       4.001 0.750000000000          4           4.00\n",
            "       4.001 1.000000000000          4\n",
            "#[Mean    =        2.501, StdDeviation   =        1.118]\n",
            "#[Max     =        4.001, Total count    =            4]\n",
            "#[Buckets =           20, SubBuckets     =         2048]\n",
        );
        assert_eq!(render(&histogram, 1_000.0), want);
    }

    #[test]
    fn an_empty_histogram_has_a_header_and_a_footer() {
        let text = render(&Histogram::new(3).unwrap(), 1_000.0);
        assert!(text.contains("Total count    =            0]"));
    }
}
