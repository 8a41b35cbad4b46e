//! The port that applications hold.

mod acks;
mod cluster;
mod keys;
mod leadership;
mod messages;
mod patterns;
mod stats;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] =
    &[messages::CASES, acks::CASES, keys::CASES, patterns::CASES, cluster::CASES, leadership::CASES, stats::CASES];
