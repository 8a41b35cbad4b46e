//! Time to live.

mod changes;
mod each;
mod ends;
mod grants;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[grants::CASES, ends::CASES, changes::CASES, each::CASES];
