//! When a key came to be: what was told of that, and what calls of unknown outcome leave open.

use super::{Content, Stands, Told, Walk};
use crate::history::check::Verdict;

/// What is known of when the key came to be.
pub(super) struct Birth {
    /// When that was last told, or that nothing stood there.
    told_at: u64,
    nothing_stood: bool,
    /// The writes since then, of which it was not told.
    writes: Vec<u64>,
}

/// At first nothing stands there.
impl Default for Birth {
    fn default() -> Self {
        Self::told(0, true)
    }
}

impl Birth {
    pub(super) fn told(told_at: u64, nothing_stood: bool) -> Self {
        Self { told_at, nothing_stood, writes: Vec::new() }
    }
}

impl<'h> Walk<'_, 'h> {
    /// Whether the key may have come to be at this revision, before which something else is taken to have
    /// stood there: calls of unknown outcome removed that, and wrote, unless a known one did.
    pub(super) fn may_be_born(&self, created: u64) -> bool {
        let Birth { told_at, nothing_stood, writes } = &self.birth;
        let first = *nothing_stood && writes.first().is_none_or(|first| created <= *first);
        created > *told_at
            && (first || self.unknowns.may_delete(created))
            && (writes.contains(&created) || self.unknowns.may_write(created + 1))
    }

    /// When the key came to be, of something that is written to it now. Where that was not when what stands
    /// there is taken to have, the count begins anew.
    pub(super) fn came_to_be(&mut self, told: &Told<'h>, reported: Option<u64>) -> Verdict<Option<u64>> {
        let (key, revision) = (self.key, told.revision);
        let taken = self.stands.map(|stands| stands.created);
        let Some(created) = reported.or_else(|| self.created.get(&(key, revision)).copied()) else {
            self.birth.writes.push(revision);
            return Ok(taken.unwrap_or(Some(revision)));
        };
        let goes_on = match taken {
            Some(Some(taken)) => created == taken,
            Some(None) => created < revision,
            None => false,
        };
        let now = !goes_on && created == revision && (taken.is_none() || self.unknowns.delete(revision));
        let earlier = || created < revision && self.may_be_born(created);
        if !(goes_on || now || earlier()) {
            return self.violation(told, format!("it was written, and created at {created}")).map(|()| None);
        }
        if now {
            self.nothing_stands(revision - 1);
        } else if !goes_on && let Some(value) = self.sums.since(created) {
            let content =
                if self.writers.counts(key) { Content::Number { value, exact: false } } else { self.unsure() };
            self.stands = Some(Stands { created: Some(created), version: None, content });
        }
        self.birth = Birth::told(revision, false);
        Ok(Some(created))
    }
}
