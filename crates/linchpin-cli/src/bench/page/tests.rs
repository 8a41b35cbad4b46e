//! The page of a saved report, looked into.

use super::of;
use crate::bench::report::{Backend, LeftOut, Report};
use crate::bench::targets;
use roxmltree::{Document, Node, ParsingOptions};

const HOSTILE: &str = "<script>alert('1')</script>&\"";

/// A short report as `--json` writes it, of every section.
fn saved() -> Report {
    serde_json::from_str(include_str!("saved.json")).expect("a report")
}

/// Looks into a page, which must be well-formed.
fn look<T>(report: &Report, see: impl FnOnce(&Document<'_>) -> T) -> T {
    let page = of(report);
    assert!(!page.contains("NaN") && !page.contains("inf "), "a number is none");
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    see(&Document::parse_with_options(&page, options).expect("is well-formed"))
}

fn find<'a>(document: &'a Document<'a>, name: &'a str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.has_tag_name(name)).collect()
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

/// The section with a heading.
fn section(document: &Document<'_>, heading: &str) -> String {
    let sections = find(document, "section");
    let found =
        sections.into_iter().find(|section| section.first_element_child().and_then(|h2| h2.text()) == Some(heading));
    text(found.unwrap_or_else(|| panic!("no section {heading}")))
}

#[test]
fn every_section_is_there_and_every_link_leads_to_one() {
    look(&saved(), |document| {
        let headings: Vec<_> = find(document, "h2").into_iter().map(text).collect();
        let expected = [
            "Where it was measured",
            "Targets",
            "Calls",
            "Throughput",
            "Hand-over",
            "Processes",
            "Leases",
            "Fan-out",
            "Soak",
            "Specification",
            "Dispatch",
            "Memory",
        ];
        assert_eq!(headings, expected);
        let ids: Vec<_> = document.descendants().filter_map(|node| node.attribute("id")).collect();
        for link in find(document, "a") {
            let target = link.attribute("href").and_then(|href| href.strip_prefix('#')).expect("leads into the page");
            assert_eq!(ids.iter().filter(|id| **id == target).count(), 1, "{target}");
        }
    });
}

#[test]
fn figures_ratios_and_facts_are_those_of_the_report() {
    let report = saved();
    look(&report, |document| {
        let facts = section(document, "Where it was measured");
        for fact in ["redis 7.0.15", "abc1234", "2026-01-02 03:04:05 UTC", "2 cores of A processor", "100 bytes"] {
            assert!(facts.contains(fact), "{fact}: {facts}");
        }
        assert!(facts.contains("not an optimised build") && facts.contains("a tenth of the rounds"), "{facts}");
        let calls = section(document, "Calls");
        // 150 us over 100 us and over 50 us.
        for figure in ["150 us", "1.50 x", "3.00 x"] {
            assert!(calls.contains(figure), "{figure}: {calls}");
        }
        assert!(section(document, "Throughput").contains("12.5 k/s"));
        let handover = section(document, "Hand-over");
        assert!(
            handover.contains("round trip")
                && handover.contains("token queue")
                && handover.contains("BLPOP")
                && handover.contains("2.50 x")
        );
        assert!(section(document, "Dispatch").contains("1.50 us") && section(document, "Dispatch").contains("2.5"));
        let processes = section(document, "Processes");
        for figure in ["2.35 ms", "12.3", "44", "321 us", "5.6 ms", "430/s", "0.86 x"] {
            assert!(processes.contains(figure), "{figure}: {processes}");
        }
        assert!(section(document, "Leases").contains("12 EVALSHA"));
        let soak = section(document, "Soak");
        for figure in ["3.0 MiB", "1.5 MiB", "8 KiB", "300", "77"] {
            assert!(soak.contains(figure), "{figure}: {soak}");
        }
        let targets = section(document, "Targets");
        assert_eq!(targets.matches("missed").count(), report.targets.iter().filter(|one| !one.met).count() + 3);
        for target in &report.targets {
            assert!(targets.contains(&target.what), "{}", target.what);
        }
    });
}

#[test]
fn a_hand_over_is_shown_in_what_it_is_counted_in() {
    let mut report = saved();
    look(&report, |document| assert!(!section(document, "Hand-over").contains("committed")));
    report.facts.server.as_mut().expect("a server").backend = Backend::Postgres;
    let handover = report.handover.as_mut().expect("a hand-over");
    // 250 us over 50 us.
    handover.commit = Some(handover.round_trip.clone());
    for percentile in &mut handover.commit.as_mut().expect("a commit").percentiles {
        percentile.nanoseconds /= 2.0;
    }
    (handover.uncontended_requests, handover.points[0].contenders[0].requests) = (None, None);
    look(&report, |document| {
        let handover = section(document, "Hand-over");
        for told in ["5.00 x", "p50 in committed round trips", "UPDATE of one row", "SELECT 1", "not counted"] {
            assert!(handover.contains(told), "{told}: {handover}");
        }
    });
}

#[test]
fn hostile_text_stays_text() {
    let mut report = saved();
    report.facts.processor = Some(HOSTILE.to_owned());
    report.calls[0].operation = HOSTILE.to_owned();
    report.calls[0].series[0].name = HOSTILE.to_owned();
    report.facts.server.as_mut().expect("a server").version = HOSTILE.to_owned();
    look(&report, |document| {
        assert!(find(document, "script").is_empty());
        assert!(find(document, "title")[0].text().is_some_and(|title| title.contains(HOSTILE)));
    });
}

#[test]
fn what_was_not_run_or_not_measured_is_not_drawn() {
    let why = "it needs a server".to_owned();
    let left_out = vec![LeftOut { section: "calls".to_owned(), why }];
    look(&Report { left_out, ..Report::default() }, |document| {
        assert_eq!(find(document, "section").len(), 1);
        assert!(section(document, "Where it was measured").contains("calls: it needs a server"));
    });
    let mut report = saved();
    report.calls[0].series.truncate(1);
    report.calls[0].series[0].percentiles.clear();
    report.throughput[0].rates.clear();
    report.dispatch[0].ways.clear();
    if let Some(handover) = &mut report.handover {
        handover.round_trip.percentiles.clear();
    }
    report.targets = targets::of(&report);
    look(&report, |document| assert!(section(document, "Targets").contains("none")));
}
