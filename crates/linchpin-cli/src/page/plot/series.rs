//! How one series is told from another: by colour, by dashes, by the shape of its points.

use super::frame::px;
use crate::page::{Attributes, Html};

/// Points of one name.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

impl Series {
    /// A point that has no place, as it is no number, is left out.
    pub(super) fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        Self { name: name.into(), points: points.collect() }
    }
}

/// How many looks there are; the stylesheet has as many colours and dashes.
const LOOKS: usize = 6;

/// The class of the series with this index. After the last look they begin again, with other dashes.
fn class(index: usize) -> String {
    format!("series c{} d{}", index % LOOKS, (index + index / LOOKS) % LOOKS)
}

/// A series as a line through its points, each with a marker.
pub(super) fn drawn(index: usize, name: &str, pixels: &[(f64, f64)], markers: bool) -> Html {
    let mut content = Html::tag("title", &[], Html::text(name));
    if !pixels.is_empty() {
        let points: Vec<_> = pixels.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).collect();
        content = content.then(Html::tag("polyline", &[("points", &points.join(" "))], ""));
    }
    if markers || pixels.len() == 1 {
        content = content.then(pixels.iter().map(|(x, y)| marker(index, *x, *y)).collect::<Html>());
    }
    Html::tag("g", &[("class", &class(index))], content)
}

/// A point of the series: circles, squares, triangles, ...
fn marker(index: usize, x: f64, y: f64) -> Html {
    let shape = match index % LOOKS {
        0 => "m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
        1 => "m-3.5,-3.5h7v7h-7z",
        2 => "m0,-4.5l4.5,8h-9z",
        3 => "m0,-5l5,5l-5,5l-5,-5z",
        4 => "m0,4.5l4.5,-8h-9z",
        _ => "m-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    };
    Html::tag("path", &[("class", &"marker"), ("d", &format!("M{},{}{shape}", px(x), px(y)))], "")
}

/// The names, each with its line; none for a single series, which the caption names.
pub(super) fn legend(series: &[Series], markers: bool) -> Html {
    if series.len() < 2 {
        return Html::default();
    }
    let item = |(index, series): (usize, &Series)| {
        let line = Html::tag("polyline", &[("points", &"2,7 38,7")], "");
        let marker = if markers { marker(index, 20.0, 7.0) } else { Html::default() };
        let look = Html::tag("g", &[("class", &class(index))], line.then(marker));
        let size: Attributes<'_> = &[
            ("class", &"swatch"),
            ("viewBox", &"0 0 40 14"),
            ("width", &40),
            ("height", &14),
            ("aria-hidden", &"true"),
        ];
        Html::tag("li", &[], Html::tag("svg", size, look).then(Html::text(&series.name)))
    };
    let items: Html = series.iter().enumerate().map(item).collect();
    Html::tag("ul", &[("class", &"legend")], items)
}
