//! The book of this repository is whole, and one that is not is found out.

use linchpin_book::{build, repository};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("made");
    folder
}

#[test]
fn the_book_is_built_and_nothing_in_it_is_broken() {
    let into = folder("book");
    let problems = build(&repository(), &into).expect("built");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    for page in ["index", "start", "contract", "errors"] {
        let html = fs::read_to_string(into.join(page).with_extension("html")).expect(page);
        assert!(html.contains("</main>"), "{page}");
    }
}

#[test]
fn what_is_broken_is_told() {
    let (repository, into) = (folder("broken"), folder("broken-book"));
    let write = |file: &str, text: &str| {
        let path = repository.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    write("README.md", "[good](docs/a.md#a-title) [bad](docs/b.md)");
    write("docs/book.toml", "[book]\nsrc = \".\"\n");
    write("docs/SUMMARY.md", "- [A](a.md)\n");
    write("docs/forgotten.md", "# Forgotten\n");
    let rust = "```rust,ignore\nfn main() {}\n```\n\n```text\nlet a = 1;\n```\n\n```rust\nfn main() {}\n```\n";
    let links = "[one](a.md#a-title) [two](a.md#nowhere) [three](gone.md) [four](../README.md)";
    write("docs/a.md", &format!("# A title\n\n{links}\n\n{rust}"));

    let problems = build(&repository, &into).expect("built");
    let mut expected = [
        ("README.md", "docs/b.md"),
        ("a.md", "a.md#nowhere"),
        ("a.md", "gone.md"),
        ("a.md", "../README.md"),
        ("a.md", "fn main"),
        ("a.md", "let a"),
        ("SUMMARY.md", "forgotten.md"),
    ]
    .into_iter();
    assert_eq!(problems.len(), expected.len(), "{}", problems.join("\n"));
    for problem in &problems {
        let (page, what) = expected.next().expect("as many");
        assert!(problem.starts_with(page) && problem.contains(what), "{problem}");
    }
}
