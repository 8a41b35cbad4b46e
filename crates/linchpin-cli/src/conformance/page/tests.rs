//! The page of a report, looked into.

use super::of;
use linchpin::{Driver, Namespace};
use linchpin_conformance::{Harness, Options, Report, Verdict, async_trait, cases, report};
use roxmltree::{Document, Node, ParsingOptions};
use std::sync::Arc;

/// A backend of which each handle sees only what it wrote itself, with a name that would like to be markup.
struct Broken;

const HOSTILE: &str = "<script>alert('1')</script>&\"";

#[async_trait]
impl Harness for Broken {
    fn name(&self) -> &str {
        HOSTILE
    }

    fn describe(&self) -> String {
        format!("{HOSTILE} 1.0")
    }

    async fn start(&self) -> Result<(), String> {
        Ok(())
    }

    async fn connect(&self, namespace: &Namespace) -> linchpin::Result<Arc<dyn Driver>> {
        linchpin::open("memory://", Some(namespace.clone())).await
    }
}

fn broken(filter: &str) -> Report {
    report(Broken, &Options::default().filter(filter), &())
}

/// Looks into a page, which must be well-formed.
fn look<T>(page: &str, see: impl FnOnce(&Document<'_>) -> T) -> T {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    see(&Document::parse_with_options(page, options).expect("is well-formed"))
}

fn find<'a>(document: &'a Document<'a>, name: &'a str, class: Option<&'a str>) -> Vec<Node<'a, 'a>> {
    let wanted = |node: &Node<'_, '_>| node.has_tag_name(name) && (class.is_none() || node.attribute("class") == class);
    document.descendants().filter(wanted).collect()
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

#[test]
fn what_failed_comes_first_with_its_reason_and_its_area_is_open() {
    let report = broken("state.");
    let failed: Vec<_> = report.failed().collect();
    assert!(!failed.is_empty() && failed.len() < report.of_area(linchpin_conformance::Area::State).count());
    look(&of(&report, "linchpin conformance"), |document| {
        let problems = find(document, "article", Some("problem"));
        assert_eq!(problems.len(), failed.len());
        for (problem, case) in problems.iter().zip(&failed) {
            let (problem, reason) = (text(*problem), case.reason().expect("a failure has a reason"));
            assert!(problem.contains(case.id) && problem.contains(reason), "{problem}");
        }
        let open = find(document, "details", None).into_iter().filter(|details| details.attribute("open").is_some());
        let state = open.map(text).find(|text| text.starts_with("state")).expect("is open");
        let positions: Vec<_> = failed.iter().map(|case| state.find(case.id).expect("is there")).collect();
        let passed = report.cases().iter().find(|case| case.outcome == Verdict::Passed).expect("some pass");
        assert!(positions.iter().all(|position| *position < state.find(passed.id).expect("is there")));
        assert!(text(find(document, "p", Some("lead"))[0]).starts_with("not kept"));
    });
}

#[test]
fn every_case_is_a_row_and_every_link_leads_somewhere() {
    look(&of(&broken("errors."), "linchpin conformance memory://"), |document| {
        let ids: Vec<_> = document.descendants().filter_map(|node| node.attribute("id")).collect();
        for link in find(document, "a", None) {
            let target = link.attribute("href").and_then(|href| href.strip_prefix('#')).expect("leads into the page");
            assert_eq!(ids.iter().filter(|id| **id == target).count(), 1, "{target}");
        }
        let details: String = find(document, "details", None).into_iter().map(text).collect();
        for case in cases() {
            assert!(details.contains(case.id), "{}", case.id);
            assert!(details.contains(&case.sentence.replace('`', "")), "{}", case.sentence);
        }
        assert!(
            find(document, "table", None)
                .iter()
                .all(|table| table.first_element_child().is_some_and(|first| first.has_tag_name("caption")))
        );
    });
}

#[test]
fn hostile_text_stays_text() {
    look(&of(&broken("names.the_longest"), HOSTILE), |document| {
        assert!(find(document, "script", None).is_empty());
        assert_eq!(find(document, "title", None)[0].text(), Some(format!("Conformance of {HOSTILE}").as_str()));
        assert!(find(document, "pre", None).iter().any(|pre| pre.text() == Some(HOSTILE)));
    });
}

#[test]
fn a_run_of_nothing_has_a_page() {
    let page = of(&broken("no case is called like this"), "linchpin conformance");
    assert!(!page.contains("NaN"));
    look(&page, |document| assert!(text(find(document, "p", Some("lead"))[0]).starts_with("not run")));
}
