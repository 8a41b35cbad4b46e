//! Where a value lies on an axis, and which values are written beside it.

/// An axis from one end to the other, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    shape: Shape,
    values: (f64, f64),
    pixels: (f64, f64),
}

/// How an axis stretches what it shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Not at all.
    Linear,
    /// Equal factors are equal lengths.
    Logarithmic,
    /// Of probabilities: as far from 0.99 to 0.999 as from 0.9 to 0.99, and the same towards 0.
    Logit,
}

impl Shape {
    fn stretch(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(f64::MIN_POSITIVE).ln(),
            Self::Logit => {
                let value = value.clamp(1e-6, 1.0 - 1e-6);
                (value / (1.0 - value)).ln()
            }
        }
    }
}

impl Scale {
    pub(super) fn new(shape: Shape, values: (f64, f64), pixels: (f64, f64)) -> Self {
        Self { shape, values, pixels }
    }

    /// The pixel of a value; one outside of the axis lies at its end. An axis from a value to itself has its middle.
    pub(super) fn at(&self, value: f64) -> f64 {
        let (low, high) = (self.shape.stretch(self.values.0), self.shape.stretch(self.values.1));
        let (from, to) = self.pixels;
        let part = (self.shape.stretch(value) - low) / (high - low);
        let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.5 };
        from + part * (to - from)
    }
}

/// An axis's ends and what is written on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticks {
    pub(super) ends: (f64, f64),
    pub(super) at: Vec<f64>,
}

/// The finite values among these, least and greatest; `None` if there are none.
pub(super) fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.filter(|value| value.is_finite());
    finite.fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

/// From zero to a round number above `high`.
pub(super) fn linear(high: f64) -> Ticks {
    let high = if high > 0.0 { high } else { 1.0 };
    let magnitude = 10_f64.powf((high / 4.0).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * magnitude);
    let step = step.into_iter().find(|step| high / step <= 6.0).unwrap_or(10.0 * magnitude);
    let steps = (high / step).ceil().max(1.0);
    let at = (0..=10_u8).map(f64::from).take_while(|n| *n <= steps).map(|n| n * step).collect();
    Ticks { ends: (0.0, steps * step), at }
}

/// From a round number below `low` to one above `high`: powers of ten, with their doubles and fives if there are few.
pub(super) fn logarithmic(low: f64, high: f64) -> Ticks {
    let low = low.max(1e-12);
    let high = high.max(low);
    let round: Vec<f64> =
        (-13..=13_i32).flat_map(|power| [1.0, 2.0, 5.0].map(|factor| factor * 10_f64.powi(power))).collect();
    // The small margin is for what is a round number but for its last bits.
    let first = round.iter().rposition(|value| *value <= low * (1.0 + 1e-9)).unwrap_or(0);
    let last = round.iter().position(|value| *value >= high * (1.0 - 1e-9)).unwrap_or(round.len() - 1);
    let last = last.max(first + 1).min(round.len() - 1);
    let shown = &round[first..=last];
    let at = match last - first {
        0..=6 => shown.to_vec(),
        steps => {
            // Of so many, powers of ten are enough; of very many, every second or third.
            let every = 3 * steps.div_ceil(3 * 8);
            (first..=last).filter(|index| index.is_multiple_of(every)).map(|index| round[index]).collect()
        }
    };
    Ticks { ends: (round[first], round[last]), at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_few_and_around_the_values() {
        assert_eq!(linear(87.0), Ticks { ends: (0.0, 100.0), at: vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0] });
        assert_eq!(linear(0.0).ends, (0.0, 1.0));
        assert_eq!(logarithmic(3.0, 40.0), Ticks { ends: (2.0, 50.0), at: vec![2.0, 5.0, 10.0, 20.0, 50.0] });
        assert_eq!(logarithmic(1.0, 1.0).ends, (1.0, 2.0));
        for (low, high) in [(1e-7, 30.0), (1e-9, 1e3), (0.0, 0.0), (5e-5, 6e-5), (1e-12, 1e12)] {
            let ticks = logarithmic(low, high);
            assert!(ticks.ends.0 <= low.max(1e-12) && ticks.ends.1 >= high, "{low}..{high}: {ticks:?}");
            assert!((1..=10).contains(&ticks.at.len()), "{low}..{high}: {ticks:?}");
        }
        for high in [0.3, 1.0, 5.1, 99.0, 12_345.0, 1e9] {
            let ticks = linear(high);
            assert!(ticks.ends.1 >= high && (3..=7).contains(&ticks.at.len()), "{high}: {ticks:?}");
        }
    }

    #[test]
    fn every_value_has_a_pixel() {
        let pixels = (10.0, 110.0);
        let logarithmic = Scale::new(Shape::Logarithmic, (1.0, 100.0), pixels);
        assert!((logarithmic.at(10.0) - 60.0).abs() < 1e-9);
        let logit = Scale::new(Shape::Logit, (0.01, 0.99), pixels);
        assert!((logit.at(0.5) - 60.0).abs() < 1e-9);
        for shape in [Shape::Linear, Shape::Logarithmic, Shape::Logit] {
            for ends in [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
                for value in [0.0, -1.0, 1.0, f64::NAN, f64::INFINITY] {
                    let pixel = Scale::new(shape, ends, pixels).at(value);
                    assert!((10.0..=110.0).contains(&pixel), "{shape:?} {ends:?} {value}: {pixel}");
                }
            }
        }
    }

    #[test]
    fn an_extent_is_of_numbers() {
        assert_eq!(extent([3.0, f64::NAN, 1.0, f64::INFINITY].into_iter()), Some((1.0, 3.0)));
        assert_eq!(extent(std::iter::empty()), None);
    }
}
