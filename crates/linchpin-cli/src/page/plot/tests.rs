//! What the plots draw.

use super::*;
use crate::page::{Html, Tone};
use roxmltree::{Document, Node};
use std::time::Duration;

/// Looks into markup that must be well-formed and without a number that is none.
fn look<T>(html: &Html, see: impl FnOnce(&Document<'_>) -> T) -> T {
    let text = html.as_str();
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    let svg = format!("<body>{text}</body>");
    see(&Document::parse(&svg).expect("is well-formed"))
}

fn named<'a, 'b>(document: &'a Document<'b>, name: &'static str) -> Vec<Node<'a, 'b>> {
    document.descendants().filter(|node| node.has_tag_name(name)).collect()
}

/// The points of each series' line, in the plot and not in the legend.
fn lines(html: &Html) -> Vec<Vec<(f64, f64)>> {
    look(html, |document| {
        let plotted = named(document, "polyline");
        let plotted =
            plotted.iter().filter(|line| line.ancestors().any(|node| node.attribute("class") == Some("plot")));
        let point = |text: &str| {
            let (x, y) = text.split_once(',').expect("a pair");
            (x.parse().expect("a number"), y.parse().expect("a number"))
        };
        plotted.map(|line| line.attribute("points").unwrap_or_default().split(' ').map(point).collect()).collect()
    })
}

fn texts(html: &Html) -> Vec<String> {
    look(html, |document| {
        named(document, "text").iter().map(|node| node.text().unwrap_or_default().to_owned()).collect()
    })
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_bar_is_as_long_as_the_logarithm_of_its_time() {
    let ends = (MS, Duration::from_secs(1));
    let width = |time| {
        look(&bar(time, ends), |document| {
            assert_eq!(named(document, "line").len(), 2, "10 and 100 ms");
            let rect = named(document, "rect")[0];
            rect.attribute("width").expect("a width").to_owned()
        })
    };
    let widths = [0, 1, 10, 100, 1000, 5000].map(|ms| width(MS * ms));
    assert_eq!(widths, ["0", "1.5", "40", "80", "120", "120"]);
    look(&bar(Duration::ZERO, (Duration::ZERO, Duration::ZERO)), |_| ());
}

#[test]
fn a_stacked_bar_has_its_parts_in_proportion_and_says_them() {
    let part = |tone, word, count| Part { tone, word, count };
    let parts = [part(Tone::Good, "passed", 3), part(Tone::Bad, "failed", 0), part(Tone::Quiet, "not run", 1)];
    look(&stacked(&parts), |document| {
        let rects = named(document, "rect");
        let widths: Vec<_> = rects.iter().filter_map(|rect| rect.attribute("width")).collect();
        assert_eq!(widths, ["89", "29"]);
        assert_eq!(rects[1].attribute("class"), Some("part quiet"));
        assert_eq!(named(document, "svg")[0].attribute("aria-label"), Some("3 passed, 1 not run"));
    });
    look(&stacked(&[]), |document| assert!(named(document, "rect").is_empty()));
}

#[test]
fn a_distribution_rises_from_left_to_right() {
    let plot = Distribution::new("Times <of> locks")
        .series("redis", PERCENTILES.map(|p| (p, MS.mul_f64(1.0 + p / 10.0))))
        .samples("memory", (1..=1000).rev().map(Duration::from_micros).collect());
    let html = plot.html();
    let drawn = lines(&html);
    assert_eq!(drawn.iter().map(Vec::len).collect::<Vec<_>>(), [PERCENTILES.len(); 2]);
    for line in drawn {
        assert!(line.is_sorted_by(|a, b| a.0 <= b.0 && a.1 > b.1), "{line:?}");
    }
    let texts = texts(&html);
    for tick in ["p1", "p50", "p99", "p99.9", "10 us", "1 ms", "done within"] {
        assert!(texts.iter().any(|text| text == tick), "{tick}: {texts:?}");
    }
    look(&html, |document| {
        assert_eq!(named(document, "figcaption")[0].text(), Some("Times <of> locks"));
        assert_eq!(
            named(document, "desc")[0].text(),
            Some("redis: p50 6.00 ms, p99 10.9 ms; memory: p50 501 us, p99 990 us")
        );
        assert_eq!(named(document, "li").len(), 2);
    });
}

#[test]
fn a_distribution_of_nothing_or_of_one_value_is_drawn() {
    assert!(lines(&Distribution::new("Nothing").html()).is_empty());
    assert!(lines(&Distribution::new("Empty").samples("none", Vec::new()).html()).is_empty());
    let constant = Distribution::new("Constant").samples("same", vec![MS; 5]).samples("zero", vec![Duration::ZERO]);
    assert_eq!(lines(&constant.html()).len(), 2);
}

#[test]
fn lines_have_a_marker_per_point_and_a_look_per_series() {
    let clients = [1.0, 4.0, 16.0, 64.0, 256.0];
    let plot = Lines::rates("Throughput", "clients")
        .series("a & b", clients.map(|n| (n, 1000.0 * n)))
        .series("c", clients.map(|n| (n, 40_000.0)));
    let html = plot.html();
    let drawn = lines(&html);
    assert_eq!(drawn.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
    let steps: Vec<_> = drawn[0].windows(2).map(|pair| (pair[1].0 - pair[0].0).round()).collect();
    assert_eq!(steps, [steps[0]; 4], "the axis doubles");
    assert!(texts(&html).ends_with(&["clients".to_owned(), "operations per second".to_owned()]), "{:?}", texts(&html));
    for tick in ["1", "16", "256", "0", "50 k", "300 k"] {
        assert!(texts(&html).iter().any(|text| text == tick), "{tick}: {:?}", texts(&html));
    }
    look(&html, |document| {
        let looks: Vec<_> = named(document, "g").iter().filter_map(|g| g.attribute("class")).collect();
        assert!(looks.contains(&"series c0 d0") && looks.contains(&"series c1 d1"), "{looks:?}");
        assert_eq!(named(document, "path").len(), 10 + 2, "and one each in the legend");
    });
}

#[test]
fn lines_of_times_are_labelled_with_units() {
    let plot = Lines::times("Passing on", "waiters").series("redis", [(1.0, 0.0004), (10.0, 0.002), (100.0, 0.05)]);
    let texts = texts(&plot.html());
    for tick in ["1 ms", "10 ms", "100"] {
        assert!(texts.iter().any(|text| text == tick), "{tick}: {texts:?}");
    }
}

#[test]
fn lines_of_nothing_of_one_point_or_of_no_numbers_are_drawn() {
    for plot in [Lines::rates("r", "x"), Lines::times("t", "x")] {
        assert!(lines(&plot.clone().html()).is_empty());
        assert!(lines(&plot.clone().series("none", []).html()).is_empty());
        assert_eq!(lines(&plot.clone().series("one", [(1.0, 5.0)]).html())[0].len(), 1);
        assert_eq!(lines(&plot.clone().series("flat", [(1.0, 0.0), (2.0, 0.0)]).html())[0].len(), 2);
        let odd = [(f64::NAN, 1.0), (1.0, f64::NAN), (0.0, 1.0), (4.0, f64::INFINITY), (2.0, 1.0)];
        assert_eq!(lines(&plot.series("odd", odd).html())[0].len(), 1);
    }
}
