//! How times are distributed.

use super::frame::{Axis, Frame};
use super::scale::{Shape, Ticks, extent, logarithmic};
use super::series::Series;
use crate::page::Html;
use crate::page::{duration, short_duration};
use std::time::Duration;

/// The percentiles that make a smooth curve: those to ask a histogram for.
pub(crate) const PERCENTILES: [f64; 21] = [
    1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 85.0, 90.0, 95.0, 97.0, 98.0, 99.0, 99.5,
    99.9,
];

/// The percentiles that are written on the axis.
const TICKS: [f64; 6] = [1.0, 10.0, 50.0, 90.0, 99.0, 99.9];

/// How the times of several series are distributed: the share of them that is done (p1 to p99.9, stretched towards its
/// ends) over a logarithmic time. Further left is faster, steeper is steadier.
///
/// ```text
/// let points = PERCENTILES.map(|p| (p, Duration::from_nanos(histogram.value_at_percentile(p))));
/// page.section("Latency", Distribution::new("How long a lock takes").series("redis", points).html());
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    caption: String,
    series: Vec<Series>,
}

impl Distribution {
    /// A plot without series.
    pub(crate) fn new(caption: impl Into<String>) -> Self {
        Self { caption: caption.into(), series: Vec::new() }
    }

    /// With a series: times by their percentiles, ascending. One without points is named and not drawn.
    pub(crate) fn series(
        mut self,
        name: impl Into<String>,
        percentiles: impl IntoIterator<Item = (f64, Duration)>,
    ) -> Self {
        let points = percentiles.into_iter().map(|(percentile, time)| (time.as_secs_f64(), percentile / 100.0));
        self.series.push(Series::new(name, points));
        self
    }

    /// With a series of times as they were measured, in any order.
    pub(crate) fn samples(self, name: impl Into<String>, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, clippy::cast_possible_truncation)]
        let index = |percentile: f64| (percentile / 100.0 * last as f64).round() as usize;
        let points: Vec<_> =
            PERCENTILES.iter().filter_map(|percentile| Some((*percentile, *times.get(index(*percentile))?))).collect();
        self.series(name, points)
    }

    /// The figure.
    pub(crate) fn html(&self) -> Html {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (low, high) = extent(points().map(|point| point.0)).unwrap_or((1e-3, 1e-3));
        let (least, most) = extent(points().map(|point| point.1)).unwrap_or((0.01, 0.99));
        let ends = (least.min(0.01), most.max(0.99));
        let ticks = TICKS.iter().map(|percentile| percentile / 100.0);
        let y = Ticks { ends, at: ticks.filter(|tick| *tick >= ends.0 - 1e-9 && *tick <= ends.1 + 1e-9).collect() };
        Frame {
            caption: &self.caption,
            description: self.description(),
            x: Axis {
                shape: Shape::Logarithmic,
                ticks: logarithmic(low.max(1e-9), high),
                format: |seconds| short_duration(Duration::from_secs_f64(seconds)),
                label: "time".to_owned(),
            },
            y: Axis {
                shape: Shape::Logit,
                ticks: y,
                format: |share| format!("p{}", (share * 1000.0).round() / 10.0),
                label: "done within".to_owned(),
            },
            series: &self.series,
            markers: false,
        }
        .html()
    }

    fn description(&self) -> String {
        let one = |series: &Series| {
            let at = |wanted: f64| series.points.iter().find(|point| (point.1 - wanted).abs() < 1e-9);
            let named = [("p50", 0.5), ("p99", 0.99)].into_iter().filter_map(|(name, share)| {
                Some(format!("{name} {}", duration(Duration::from_secs_f64(at(share)?.0))))
            });
            let named: Vec<_> = named.collect();
            format!("{}: {}", series.name, if named.is_empty() { "no data".to_owned() } else { named.join(", ") })
        };
        self.series.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}
