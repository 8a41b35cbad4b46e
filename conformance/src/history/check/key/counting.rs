//! What a key counts: the sums that were told, and what calls of unknown outcome may have added to them.

use super::{Content, Stands, Told, Walk};
use crate::history::check::Verdict;
use crate::history::record::Seen;

/// What is known of the count.
#[derive(Default)]
pub(super) struct Sums {
    /// When it was last told.
    told_at: u64,
    /// What was added since then, and at which revisions.
    untold: Vec<(u64, i64)>,
}

impl Sums {
    pub(super) fn told(told_at: u64) -> Self {
        Self { told_at, untold: Vec::new() }
    }

    /// Something was added, and the sum told or not.
    pub(super) fn add(&mut self, revision: u64, delta: i64, exact: bool) {
        if exact {
            *self = Self::told(revision);
        } else {
            self.untold.push((revision, delta));
        }
    }

    /// What was added from this revision on, if no sum was told since.
    pub(super) fn since(&self, revision: u64) -> Option<i64> {
        let later = self.untold.iter().filter(|(at, _)| *at >= revision);
        (revision > self.told_at).then(|| later.fold(0_i64, |sum, (_, delta)| sum.wrapping_add(*delta)))
    }
}

impl<'h> Walk<'_, 'h> {
    pub(super) fn number(&self) -> i64 {
        match self.stands {
            Some(Stands { content: Content::Number { value, .. }, .. }) => value,
            _ => 0,
        }
    }

    /// A version that no known transaction wrote here. Of a text, its value would have said whose it is; a
    /// counter may have got it by a call of unknown outcome.
    pub(super) fn is_seen_first(&mut self, told: &Told<'h>, seen: &Seen) -> Verdict {
        let (version, created) = (seen.version.0, seen.created.0);
        let new = self.writers.counts(self.key) && version > self.last && self.writers.at(version).is_none();
        let (true, Some(value)) = (new, number(seen)) else {
            return self.violation(told, format!("the version {version} was found"));
        };
        let mut before = Vec::new();
        if self.stands.is_some_and(|stands| stands.created.is_none_or(|known| known == created)) {
            before.push(self.number());
        }
        if self.may_be_born(created) {
            before.push(self.sums.since(created).unwrap_or_else(|| self.number()));
        }
        if !before.into_iter().any(|before| self.unknowns.add(value.wrapping_sub(before), version + 1)) {
            return self.violation(told, format!("the version {version} of the count {value} was found"));
        }
        let content = Content::Number { value, exact: true };
        let stands = Stands { created: Some(created), version: Some(version), content };
        self.changed(&Told { revision: version, ..*told }, Some(stands));
        (self.birth, self.sums) = (super::Birth::told(version, false), Sums::told(version));
        Ok(())
    }

    /// What stood there before something was added.
    pub(super) fn counted(&mut self, told: &Told<'h>, value: i64) -> Verdict {
        let (should, below) = (self.number(), told.below());
        let content = Content::Number { value, exact: true };
        if value == should {
            if let Some(stands) = &mut self.stands {
                stands.content = content;
            }
        } else if self.unknowns.add(value.wrapping_sub(should), below) {
            let created = self.stands.and_then(|stands| stands.created);
            self.stands = Some(Stands { created, version: None, content });
        } else if self.stands.is_some() && self.counts_anew(value, below) {
            self.stands = (value != 0).then_some(Stands { created: None, version: None, content });
        } else {
            return self.violation(told, format!("it counted {value}, not {should}"));
        }
        self.sums = Sums::told(below - 1);
        Ok(())
    }

    /// Whether the count is one since a delete of unknown outcome, which was before one of the writes whose
    /// sums nobody told, or after them all.
    fn counts_anew(&mut self, value: i64, below: u64) -> bool {
        let mut rest = value;
        for at in (0..=self.sums.untold.len()).rev() {
            let next = self.sums.untold.get(at);
            rest = rest.wrapping_sub(next.map_or(0, |(_, delta)| *delta));
            let before = next.map_or(below, |(revision, _)| *revision);
            if self.unknowns.may_delete(before) && (rest == 0 || self.unknowns.add(rest, below)) {
                return self.unknowns.delete(before);
            }
        }
        false
    }
}

/// The number that an entry holds, written as every backend must write it.
pub(super) fn number(seen: &Seen) -> Option<i64> {
    seen.value.parse().ok().filter(|number: &i64| number.to_string() == seen.value)
}
