//! The lock recipe over any driver.

mod holding;
mod losing;
mod queueing;
mod timing;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[holding::CASES, queueing::CASES, losing::CASES, timing::CASES];
