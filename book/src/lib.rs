//! Builds `docs/` as a book with mdBook, and finds what is broken in it: `make doc`.

mod check;
mod page;

use mdbook_driver::MDBook;
use mdbook_driver::errors::Result;
use std::path::{Path, PathBuf};

/// The root of this repository.
pub fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Builds the book of a repository into a folder; returns what is broken in its pages, one line each.
///
/// # Errors
/// If a page cannot be read, or mdBook does not build the book.
pub fn build(repository: &Path, into: &Path) -> Result<Vec<String>> {
    let mut book = MDBook::load(repository.join("docs"))?;
    book.config.build.build_dir = std::path::absolute(into)?;
    book.build()?;
    check::problems(repository, into)
}
