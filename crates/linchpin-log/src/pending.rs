//! What a client has asked for and does not know the outcome of yet.

use crate::envelope::{Enclosed, Part};
use bytes::Bytes;
use linchpin_core::{Error, ErrorKind, Result};
use linchpin_machine::{Reply, Time};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What became of a command.
pub(crate) enum Decision {
    Applied(Result<Reply>),
    /// Nothing, and nothing will.
    NotApplied,
}

/// A command whose outcome is not known yet.
struct PendingCommand {
    not_after: Option<Time>,
    /// The log may have it.
    is_in_doubt: bool,
    /// As it is encoded.
    command: Bytes,
    decided: oneshot::Sender<Result<Decision>>,
}

impl PendingCommand {
    fn enclosed(&self, sequence: u64) -> Enclosed {
        Enclosed { sequence, not_after: self.not_after, part: Part::WHOLE, body: self.command.clone() }
    }
}

/// Those of a client, by their sequence.
#[derive(Default)]
pub(crate) struct Pending {
    commands: BTreeMap<u64, PendingCommand>,
    last: u64,
    /// Those that are to be appended, in their order.
    unsent: VecDeque<u64>,
    /// None of them counts no more before this.
    earliest: Option<Time>,
}

impl Pending {
    /// Adds one that is to be appended: its sequence.
    pub(crate) fn add(
        &mut self,
        not_after: Option<Time>,
        command: Bytes,
        decided: oneshot::Sender<Result<Decision>>,
    ) -> u64 {
        self.last += 1;
        self.commands.insert(self.last, PendingCommand { not_after, is_in_doubt: false, command, decided });
        self.earliest = self.earliest.into_iter().chain(not_after).min();
        self.unsent.push_back(self.last);
        self.last
    }

    /// Those that are to be appended together next, by their sequence: as many as have room, or one that has not.
    pub(crate) fn next(&mut self, room: usize) -> Vec<u64> {
        let (mut next, mut length) = (Vec::new(), 0);
        while let Some(sequence) = self.unsent.front() {
            let more = self.commands.get(sequence).map_or(0, |pending| pending.enclosed(*sequence).len());
            if !next.is_empty() && length + more > room {
                break;
            }
            length += more;
            if more > 0 {
                next.push(*sequence);
            }
            self.unsent.pop_front();
        }
        next
    }

    /// The last one up to which nobody waits for any.
    pub(crate) fn done(&self) -> u64 {
        self.commands.keys().next().map_or(self.last, |first| first - 1)
    }

    /// As they stand in the log, those that somebody still waits for: they are in doubt from now on. And which of them were
    /// before.
    pub(crate) fn begin(&mut self, commands: &[u64]) -> (Vec<(u64, bool)>, Vec<Enclosed>) {
        let (mut before, mut enclosed) = (Vec::new(), Vec::new());
        for sequence in commands {
            if let Some(pending) = self.commands.get_mut(sequence) {
                before.push((*sequence, std::mem::replace(&mut pending.is_in_doubt, true)));
                enclosed.push(pending.enclosed(*sequence));
            }
        }
        (before, enclosed)
    }

    /// Those that were not in doubt before are not now, unless the log may have them.
    pub(crate) fn failed(&mut self, before: Vec<(u64, bool)>, maybe_applied: bool) {
        for (sequence, was_in_doubt) in before {
            if let Some(pending) = self.commands.get_mut(&sequence) {
                pending.is_in_doubt = was_in_doubt || maybe_applied;
            }
        }
    }

    /// Ends those of the commands that the log surely does not have.
    pub(crate) fn refuse(&mut self, commands: &[u64], error: &Arc<Error>) {
        for sequence in commands {
            if self.commands.get(sequence).is_some_and(|pending| !pending.is_in_doubt) {
                self.decide(*sequence, Err(Error::shared(error, "append")));
            }
        }
    }

    /// Whether it may have been applied, or may be still: nobody waits for it any more.
    pub(crate) fn give_up(&mut self, sequence: u64) -> bool {
        self.commands.remove(&sequence).is_some_and(|pending| pending.is_in_doubt)
    }

    pub(crate) fn decide(&mut self, sequence: u64, decision: Result<Decision>) {
        if let Some(pending) = self.commands.remove(&sequence) {
            // Nobody may wait any more.
            let _ = pending.decided.send(decision);
        }
    }

    /// Decides those that count no more at this time, as they have not come before it.
    pub(crate) fn pass(&mut self, now: Time) {
        if self.earliest.is_none_or(|earliest| now <= earliest) {
            return;
        }
        let is_late = |pending: &PendingCommand| pending.not_after.is_some_and(|not_after| now > not_after);
        let late: Vec<_> =
            self.commands.iter().filter(|(_, pending)| is_late(pending)).map(|(sequence, _)| *sequence).collect();
        for sequence in late {
            self.decide(sequence, Ok(Decision::NotApplied));
        }
        self.earliest = self.commands.values().filter_map(|pending| pending.not_after).min();
    }

    /// The log begins anew for us: decides what it already says, and has the rest appended once more.
    pub(crate) fn begin_anew(&mut self, came_to: impl Fn(u64) -> Option<Result<Reply>>) {
        self.unsent.clear();
        for (sequence, pending) in std::mem::take(&mut self.commands) {
            let decision = match came_to(sequence) {
                Some(reply) => reply.map(|reply| Decision::Applied(Ok(reply))),
                // Nothing is remembered of those that only let time pass: they are made anew.
                None if pending.not_after.is_none() => {
                    Err(Error::new(ErrorKind::Unavailable, "get", "the log was read anew meanwhile"))
                }
                None => {
                    self.unsent.push_back(sequence);
                    self.commands.insert(sequence, pending);
                    continue;
                }
            };
            // Nobody may wait any more.
            let _ = pending.decided.send(decision);
        }
    }

