//! Small bars that stand beside numbers.

use super::frame::px;
use super::scale::{Scale, Shape};
use crate::page::{Attributes, Html, Tone};
use std::time::Duration;

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 12.0;

/// A time as a bar on a logarithmic axis from `ends.0` to `ends.1`; a faint line at each power of ten says so. It
/// repeats the number beside it, so it is not read aloud.
pub(crate) fn bar(time: Duration, ends: (Duration, Duration)) -> Html {
    let seconds = |time: Duration| time.as_secs_f64();
    let scale = Scale::new(Shape::Logarithmic, (seconds(ends.0), seconds(ends.1)), (0.0, WIDTH));
    let powers = (-9..=4).map(|power| 10_f64.powi(power));
    let lines = powers.filter(|power| *power > seconds(ends.0) && *power < seconds(ends.1)).map(|power| {
        let x = px(scale.at(power));
        Html::tag("line", &[("x1", &x), ("x2", &x), ("y1", &0), ("y2", &px(HEIGHT))], "")
    });
    let length = if time.is_zero() { 0.0 } else { scale.at(seconds(time)).max(1.5) };
    let filled = Html::tag("rect", &[("x", &0), ("y", &2.5), ("width", &px(length)), ("height", &7), ("rx", &1.5)], "");
    small("bar", lines.collect::<Html>().then(filled), &[("aria-hidden", &"true")])
}

/// A part of a [`stacked`] bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// What its colour says.
    pub(crate) tone: Tone,
    /// The same in words.
    pub(crate) word: &'static str,
    /// How many.
    pub(crate) count: usize,
}

/// Parts of a whole, side by side.
pub(crate) fn stacked(parts: &[Part]) -> Html {
    #[expect(clippy::cast_precision_loss, reason = "a count of 2^52 would be no count")]
    let number = |count: usize| count as f64;
    let shown: Vec<_> = parts.iter().filter(|part| part.count > 0).collect();
    let all = number(shown.iter().map(|part| part.count).sum());
    let words: Vec<_> = shown.iter().map(|part| format!("{} {}", part.count, part.word)).collect();
    let label = if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    let mut x = 0.0;
    let mut content = Html::tag("title", &[], Html::text(&label));
    for part in shown {
        let width = number(part.count) / all * WIDTH;
        // A gap between the parts; but one of a few among hundreds is still to be seen.
        let seen = (width - 1.0).max(1.5);
        let class = format!("part {}", part.tone.class());
        let attributes: Attributes<'_> =
            &[("class", &class), ("x", &px(x)), ("y", &0), ("width", &px(seen)), ("height", &px(HEIGHT))];
        content = content.then(Html::tag("rect", attributes, ""));
        x += width;
    }
    small("stacked", content, &[("role", &"img"), ("aria-label", &label), ("preserveAspectRatio", &"none")])
}

fn small(class: &'static str, content: Html, attributes: Attributes<'_>) -> Html {
    let view = format!("0 0 {WIDTH} {HEIGHT}");
    let mut all: Vec<(&'static str, &dyn std::fmt::Display)> =
        vec![("class", &class), ("viewBox", &view), ("width", &WIDTH), ("height", &HEIGHT)];
    all.extend_from_slice(attributes);
    Html::tag("svg", &all, content)
}
