//! How something changes with a number that doubles and doubles.

use super::frame::{Axis, Frame};
use super::scale::{Shape, Ticks, extent, linear, logarithmic};
use super::series::Series;
use crate::page::{Html, count, duration, rate, short_duration};
use std::time::Duration;

/// How several series change over a logarithmic axis of numbers: throughput with the number of clients, latency with the
/// number of waiters.
///
/// ```text
/// let throughput = Lines::rates("Throughput", "clients at a time").series("redis", [(1.0, 9500.0), (64.0, 120_000.0)]);
/// let handover = Lines::times("Passing a lock on", "waiters").series("redis", [(1.0, 0.0004), (10.0, 0.0005)]);
/// page.section("Throughput", throughput.html());
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    caption: String,
    x: String,
    y: Quantity,
    series: Vec<Series>,
}

/// What the vertical axis counts.
#[derive(Clone, Copy, Debug)]
enum Quantity {
    /// Operations in a second, from zero.
    Rate,
    /// Seconds, logarithmic.
    Time,
}

impl Quantity {
    fn written(self, value: f64) -> String {
        match self {
            Self::Rate => rate(value),
            Self::Time => duration(seconds(value)),
        }
    }
}

/// A time that is no number, or under zero, is none.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

impl Lines {
    /// Operations per second over the number of `x`, without series yet.
    pub(crate) fn rates(caption: impl Into<String>, x: impl Into<String>) -> Self {
        Self { caption: caption.into(), x: x.into(), y: Quantity::Rate, series: Vec::new() }
    }

    /// Times, in seconds, over the number of `x`, without series yet.
    pub(crate) fn times(caption: impl Into<String>, x: impl Into<String>) -> Self {
        Self { caption: caption.into(), x: x.into(), y: Quantity::Time, series: Vec::new() }
    }

    /// With a series, ascending; a number under or of zero is left out, as it has no place on the axis. One without points
    /// is named and not drawn.
    pub(crate) fn series(mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series.push(Series::new(name, points.into_iter().filter(|point| point.0 > 0.0)));
        self
    }

    /// The figure.
    pub(crate) fn html(&self) -> Html {
        let label = match self.y {
            Quantity::Rate => "operations per second",
            Quantity::Time => "time",
        };
        let (shape, ticks, format): (_, _, fn(f64) -> String) = match self.y {
            Quantity::Rate => (Shape::Linear, linear(self.ys().map_or(0.0, |ys| ys.1)), count),
            Quantity::Time => {
                let (low, high) = self.ys().unwrap_or((1e-3, 1e-3));
                (Shape::Logarithmic, logarithmic(low.max(1e-9), high), |value| short_duration(seconds(value)))
            }
        };
        Frame {
            caption: &self.caption,
            description: self.description(),
            x: Axis { shape: Shape::Logarithmic, ticks: self.x_ticks(), format: count, label: self.x.clone() },
            y: Axis { shape, ticks, format, label: label.to_owned() },
            series: &self.series,
            markers: true,
        }
        .html()
    }

    fn ys(&self) -> Option<(f64, f64)> {
        extent(self.series.iter().flat_map(|series| &series.points).map(|point| point.1))
    }

    /// The numbers that were measured at are what is written; of many, every second, third, ...
    fn x_ticks(&self) -> Ticks {
        const MOST: usize = 8;
        let points = self.series.iter().flat_map(|series| &series.points);
        let mut at: Vec<f64> = points.map(|point| point.0).collect();
        at.sort_unstable_by(f64::total_cmp);
        at.dedup();
        let (low, high) = extent(at.iter().copied()).unwrap_or((1.0, 2.0));
        let every = at.len().div_ceil(MOST).max(1);
        Ticks { ends: (low, high), at: at.into_iter().step_by(every).collect() }
    }

    fn description(&self) -> String {
        let one = |series: &Series| {
            let points = series.points.iter().map(|(x, y)| format!("{} at {}", self.y.written(*y), count(*x)));
            let points: Vec<_> = points.collect();
            format!("{}: {}", series.name, if points.is_empty() { "no data".to_owned() } else { points.join(", ") })
        };
        self.series.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}
