//! `linchpin conformance` and `linchpin bench`: what they print, and the files that they write.

use crate::cli::program::{Ran, SOON, linchpin};
use linchpin_tests::RefusingPort;
use linchpin_tests::servers::{NatsServer, PostgresServer, RedisServer};
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const CANARY: &str = "canary-52b7";

async fn run(arguments: &[&str]) -> Ran {
    // Measuring takes its time.
    Ran::within(SOON * 3, linchpin(arguments).await, None).await
}

/// A folder, and files in it.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).expect("JSON")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A page that is well-formed, runs nothing and asks nobody for anything.
fn assert_stands_alone(page: &str) {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(page, options).expect("is well-formed");
    let elements: Vec<Node<'_, '_>> = document.descendants().filter(Node::is_element).collect();
    assert!(elements.iter().filter(|element| element.has_tag_name("section")).count() > 1, "an empty page");
    for element in elements {
        let name = element.tag_name().name();
        assert!(!["script", "link", "iframe", "object", "embed", "base", "img"].contains(&name), "<{name}>");
        for attribute in element.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            let loads = ["src", "srcset", "href", "action", "data", "style"].contains(&name);
            assert!(!loads || value.starts_with('#'), "{name}={value:?}");
            assert!(!name.starts_with("on"), "{name}={value:?}");
        }
        if element.has_tag_name("style") {
            let style = element.text().unwrap_or_default();
            assert!(!style.contains("url(") && !style.contains("@import") && !style.contains("http"), "{style}");
        }
    }
}

#[tokio::test]
async fn a_backend_is_held_to_the_contract_and_the_matrix_is_printed() {
    let ran = run(&["conformance", "memory://x", "--filter", "messages"]).await;
    let shown = ran.text();
    for area in ["lock", "messages", "streams"] {
        assert!(shown.lines().any(|line| line.split_whitespace().next() == Some(area)), "{area}: {shown}");
    }
    let messages = shown.lines().find(|line| line.trim_start().starts_with("messages")).expect("a row");
    assert!(messages.split_whitespace().any(|word| word.parse::<u32>().is_ok_and(|count| count > 0)), "{messages}");
}

