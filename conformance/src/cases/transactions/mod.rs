//! Guards, mutations, atomicity.

mod atomicity;
mod counters;
mod each;
mod extends;
mod guards;
mod ids;
mod limits;
mod repeats;
mod whole;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[
    guards::CASES,
    atomicity::CASES,
    whole::CASES,
    counters::CASES,
    extends::CASES,
    ids::CASES,
    repeats::CASES,
    limits::CASES,
    each::CASES,
];
