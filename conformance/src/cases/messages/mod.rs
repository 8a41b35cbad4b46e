//! Messages: published now to those subscribed now.

mod delivery;
mod lag;
mod mixed;
mod patterns;
mod payloads;
mod subscribers;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] =
    &[delivery::CASES, mixed::CASES, patterns::CASES, subscribers::CASES, payloads::CASES, lag::CASES];