#[tokio::test]
async fn the_report_of_the_contract_is_a_page_that_stands_alone_and_json_that_parses() {
    let files = Files::new();
    let page = files.path("report.html");
    let arguments = ["conformance", "memory://x", "--filter", "messages", "--output", "json", "--report", text(&page)];
    let ran = run(&arguments).await;
    let [report] = &ran.json()[..] else { panic!("not one line: {ran:?}") };
    let cases = report["cases"].as_array().expect("cases");
    let passed: Vec<_> = cases.iter().filter(|case| case["outcome"] == "passed").collect();
    assert!(passed.len() > 5 && passed.iter().all(|case| case["id"].as_str().is_some()), "{report}");
    let page = files.read("report.html");
    assert_stands_alone(&page);
    for case in passed {
        assert!(page.contains(case["id"].as_str().expect("an id")), "{case}");
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_refused_before_anything_runs() {
    let files = Files::new();
    let nowhere = files.path("missing/report.html");
    for arguments in [
        ["conformance", "memory://x", "--report", text(&nowhere)],
        ["bench", "memory://x", "--html", text(&nowhere)],
        ["bench", "memory://x", "--json", text(&nowhere)],
    ] {
        let ran = run(&arguments).await.failed(74, "report.html");
        assert!(ran.out.is_empty() && ran.errors.lines().count() == 1, "{ran:?}");
    }
}

#[tokio::test]
async fn where_nobody_answers_it_says_so() {
    let nobody = RefusingPort::bind().expect("a port");
    for scheme in ["redis", "nats"] {
        let url = format!("{scheme}://app:{CANARY}@127.0.0.1:{}", nobody.number().expect("its number"));
        for arguments in
            [&["conformance", &url, "--filter", "messages"][..], &["bench", &url, "--only", "calls", "--quick"]]
        {
            let ran = run(arguments).await;
            assert_eq!(ran.code, 69, "{ran:?}");
            assert!(!ran.errors.is_empty() && !ran.errors.contains(CANARY) && ran.out.is_empty(), "{ran:?}");
        }
    }
}

#[tokio::test]
async fn what_needs_no_server_is_measured_without_one() {
    let files = Files::new();
    let (json, page) = (files.path("bench.json"), files.path("bench.html"));
    let arguments = ["bench", "--only", "dispatch", "--quick", "--json", text(&json), "--html", text(&page)];
    assert!(run(&arguments).await.text().contains("targets"));
    let report = files.json("bench.json");
    let targets = report["targets"].as_array().expect("targets");
    assert_eq!(targets.len(), 3, "{report}");
    for target in targets {
        assert_eq!(target["section"], "dispatch");
        assert!(target["measured"].as_f64().is_some_and(|cost| cost > 0.0) && target["met"].is_boolean(), "{target}");
    }
    let page = files.read("bench.html");
    assert_stands_alone(&page);
    for target in targets {
        assert!(page.contains(target["what"].as_str().expect("text")), "{target}");
    }
}

/// What the section of single calls of a server shows: of each operation that its messages arrive, among others.
async fn assert_calls_are_measured(url: &str) {
    let files = Files::new();
    let json = files.path("bench.json");
    let command = linchpin(&["bench", url, "--only", "calls", "--quick", "--json", text(&json)]).await;
    Ran::within(Duration::from_mins(5), command, None).await.text();
    let report = files.json("bench.json");
    let calls = report["calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 4, "{report}");
    for series in calls.iter().flat_map(|call| call["series"].as_array().expect("series")) {
        assert!(series["samples"].as_u64().is_some_and(|count| count > 0), "{series}");
    }
}

#[tokio::test]
async fn calls_are_measured_on_each_server_and_nothing_is_left_in_a_database() {
    assert_calls_are_measured(&RedisServer::start_local(&[]).await.expect("a server").url()).await;
    assert_calls_are_measured(&NatsServer::start_local(&[]).await.expect("a server").url()).await;
    let postgres = PostgresServer::start_local(&[]).await.expect("a server");
    assert_calls_are_measured(&postgres.url()).await;
    let mut connection = PgConnection::connect(&postgres.url()).await.expect("a connection");
    for table in ["namespaces", "holds", "keys", "changes", "outcomes", "messages"] {
        let left = format!("SELECT count(*) FROM linchpin.{table}");
        let left: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(left)).fetch_one(&mut connection).await.expect("a count");
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn no_report_shows_a_password() {
    let redis = RedisServer::start_local(&["--requirepass", CANARY]).await.expect("a server");
    let nats = NatsServer::start_local(&["--auth", CANARY]).await.expect("a server");
    assert_no_password(&redis.url().replace("redis://", &format!("redis://:{CANARY}@"))).await;
    assert_no_password(&nats.url().replace("nats://", &format!("nats://{CANARY}@"))).await;
}

async fn assert_no_password(url: &str) {
    let files = Files::new();
    let names = ["contract.html", "contract.md", "contract.json", "bench.html", "bench.json"];
    let paths = names.map(|name| files.path(name));
    let [html, markdown, json, bench_html, bench_json] = paths.each_ref().map(|path| text(path));
    let conformance = |file| ["conformance", url, "--filter", "messages.own_messages_arrive", "--report", file];
    let bench = ["bench", url, "--only", "specification", "--quick", "--html", bench_html, "--json", bench_json];
    for arguments in [&conformance(html)[..], &conformance(markdown), &conformance(json), &bench] {
        let ran = run(arguments).await;
        assert!(!ran.text().contains(CANARY) && !ran.errors.contains(CANARY), "{ran:?}");
    }
    for name in names {
        let written = files.read(name);
        assert!(!written.is_empty() && !written.contains(CANARY), "{name} shows the password");
    }
    for name in ["contract.html", "bench.html"] {
        assert_stands_alone(&files.read(name));
    }
}
