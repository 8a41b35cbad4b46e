//! `docs/adapter.md` as a stranger follows it: its text, block by block, is a crate outside of this workspace whose
//! adapter passes the suite.

use linchpin_tests::{OutsideCrate, repository};
use std::fs;

const PAGE: &str = include_str!("../../docs/adapter.md");

/// The code block that follows the line that names a file.
fn block(file: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n`{file}`:\n\n```")).unwrap_or_else(|| panic!("no block for {file}"));
    let (_, rest) = rest.split_once('\n').expect("a block has lines");
    rest.split_once("\n```").expect("a block has an end").0
}

/// Names where the crates are that are not published yet: as a user's own `.cargo/config.toml` could.
fn patched() -> String {
    let crates = [
        ("linchpin", "crates/linchpin"),
        ("linchpin-adapter", "crates/linchpin-adapter"),
        ("linchpin-core", "crates/linchpin-core"),
        ("linchpin-conformance", "conformance"),
    ];
    let line =
        |(name, path): (&str, &str)| format!("{name} = {{ path = \"{}\" }}\n", repository().join(path).display());
    format!("[patch.crates-io]\n{}", crates.map(line).concat())
}

#[test]
fn the_suite_runs_in_ten_lines() {
    let lines = block("tests/conformance.rs").lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 10, "it takes {lines} lines");
}

#[test]
fn the_adapter_of_the_page_passes_the_suite_as_a_crate_of_its_own() {
    let outside = OutsideCrate::new().expect("a folder");
    for file in ["Cargo.toml", "src/lib.rs", "tests/conformance.rs", "tests/url.rs"] {
        outside.write(file, block(file)).expect("written");
    }
    outside.write(".cargo/config.toml", &patched()).expect("written");
    let output = outside
        .cargo("test")
        .env("LINCHPIN_REPORT_DIR", outside.path("report"))
        .env_remove("LINCHPIN_TEST_SKIP")
        .output()
        .expect("cargo runs");
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");

    let report = fs::read(outside.path("report/shelf.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("json");
    let cases = report["cases"].as_array().expect("cases");
    let ended = |how: &str| cases.iter().filter(|case| case["outcome"] == how).count();
    assert_eq!(ended("passed") + ended("refused_as_declared") + ended("not_offered"), cases.len(), "{said}");
    assert!(ended("passed") >= 100, "only {} cases passed, the rest was refused", ended("passed"));
}
