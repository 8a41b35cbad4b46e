//! What a transaction would do to what stands at its keys.

use crate::codec::{Content, Time};
use crate::ids::Decided;
use crate::known::Standing;
use bytes::Bytes;
use linchpin_adapter::decide::{self, Decision, Effect};
use linchpin_core::{Key, MutationResult, Outcome, Revision, Transaction};
use std::time::Duration;

/// What one mutation needs to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A new version of a key that came to be at `created`, or comes to be with it.
    Put { value: Bytes, created: Option<Revision>, ttl: Option<Duration>, end: Option<Time>, result: Written },
    /// Nothing stands there any more.
    Delete,
    /// The same version again, to live for `ttl` from now on, of which `granted` was asked for.
    Renew { ttl: Duration, granted: Duration },
    /// Nothing: this is all there is to say.
    Nothing(MutationResult),
}

/// What is answered of a value that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Put,
    Added(i64),
}

impl Step {
    /// What is answered once it was written at `revision`.
    pub(crate) fn result(&self, revision: Revision) -> MutationResult {
        match self {
            Self::Put { result: Written::Added(value), .. } => MutationResult::Added { value: *value },
            Self::Put { created, ttl, .. } => MutationResult::Put { created: created.unwrap_or(revision), ttl: *ttl },
            Self::Delete => MutationResult::Deleted { existed: true },
            Self::Renew { granted, .. } => MutationResult::Extended { ttl: Some(*granted) },
            Self::Nothing(result) => *result,
        }
    }
}

/// What stands at the keys of a transaction now.
struct Now<'f, 'a>(&'f dyn Fn(&Key) -> Option<&'a Standing>, Time);

impl<'a> Now<'_, 'a> {
    /// What stands there, unless its time is over.
    fn content(&self, key: &Key) -> Option<&'a Content> {
        self.0(key)?.content.as_ref().filter(|content| !content.is_over(self.1))
    }
}

impl decide::Keys for Now<'_, '_> {
    fn standing(&self, key: &Key) -> Option<decide::Standing<'_>> {
        let Content { value, created, version, .. } = self.content(key)?;
        Some(decide::Standing { value, created: *created, version: *version })
    }

    /// Not declared.
    fn first(&self, _: &str) -> Option<(Key, Revision)> {
        None
    }
}

/// What becomes of a transaction if its keys stand so: what is to be written, or what it comes to without.
pub(crate) fn decide<'a>(
    transaction: &Transaction,
    standing_at: impl Fn(&Key) -> Option<&'a Standing>,
    revision: Revision,
    now: Time,
) -> Result<Vec<Step>, Decided> {
    let keys = Now(&standing_at, now);
    match decide::decide(transaction, &keys) {
        Decision::Apply(effects) => Ok(effects.into_iter().map(|effect| step(effect, &keys, now)).collect()),
        Decision::Refuse(guard, found) => {
            let found = found.and_then(|key| Some(keys.content(&key)?.entry(&key, now)));
            Err(Decided::Outcome(Outcome::Refused { guard, found, revision }))
        }
        Decision::Fail(failed) => {
            let index = transaction.mutations.iter().position(|mutation| *mutation.key() == failed.key);
            Err(Decided::Conflict(index.unwrap_or_default(), failed.problem))
        }
    }
}

fn step(effect: Effect<'_>, keys: &Now<'_, '_>, now: Time) -> Step {
    match effect {
        Effect::Put { key, value, ttl } => {
            let created = keys.content(key).map(|content| content.created);
            Step::Put { value: value.clone(), created, ttl: ttl.map(granted), end: None, result: Written::Put }
        }
        Effect::Delete { .. } => Step::Delete,
        Effect::Add { key, value, ttl } => {
            let content = keys.content(key);
            // A counter that is there keeps its end, however often it is added to.
            let ttl = match content {
                Some(content) => content.left(now).map(granted),
                None => ttl.map(granted),
            };
            let (created, end) = (content.map(|content| content.created), content.and_then(Content::end));
            Step::Put { value: value.to_string().into(), created, ttl, end, result: Written::Added(value) }
        }
        Effect::Extend { key, ttl } => renew(granted(ttl), keys.content(key).and_then(|content| content.left(now))),
        Effect::Nothing(result) => Step::Nothing(result),
    }
}

/// Lets a key live for `granted` from now on at least, and never shorter than it does already.
fn renew(granted: Duration, left: Option<Duration>) -> Step {
    let Some(left) = left else {
        return Step::Nothing(MutationResult::Extended { ttl: Some(granted) });
    };
    Step::Renew { ttl: granted.max(self::granted(left)), granted }
}

/// A TTL as the server counts it: in whole seconds, rounded up.
pub(crate) fn granted(ttl: Duration) -> Duration {
    Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000_000);

    fn standing(value: &'static str, left: Option<Duration>) -> Standing {
        let ttl = left.map(|left| (Duration::from_mins(1), NOW.after(left)));
        let content = Content {
            value: value.into(),
            created: Revision(3),
            version: Revision(5),
            removed: ttl.map(|(_, end)| end),
            ttl,
        };
        Standing::new(6, Some(content), Vec::new())
    }

    fn decided(transaction: &Transaction, standing: &Standing) -> Result<Vec<Step>, Decided> {
        decide(transaction, |key| (key.as_str() == "k").then_some(standing), Revision(9), NOW)
    }

    fn key() -> Key {
        Key::new("k").expect("valid")
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (asked, seconds) in [(1, 1), (999, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(granted(Duration::from_millis(asked)), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_renewal_never_shortens() {
        let extend = |ttl| Transaction::new().extend(key(), Revision(5), Duration::from_millis(ttl));
        let ten = Some(Duration::from_millis(9_700));
        let renew = |ttl, granted| Step::Renew { ttl: Duration::from_secs(ttl), granted: Duration::from_secs(granted) };
        assert_eq!(decided(&extend(30_000), &standing("", ten)), Ok(vec![renew(30, 30)]));
        assert_eq!(decided(&extend(8_900), &standing("", ten)), Ok(vec![renew(10, 9)]), "so close that it is written");
        let kept = |seconds| Step::Nothing(MutationResult::Extended { ttl: Some(Duration::from_secs(seconds)) });
        assert_eq!(decided(&extend(2_500), &standing("", ten)), Ok(vec![renew(10, 3)]));
        assert_eq!(decided(&extend(2_500), &standing("", None)), Ok(vec![kept(3)]));
        let other = Transaction::new().extend(key(), Revision(4), Duration::from_secs(1));
        assert_eq!(
            decided(&other, &standing("", ten)),
            Ok(vec![Step::Nothing(MutationResult::Extended { ttl: None })])
        );
    }
}
