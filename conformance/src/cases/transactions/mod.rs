//! Guards, mutations, atomicity.

mod atomicity;
mod counters;
mod extends;
mod guards;
mod ids;
mod limits;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] =
    &[guards::CASES, atomicity::CASES, counters::CASES, extends::CASES, ids::CASES, limits::CASES];
