//! The election recipe over any driver.

mod campaigning;
mod leading;
mod observing;
mod with_the_port;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[campaigning::CASES, leading::CASES, observing::CASES, with_the_port::CASES];
