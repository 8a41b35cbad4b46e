//! Streams: durable, claimed, acknowledged.

mod appending;
mod backlog;
mod buried;
mod claiming;
mod dead_letters;
mod delays;
mod each;
mod groups;
mod keeping;
mod limits;
mod removing;
mod settling;
mod visibility;
mod waiting;
mod waking;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] = &[
    appending::CASES,
    claiming::CASES,
    waiting::CASES,
    settling::CASES,
    visibility::CASES,
    delays::CASES,
    backlog::CASES,
    dead_letters::CASES,
    groups::CASES,
    keeping::CASES,
    removing::CASES,
    limits::CASES,
    each::CASES,
    buried::CASES,
    waking::CASES,
];
