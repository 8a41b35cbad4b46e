//! One key, revision by revision: what must stand there, and whether that is what was told.

mod birth;
mod counting;

use super::told::{Phase, Told, What};
use super::transactions::Writers;
use super::unknown::Unknowns;
use super::{Verdict, Violation};
use crate::history::record::{Operation, Seen};
use birth::Birth;
use counting::{Sums, number};
use linchpin_core::{Condition, Key};
use std::collections::HashMap;

/// What stands at a key.
#[derive(Clone, Copy)]
struct Stands<'h> {
    /// `None` where only a call of unknown outcome could say; likewise the version.
    created: Option<u64>,
    version: Option<u64>,
    content: Content<'h>,
}

#[derive(Clone, Copy)]
enum Content<'h> {
    Text(&'h str),
    Number {
        value: i64,
        /// Whether calls of unknown outcome cannot have added to it: the number was told.
        exact: bool,
    },
}

/// A walk through what is told of a key.
pub(super) struct Walk<'w, 'h> {
    key: &'h Key,
    writers: &'w Writers<'h>,
    /// When the key of a version was said to have come to be.
    created: &'w HashMap<(&'h Key, u64), u64>,
    unknowns: &'w mut Unknowns,
    stands: Option<Stands<'h>>,
    birth: Birth,
    sums: Sums,
    /// The last change that is known, and who made it.
    last: u64,
    last_by: Option<&'h Operation>,
}

impl Told<'_> {
    /// What happened before this is of a smaller revision than that.
    fn below(&self) -> u64 {
        if self.phase == Phase::After { self.revision + 1 } else { self.revision }
    }
}

impl<'w, 'h> Walk<'w, 'h> {
    pub(super) fn new(
        key: &'h Key,
        writers: &'w Writers<'h>,
        created: &'w HashMap<(&'h Key, u64), u64>,
        unknowns: &'w mut Unknowns,
    ) -> Self {
        let (birth, sums) = (Birth::default(), Sums::default());
        Self { key, writers, created, unknowns, stands: None, birth, sums, last: 0, last_by: None }
    }

    pub(super) fn along(mut self, told: &[Told<'h>]) -> Verdict {
        for told in told {
            match told.what {
                What::Entry(None) | What::Holds(Condition::Absent) | What::Existed(false) => self.is_absent(told)?,
                What::Holds(Condition::Present) | What::Existed(true) => self.is_present(told)?,
                What::Holds(Condition::VersionIs(version)) => self.has_version(told, version.0)?,
                // Of no single key: no workload asks it.
                What::Holds(_) => {}
                What::Entry(Some(seen)) => self.is_seen(told, seen)?,
                What::Counted(value) => self.counted(told, value)?,
                What::Put { value, created } => {
                    let created = self.came_to_be(told, created)?;
                    let content = if self.writers.counts(self.key) {
                        Content::Number { value: value.parse().unwrap_or(0), exact: true }
                    } else {
                        Content::Text(value)
                    };
                    self.changed(told, Some(Stands { created, version: Some(told.revision), content }));
                }
                What::Added { delta, exact } => {
                    let created = self.came_to_be(told, None)?;
                    self.sums.add(told.revision, delta, exact);
                    let content = Content::Number { value: self.number().wrapping_add(delta), exact };
                    self.changed(told, Some(Stands { created, version: Some(told.revision), content }));
                }
                What::Deleted => {
                    self.changed(told, None);
                    self.nothing_stands(told.revision);
                }
            }
        }
        Ok(())
    }

    fn changed(&mut self, told: &Told<'h>, stands: Option<Stands<'h>>) {
        (self.stands, self.last, self.last_by) = (stands, told.revision, Some(told.by));
    }

    fn violation(&self, told: &Told<'h>, what: impl AsRef<str>) -> Verdict {
        let should = match (self.stands, self.last_by) {
            (Some(Stands { version: Some(version), .. }), _) => format!("it has the version {version}"),
            (Some(_), _) => "it was written by a call of unknown outcome".to_owned(),
            (None, Some(_)) => format!("it is not there since the revision {}", self.last),
            (None, None) => "it was never written".to_owned(),
        };
        let text = format!("{:?} at the revision {}: {}, but {should}", self.key, told.revision, what.as_ref());
        Err(Violation::new(text, self.last_by.into_iter().chain([told.by])))
    }

    fn is_absent(&mut self, told: &Told<'h>) -> Verdict {
        if self.stands.is_some() && !self.unknowns.delete(told.below()) {
            return self.violation(told, "nothing was found");
        }
        self.nothing_stands(told.below() - 1);
        Ok(())
    }

    /// It was told that nothing stood there at this revision.
    fn nothing_stands(&mut self, revision: u64) {
        self.stands = None;
        self.birth = Birth::told(revision, true);
        self.sums = Sums::told(revision);
    }

    fn is_present(&mut self, told: &Told<'h>) -> Verdict {
        if self.stands.is_none() {
            if !self.unknowns.write(told.below()) {
                return self.violation(told, "something was found");
            }
            self.stands = Some(Stands { created: None, version: None, content: self.unsure() });
        }
        Ok(())
    }

    /// What a call of unknown outcome wrote.
    fn unsure(&self) -> Content<'h> {
        if self.writers.counts(self.key) { Content::Number { value: 0, exact: false } } else { Content::Text("") }
    }

    fn has_version(&mut self, told: &Told<'h>, version: u64) -> Verdict {
        match &mut self.stands {
            Some(stands) if stands.version.is_none_or(|known| known == version) => {
                stands.version = Some(version);
                Ok(())
            }
            _ => self.violation(told, format!("the guard held that its version is {version}")),
        }
    }

    fn is_seen(&mut self, told: &Told<'h>, seen: &Seen) -> Verdict {
        let version = seen.version.0;
        let stands = match self.stands {
            Some(stands) if stands.version == Some(version) => stands,
            _ => return self.is_seen_first(told, seen),
        };
        if stands.created.is_some_and(|created| created != seen.created.0) {
            return self.violation(told, format!("it was created at {}, not {:?}", seen.created, stands.created));
        }
        let content = match stands.content {
            Content::Text(text) if text == seen.value => stands.content,
            Content::Number { value, exact } => match number(seen) {
                Some(seen) if seen == value => stands.content,
                Some(seen) if !exact && self.unknowns.add(seen.wrapping_sub(value), told.below()) => {
                    Content::Number { value: seen, exact: true }
                }
                _ => return self.violation(told, format!("it counts {:?}, not {value}", seen.value)),
            },
            Content::Text(text) => {
                return self.violation(told, format!("it holds {:?}, not {text:?}", seen.value));
            }
        };
        self.stands = Some(Stands { created: Some(seen.created.0), content, ..stands });
        self.birth = Birth::told(told.below() - 1, false);
        self.sums = Sums::told(told.below() - 1);
        Ok(())
    }
}
