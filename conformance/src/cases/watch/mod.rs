//! Watching keys.

mod events;
mod load;
mod order;
mod ranges;
mod whole;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[events::CASES, load::CASES, order::CASES, ranges::CASES, whole::CASES];
