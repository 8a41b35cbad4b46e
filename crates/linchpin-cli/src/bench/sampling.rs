//! Taking times and summing them up.

use super::report::{Percentile, Series};
use crate::page::plot::PERCENTILES;
use std::time::{Duration, Instant};

/// Some times, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, time: Duration) {
        self.push_share(time, 1);
    }

    /// Adds the time that one of `calls` took of a batch.
    pub(crate) fn push_share(&mut self, time: Duration, calls: usize) {
        self.0.push(time.as_secs_f64() * 1e9 / float(calls));
    }

    /// Adds the time that something takes.
    pub(crate) async fn timed<T>(&mut self, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let result = work.await;
        self.push(started.elapsed());
        result
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn series(mut self, name: &str) -> Series {
        self.0.sort_by(f64::total_cmp);
        let at = |percent| Percentile { percent, nanoseconds: nearest(&self.0, percent) };
        Series { name: name.to_owned(), samples: self.0.len(), percentiles: PERCENTILES.map(at).to_vec() }
    }
}

/// The smallest value that `percent` of the values, ascending, do not exceed.
fn nearest(sorted: &[f64], percent: f64) -> f64 {
    // Less than a rounding error: 99.9 % of 1000 is the 999th.
    let rank = (percent / 100.0 * float(sorted.len()) - 1e-6).ceil();
    // Between 0 and the length, which fits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rank = rank as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    nearest(&sorted, 50.0)
}

/// A count as a number to divide by.
#[allow(clippy::cast_precision_loss)] // Counts of this program stay far below 2^53.
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut samples = Samples::default();
        for nanos in (1..=1000).rev() {
            samples.push(Duration::from_nanos(nanos));
        }
        let series = samples.series("s");
        let near = |percent: f64, expected: f64| assert!((series.at(percent) - expected).abs() < 0.01, "{percent}");
        near(1.0, 10.0);
        near(50.0, 500.0);
        near(99.0, 990.0);
        near(99.9, 999.0);
        assert!(series.at(33.0).is_nan());
        assert!(Samples::default().series("none").median().is_nan());
    }

    #[test]
    fn a_batch_is_shared_out() {
        let mut samples = Samples::default();
        samples.push_share(Duration::from_micros(1), 10);
        assert!((samples.series("s").median() - 100.0).abs() < 0.01);
    }
}
