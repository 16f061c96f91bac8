//! A plot of a few series as SVG: lines, points or both over linear or logarithmic axes.
//! Draws what it is given with plotters; fonts are named, not embedded.

use anyhow::{Result, anyhow, ensure};
use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::{
    BLACK, Cartesian2d, Circle, IntoDrawingArea, IntoLogRange, LineSeries, PathElement, RGBColor,
    SVGBackend, WHITE,
};
use plotters::style::Color;

/// Series over two axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Plot {
    name: String,
    title: String,
    across: Axis,
    up: Axis,
    series: Vec<Series>,
}

/// An axis: what it shows, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Axis {
    label: String,
    is_logarithmic: bool,
}

/// Named points, by their order.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    label: String,
    points: Vec<(f64, f64)>,
    is_joined: bool,
    is_dotted: bool,
}

impl Axis {
    /// An axis with equal steps.
    #[must_use]
    pub fn linear(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            is_logarithmic: false,
        }
    }

    /// An axis with equal factors; all figures on it must be positive.
    #[must_use]
    pub fn logarithmic(label: &str) -> Self {
        Self {
            is_logarithmic: true,
            ..Self::linear(label)
        }
    }
}

impl Series {
    /// Points joined by a line: a formula, or a model.
    #[must_use]
    pub fn line(label: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            label: label.to_owned(),
            points: points.into_iter().collect(),
            is_joined: true,
            is_dotted: false,
        }
    }

    /// Points alone: what somebody else published.
    #[must_use]
    pub fn points(label: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            is_joined: false,
            is_dotted: true,
            ..Self::line(label, points)
        }
    }

    /// Points joined by a line: what was measured.
    #[must_use]
    pub fn measured(label: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            is_dotted: true,
            ..Self::line(label, points)
        }
    }
}

impl Plot {
    /// An empty plot; `name` also names its file.
    #[must_use]
    pub fn new(name: &str, title: &str, across: Axis, up: Axis) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            across,
            up,
            series: Vec::new(),
        }
    }

    /// With one more series.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Its name, which is also that of its file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The drawing.
    ///
    /// # Errors
    /// When there is no point, or one that the axes cannot show.
    pub fn svg(&self) -> Result<String> {
        let across = self.range(|point| point.0, self.across.is_logarithmic)?;
        let up = self.range(|point| point.1, self.up.is_logarithmic)?;
        let (x, y) = (across.clone(), up.clone());
        match (self.across.is_logarithmic, self.up.is_logarithmic) {
            (false, false) => self.draw(x, y),
            (true, false) => self.draw(x.log_scale(), y),
            (false, true) => self.draw(x, y.log_scale()),
            (true, true) => self.draw(x.log_scale(), y.log_scale()),
        }
    }

    fn draw<X, Y>(&self, x: X, y: Y) -> Result<String>
    where
        X: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
        Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE).map_err(drawing)?;
            let mut chart = ChartBuilder::on(&area)
                .caption(&self.title, ("sans-serif", 20))
                .margin(15)
                .x_label_area_size(45)
                .y_label_area_size(65)
                .build_cartesian_2d(x, y)
                .map_err(drawing)?;
            chart
                .configure_mesh()
                .x_desc(&self.across.label)
                .y_desc(&self.up.label)
                .max_light_lines(1)
                .light_line_style(BLACK.mix(0.05))
                .label_style(("sans-serif", 15))
                .axis_desc_style(("sans-serif", 17))
                .x_label_formatter(&|figure| label(*figure))
                .y_label_formatter(&|figure| label(*figure))
                .draw()
                .map_err(drawing)?;
            self.draw_series(&mut chart)?;
            chart
                .configure_series_labels()
                .position(self.corner())
                .margin(12)
                .label_font(("sans-serif", 15))
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.3))
                .draw()
                .map_err(drawing)?;
            area.present().map_err(drawing)?;
        }
        Ok(svg)
    }

    fn draw_series<X, Y>(
        &self,
        chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    ) -> Result<()>
    where
        X: Ranged<ValueType = f64>,
        Y: Ranged<ValueType = f64>,
    {
        for (index, series) in self.series.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()].to_rgba();
            let is_joined = series.is_joined;
            if is_joined {
                let line = LineSeries::new(series.points.iter().copied(), colour.stroke_width(2));
                chart.draw_series(line).map_err(drawing)?;
            }
            let radius = if series.is_dotted { 4 } else { 0 };
            let dot = |at: &(f64, f64)| Circle::new(*at, radius, colour.filled());
            let dots = chart.draw_series(series.points.iter().map(dot));
            let dots = dots.map_err(drawing)?;
            dots.label(&series.label).legend(move |(x, y)| {
                let ends = if is_joined {
                    (x, x + 20)
                } else {
                    (x + 8, x + 12)
                };
                PathElement::new([(ends.0, y), (ends.1, y)], colour.stroke_width(3))
            });
        }
        Ok(())
    }

    /// The corner with the fewest points: the legend goes there.
    fn corner(&self) -> SeriesLabelPosition {
        let across = self.middle(|point| point.0, self.across.is_logarithmic);
        let up = self.middle(|point| point.1, self.up.is_logarithmic);
        let corners = [
            (false, true, SeriesLabelPosition::UpperLeft),
            (true, true, SeriesLabelPosition::UpperRight),
            (true, false, SeriesLabelPosition::LowerRight),
            (false, false, SeriesLabelPosition::LowerLeft),
        ];
        let points = || self.series.iter().flat_map(|series| &series.points);
        let crowd = |is_right: bool, is_high: bool| {
            let inside =
                |point: &&(f64, f64)| (point.0 > across) == is_right && (point.1 > up) == is_high;
            points().filter(inside).count()
        };
        let emptiest = corners
            .into_iter()
            .min_by_key(|(is_right, is_high, _)| crowd(*is_right, *is_high));
        emptiest.map_or(SeriesLabelPosition::UpperLeft, |(_, _, corner)| corner)
    }

    fn middle(&self, of: impl Fn(&(f64, f64)) -> f64, is_logarithmic: bool) -> f64 {
        match self.range(of, is_logarithmic) {
            Ok(range) if is_logarithmic => (range.start * range.end).sqrt(),
            Ok(range) => f64::midpoint(range.start, range.end),
            Err(_) => 0.0,
        }
    }

    fn range(
        &self,
        of: impl Fn(&(f64, f64)) -> f64,
        is_logarithmic: bool,
    ) -> Result<std::ops::Range<f64>> {
        let figures = || {
            self.series
                .iter()
                .flat_map(|series| series.points.iter().map(&of))
        };
        let low = figures().fold(f64::INFINITY, f64::min);
        let high = figures().fold(f64::NEG_INFINITY, f64::max);
        ensure!(
            low.is_finite() && high.is_finite(),
            "{}: no points",
            self.name
        );
        if is_logarithmic {
            ensure!(low > 0.0, "{}: {low} on a logarithmic axis", self.name);
            return Ok(low / 1.2..high * 1.2);
        }
        let low = low.min(0.0);
        let room = (high - low).max(f64::MIN_POSITIVE) * 0.08;
        Ok(low - if low < 0.0 { room } else { 0.0 }..high + room)
    }
}

