//! What a transaction would do to what stands at its keys.

use crate::codec::{Content, Time};
use crate::ids::{Decided, Problem};
use crate::known::Standing;
use bytes::Bytes;
use linchpin_core::{Condition, Key, Mutation, MutationResult, Outcome, Revision, Transaction};
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

/// What becomes of a transaction if its keys stand so: what is to be written, or what it comes to without.
pub(crate) fn decide<'a>(
    transaction: &Transaction,
    standing_at: impl Fn(&Key) -> Option<&'a Standing>,
    revision: Revision,
    now: Time,
) -> Result<Vec<Step>, Decided> {
    for (index, guard) in transaction.guards.iter().enumerate() {
        let content = content_of(standing_at(&guard.key), now);
        if !guard.condition.holds(content.map(|content| content.version)) {
            let found = content.map(|content| content.entry(&guard.key, now));
            return Err(Decided::Outcome(Outcome::Refused { guard: index, found, revision }));
        }
        debug_assert!(guard.condition != Condition::PrefixAbsent, "not declared");
    }
    let step = |(index, mutation): (usize, &Mutation)| {
        let standing = standing_at(mutation.key());
        step(mutation, standing, now).map_err(|problem| Decided::Conflict(index, problem))
    };
    transaction.mutations.iter().enumerate().map(step).collect()
}

/// What stands there, unless its time is over.
fn content_of(standing: Option<&Standing>, now: Time) -> Option<&Content> {
    standing?.content.as_ref().filter(|content| !content.is_over(now))
}

fn step(mutation: &Mutation, standing: Option<&Standing>, now: Time) -> Result<Step, Problem> {
    let content = content_of(standing, now);
    let created = content.map(|content| content.created);
    Ok(match mutation {
        Mutation::Put { value, ttl, .. } => {
            Step::Put { value: value.clone(), created, ttl: ttl.map(granted), end: None, result: Written::Put }
        }
        Mutation::Delete { .. } => match content {
            Some(_) => Step::Delete,
            None => Step::Nothing(MutationResult::Deleted { existed: false }),
        },
        Mutation::Add { delta, ttl, .. } => {
            let before = match content {
                Some(content) => str::from_utf8(&content.value).ok().and_then(|text| text.parse().ok()),
                None => Some(0_i64),
            };
            let after = before.ok_or(Problem::NoCounter)?.checked_add(*delta).ok_or(Problem::Overflow)?;
            // A counter that is there keeps its end, however often it is added to.
            let ttl = match content {
                Some(content) => content.left(now).map(granted),
                None => ttl.map(granted),
            };
            let end = content.and_then(Content::end);
            Step::Put { value: after.to_string().into(), created, ttl, end, result: Written::Added(after) }
        }
        Mutation::Extend { version, ttl, .. } => match content.filter(|content| content.version == *version) {
            None => Step::Nothing(MutationResult::Extended { ttl: None }),
            Some(content) => renew(granted(*ttl), content.left(now)),
        },
    })
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
        let ttl = left.map(|left| (Duration::from_secs(60), NOW.after(left)));
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

    #[test]
    fn counters_count_and_say_when_they_cannot() {
        let add = |delta| Transaction::new().add(key(), delta, None);
        let steps = decided(&add(-2), &standing("7", Some(Duration::from_millis(2_100)))).expect("adds");
        assert_eq!(steps[0].result(Revision(9)), MutationResult::Added { value: 5 });
        assert!(matches!(&steps[0], Step::Put { ttl: Some(ttl), .. } if *ttl == Duration::from_secs(3)));
        assert_eq!(decided(&add(1), &standing("text", None)), Err(Decided::Conflict(0, Problem::NoCounter)));
        assert_eq!(
            decided(&add(1), &standing("9223372036854775807", None)),
            Err(Decided::Conflict(0, Problem::Overflow))
        );
    }

    #[test]
    fn the_first_guard_that_does_not_hold_is_told_with_what_stood_there() {
        let transaction = Transaction::new().present(key()).absent(key()).delete(key());
        match decided(&transaction, &standing("v", None)) {
            Err(Decided::Outcome(Outcome::Refused { guard: 1, found: Some(found), revision: Revision(9) })) => {
                assert_eq!((found.created, found.version), (Revision(3), Revision(5)));
            }
            other => panic!("{other:?}"),
        }
    }
}
