//! What the larger plots have in common: a figure with a caption, axes, a grid and a legend.

use super::scale::{Scale, Shape, Ticks};
use super::series::{Series, drawn, legend};
use crate::page::{Attributes, Html};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
/// Left, right, top, bottom of the area that is plotted in.
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = HEIGHT - 52.0;

/// An axis: how it stretches, what is written on it, and how.
pub(super) struct Axis {
    pub(super) shape: Shape,
    pub(super) ticks: Ticks,
    pub(super) format: fn(f64) -> String,
    pub(super) label: String,
}

/// A figure of several series.
pub(super) struct Frame<'a> {
    pub(super) caption: &'a str,
    /// What is to be seen, in words.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: &'a [Series],
    pub(super) markers: bool,
}

impl Frame<'_> {
    pub(super) fn html(&self) -> Html {
        let x = Scale::new(self.x.shape, self.x.ticks.ends, (LEFT, RIGHT));
        let y = Scale::new(self.y.shape, self.y.ticks.ends, (BOTTOM, TOP));
        let lines: Html = (self.series.iter().enumerate())
            .map(|(index, series)| {
                let pixels: Vec<_> = series.points.iter().map(|point| (x.at(point.0), y.at(point.1))).collect();
                drawn(index, &series.name, &pixels, self.markers)
            })
            .collect();
        let content = Html::tag("title", &[], Html::text(self.caption))
            .then(Html::tag("desc", &[], Html::text(&self.description)))
            .then(self.grid(&x, &y))
            .then(lines);
        let view = format!("0 0 {WIDTH} {HEIGHT}");
        let label = format!("{}. {}", self.caption, self.description);
        let svg: Attributes<'_> = &[("class", &"plot"), ("viewBox", &view), ("role", &"img"), ("aria-label", &label)];
        let caption = Html::tag("figcaption", &[], Html::text(self.caption));
        Html::tag("figure", &[], caption.then(legend(self.series, self.markers)).then(Html::tag("svg", svg, content)))
    }

    fn grid(&self, x: &Scale, y: &Scale) -> Html {
        let columns = self.x.ticks.at.iter().map(|tick| {
            let at = x.at(*tick);
            line((at, TOP), (at, BOTTOM)).then(text((at, BOTTOM + 20.0), "middle", &(self.x.format)(*tick)))
        });
        let rows = self.y.ticks.at.iter().map(|tick| {
            let at = y.at(*tick);
            line((LEFT, at), (RIGHT, at)).then(text((LEFT - 8.0, at + 4.0), "end", &(self.y.format)(*tick)))
        });
        let labels = Html::tag(
            "g",
            &[("class", &"labels")],
            text((f64::midpoint(LEFT, RIGHT), HEIGHT - 8.0), "middle", &self.x.label).then(text(
                (8.0, 16.0),
                "start",
                &self.y.label,
            )),
        );
        Html::tag(
            "g",
            &[("class", &"grid"), ("aria-hidden", &"true")],
            columns.chain(rows).collect::<Html>().then(labels),
        )
    }
}

fn line(from: (f64, f64), to: (f64, f64)) -> Html {
    Html::tag("line", &[("x1", &px(from.0)), ("y1", &px(from.1)), ("x2", &px(to.0)), ("y2", &px(to.1))], "")
}

fn text(at: (f64, f64), anchor: &'static str, content: &str) -> Html {
    Html::tag("text", &[("x", &px(at.0)), ("y", &px(at.1)), ("text-anchor", &anchor)], Html::text(content))
}

/// A pixel, to a tenth: more is seen by nobody and makes the page long.
pub(super) fn px(pixel: f64) -> f64 {
    let tenth = (pixel * 10.0).round() / 10.0;
    if tenth == 0.0 { 0.0 } else { tenth }
}
