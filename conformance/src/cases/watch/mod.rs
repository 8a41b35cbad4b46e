//! Watching keys.

mod events;
mod load;
mod ranges;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[events::CASES, ranges::CASES, load::CASES];
