//! The lock recipe over any driver.

mod holding;
mod losing;
mod queueing;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[holding::CASES, queueing::CASES, losing::CASES];
