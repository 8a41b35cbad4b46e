//! Versioned keys.

mod clear;
mod pages;
mod reads;
mod revisions;
mod scan;
mod snapshot;
mod values;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] =
    &[values::CASES, revisions::CASES, snapshot::CASES, scan::CASES, reads::CASES, clear::CASES, pages::CASES];