    /// Tells all that it cannot be known what becomes of them.
    pub(crate) fn fail(&mut self, error: impl Fn() -> Error) {
        for (_, pending) in std::mem::take(&mut self.commands) {
            let error = if pending.is_in_doubt { error().for_good() } else { error() };
            // Nobody may wait any more.
            let _ = pending.decided.send(Err(error));
        }
        self.earliest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError;

    fn time(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    /// What somebody was told, if he was.
    fn told(decision: &mut oneshot::Receiver<Result<Decision>>) -> Option<&'static str> {
        match decision.try_recv() {
            Ok(Ok(Decision::Applied(_))) => Some("applied"),
            Ok(Ok(Decision::NotApplied)) => Some("not applied"),
            Ok(Err(error)) => Some(if error.maybe_applied() { "in doubt" } else { "failed" }),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some("nothing"),
        }
    }

    fn asked(pending: &mut Pending, until: Option<u64>) -> (u64, oneshot::Receiver<Result<Decision>>) {
        let (decided, decision) = oneshot::channel();
        (pending.add(until.map(time), Bytes::from_static(b"a command"), decided), decision)
    }

    #[test]
    fn what_has_not_come_in_time_was_not_applied() {
        let mut pending = Pending::default();
        let (_, mut first) = asked(&mut pending, Some(20));
        let (_, mut second) = asked(&mut pending, Some(10));
        let (third, mut idempotent) = asked(&mut pending, None);
        pending.pass(time(10));
        assert_eq!((told(&mut first), told(&mut second)), (None, None), "it may come at that time");
        pending.pass(time(11));
        assert_eq!((told(&mut first), told(&mut second)), (None, Some("not applied")));
        pending.pass(time(21));
        assert_eq!((told(&mut first), told(&mut idempotent)), (Some("not applied"), None));
        assert_eq!(pending.done(), third - 1);
        pending.decide(third, Ok(Decision::Applied(Ok(Reply::Ticked))));
        assert_eq!((told(&mut idempotent), pending.done()), (Some("applied"), third));
    }

    #[test]
    fn what_may_have_come_is_in_doubt_until_it_is_known() {
        let mut pending = Pending::default();
        let (sent, mut in_doubt) = asked(&mut pending, Some(10));
        let (_, mut unsent) = asked(&mut pending, Some(10));
        let (given_up, _) = asked(&mut pending, Some(10));
        for sequence in [sent, given_up] {
            pending.begin(&[sequence]);
        }
        assert!(pending.give_up(given_up) && !pending.give_up(given_up));
        pending.fail(|| Error::new(ErrorKind::Backend, "commit", "the log is of another version"));
        assert_eq!((told(&mut in_doubt), told(&mut unsent)), (Some("in doubt"), Some("failed")));
    }

    #[test]
    fn who_begins_anew_is_told_what_is_known_and_goes_on_with_the_rest() {
        let mut pending = Pending::default();
        let ((applied, mut one), (failed, mut two)) = (asked(&mut pending, Some(9)), asked(&mut pending, Some(9)));
        let ((left, mut three), (_, mut tick)) = (asked(&mut pending, Some(9)), asked(&mut pending, None));
        assert_eq!(pending.next(usize::MAX).len(), 4);
        let known = |sequence| match sequence {
            _ if sequence == applied => Some(Ok(Reply::Cleared)),
            _ if sequence == failed => Some(Err(Error::closed("commit").for_good())),
            _ => None,
        };
        pending.begin_anew(known);
        assert_eq!(pending.next(usize::MAX), [left]);
        let told = [told(&mut one), told(&mut two), told(&mut three), told(&mut tick)];
        assert_eq!(told, [Some("applied"), Some("in doubt"), None, Some("failed")]);
    }

    #[test]
    fn as_many_are_appended_together_as_have_room() {
        let mut pending = Pending::default();
        let asked: Vec<_> = (0..6).map(|_| asked(&mut pending, Some(9))).collect();
        let [one, two, three, four, five, six] = [0, 1, 2, 3, 4, 5].map(|number: usize| asked[number].0);
        let length = pending.begin(&[one]).1[0].len();
        pending.give_up(two);
        assert_eq!(pending.next(length * 2), [one, three]);
        assert_eq!(pending.next(length / 2), [four], "one that has no room goes alone");
        assert_eq!(pending.next(length * 9), [five, six]);
        assert!(pending.next(length * 9).is_empty() && pending.begin(&[two]).1.is_empty());
    }

    #[test]
    fn what_fails_before_the_log_has_it_is_refused_and_what_was_in_doubt_stays_so() {
        let mut pending = Pending::default();
        let ((old, mut one), (new, mut two)) = (asked(&mut pending, Some(9)), asked(&mut pending, Some(9)));
        let failure = Arc::new(Error::closed("append"));
        let (before, _) = pending.begin(&[old]);
        pending.failed(before, true);
        let (before, enclosed) = pending.begin(&[old, new]);
        assert_eq!((before.as_slice(), enclosed.len()), (&[(old, true), (new, false)][..], 2));
        pending.failed(before, false);
        pending.refuse(&[old, new], &failure);
        assert_eq!((told(&mut one), told(&mut two)), (None, Some("failed")));
        let (third, mut three) = asked(&mut pending, Some(9));
        let (before, _) = pending.begin(&[third]);
        pending.refuse(&[third], &failure);
        pending.failed(before, true);
        pending.refuse(&[third], &failure);
        assert_eq!(told(&mut three), None, "it is on its way, or may be there");
    }
}
