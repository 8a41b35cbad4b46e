//! The members recipe over any driver.

mod staying;
mod watching;
mod with_the_port;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[staying::CASES, watching::CASES, with_the_port::CASES];