/// A figure at an axis: `0.25`, `1,000,000`.
fn label(figure: f64) -> String {
    let text = format!("{}", (figure * 1e6).round() / 1e6);
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        if at > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match rest {
        "" => grouped,
        rest => format!("{grouped}.{rest}"),
    }
}

fn drawing<E: std::fmt::Display>(error: E) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// Told apart by people who see colours differently, too (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Width and height in pixels.
const SIZE: (u32, u32) = (800, 500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_its_words_and_points() {
        let plot = Plot::new(
            "p",
            "Hops",
            Axis::logarithmic("nodes"),
            Axis::linear("hops"),
        )
        .with(Series::measured("here", [(128.0, 3.4), (1024.0, 4.9)]))
        .with(Series::points("paper", [(128.0, 3.39)]))
        .with(Series::line("formula", [(128.0, 3.37), (1024.0, 4.87)]));
        let svg = plot.svg().unwrap();
        for word in [
            "<svg",
            "Hops",
            "nodes",
            "paper",
            "formula",
            "<circle",
            "<polyline",
        ] {
            assert!(svg.contains(word), "{word} in\n{svg}");
        }
    }

    #[test]
    fn the_legend_goes_where_no_points_are() {
        let plot = Plot::new("p", "", Axis::linear("x"), Axis::linear("y"));
        let falling = plot.with(Series::line("a", [(0.0, 9.0), (1.0, 1.0), (9.0, 0.5)]));
        assert!(matches!(falling.corner(), SeriesLabelPosition::UpperRight));
        let labels = [0.25, 1e6, 12_345.5, -200.0, 0.0].map(label);
        assert_eq!(labels, ["0.25", "1,000,000", "12,345.5", "-200", "0"]);
    }

    #[test]
    fn nothing_and_zero_on_a_logarithmic_axis_are_refused() {
        let plot = || Plot::new("p", "", Axis::linear("x"), Axis::logarithmic("y"));
        assert!(plot().svg().is_err());
        assert!(plot().with(Series::line("a", [(1.0, 0.0)])).svg().is_err());
        assert!(plot().with(Series::line("a", [(1.0, 1.0)])).svg().is_ok());
    }
}
