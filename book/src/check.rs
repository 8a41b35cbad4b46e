//! What is broken in the pages of a book that was built.

use crate::page::Page;
use mdbook_driver::errors::{Error, Result};
use std::fs;
use std::path::Path;

/// The file that says in which order the pages come.
const SUMMARY: &str = "SUMMARY.md";

/// What is broken, one line each: pages that the summary does not name, links that lead nowhere, Rust that nothing
/// compiles. The README, which is outside of the book, is checked too.
pub(crate) fn problems(repository: &Path, built: &Path) -> Result<Vec<String>> {
    let docs = repository.join("docs");
    let mut problems = Vec::new();
    let mut check = |name: &str, links_from: &Path| -> Result<Page> {
        let page = Page::parse(&read(&links_from.join(name))?);
        for link in &page.links {
            if let Err(problem) = follow(link, links_from, &docs, built) {
                problems.push(format!("{name}: the link to {link} {problem}"));
            }
        }
        for block in page.blocks.iter().filter(|block| block.is_uncompiled_rust()) {
            let first = block.text.lines().next().unwrap_or_default();
            problems.push(format!("{name}: nothing compiles the block that starts with `{first}`"));
        }
        Ok(page)
    };
    check("README.md", repository)?;
    let summary = check(SUMMARY, &docs)?;
    let pages = pages(&docs)?;
    for page in &pages {
        check(page, &docs)?;
    }
    for page in pages.iter().filter(|page| !summary.links.contains(page)) {
        problems.push(format!("{SUMMARY} does not name {page}"));
    }
    Ok(problems)
}

/// The pages in a folder, ascending.
fn pages(docs: &Path) -> Result<Vec<String>> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(docs)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") && name != SUMMARY {
            pages.push(name);
        }
    }
    pages.sort_unstable();
    Ok(pages)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Error::msg(format!("{}: {error}", path.display())))
}

/// Whether a link leads somewhere: what is outside of the repository is not looked at.
fn follow(link: &str, from: &Path, docs: &Path, built: &Path) -> Result<(), &'static str> {
    if link.starts_with("https://") {
        return Ok(());
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = from.join(file);
    if file.is_empty() || !target.is_file() {
        return Err("leads to no file; name the file also for a place in the same one");
    }
    let is_page = target.parent() == Some(docs) && target.extension().is_some_and(|extension| extension == "md");
    if from == docs && !is_page {
        return Err("leads out of the book; name it by its URL");
    }
    match anchor {
        None => Ok(()),
        Some(_) if !is_page => Err("has an anchor in a file that is no page"),
        Some(anchor) => {
            let html = built.join(Path::new(file).file_name().unwrap_or_default()).with_extension("html");
            let html = fs::read_to_string(html).map_err(|_| "leads to a page that was not built")?;
            let there = html.contains(&format!("id=\"{anchor}\""));
            if there { Ok(()) } else { Err("leads to no heading of that page") }
        }
    }
}
