//! What a client has asked for and does not know the outcome of yet.

use bytes::Bytes;
use linchpin_core::{Error, ErrorKind, Result};
use linchpin_machine::{Reply, Time};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// What became of a command.
pub(crate) enum Decision {
    Applied(Result<Reply>),
    /// Nothing, and nothing will.
    NotApplied,
}

/// A command whose outcome is not known yet.
pub(crate) struct PendingCommand {
    not_after: Option<Time>,
    /// The log may have it.
    pub(crate) is_in_doubt: bool,
    /// Its records.
    pub(crate) records: Vec<Bytes>,
    decided: oneshot::Sender<Result<Decision>>,
}

/// Those of a client, by their sequence.
#[derive(Default)]
pub(crate) struct Pending {
    commands: BTreeMap<u64, PendingCommand>,
    last: u64,
    /// None of them counts no more before this.
    earliest: Option<Time>,
}

impl Pending {
    /// Adds one, whose records are made of its sequence and of [`done`](Self::done): its sequence.
    pub(crate) fn add(
        &mut self,
        not_after: Option<Time>,
        decided: oneshot::Sender<Result<Decision>>,
        records: impl FnOnce(u64, u64) -> Vec<Bytes>,
    ) -> u64 {
        let done = self.done();
        self.last += 1;
        let records = records(self.last, done);
        self.commands.insert(self.last, PendingCommand { not_after, is_in_doubt: false, records, decided });
        self.earliest = self.earliest.into_iter().chain(not_after).min();
        self.last
    }

    /// The last one up to which nobody waits for any.
    pub(crate) fn done(&self) -> u64 {
        self.commands.keys().next().map_or(self.last, |first| first - 1)
    }

    pub(crate) fn get(&mut self, sequence: u64) -> Option<&mut PendingCommand> {
        self.commands.get_mut(&sequence)
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

    /// The log begins anew for us: decides what it already says, and gives what is to be appended once more.
    pub(crate) fn begin_anew(&mut self, came_to: impl Fn(u64) -> Option<Result<Reply>>) -> Vec<u64> {
        let mut left = Vec::new();
        for (sequence, pending) in std::mem::take(&mut self.commands) {
            let decision = match came_to(sequence) {
                Some(reply) => reply.map(|reply| Decision::Applied(Ok(reply))),
                // Nothing is remembered of those that only let time pass: they are made anew.
                None if pending.not_after.is_none() => {
                    Err(Error::new(ErrorKind::Unavailable, "get", "the log was read anew meanwhile"))
                }
                None => {
                    left.push(sequence);
                    self.commands.insert(sequence, pending);
                    continue;
                }
            };
            // Nobody may wait any more.
            let _ = pending.decided.send(decision);
        }
        left
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
        (pending.add(until.map(time), decided, |_, _| vec![Bytes::new()]), decision)
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
            pending.get(sequence).expect("it waits").is_in_doubt = true;
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
        pending.get(left).expect("it waits").records = vec!["a record".into()];
        let known = |sequence| match sequence {
            _ if sequence == applied => Some(Ok(Reply::Cleared)),
            _ if sequence == failed => Some(Err(Error::closed("commit").for_good())),
            _ => None,
        };
        assert_eq!(pending.begin_anew(known), [left]);
        assert_eq!(pending.get(left).expect("it waits").records, ["a record"]);
        let told = [told(&mut one), told(&mut two), told(&mut three), told(&mut tick)];
        assert_eq!(told, [Some("applied"), Some("in doubt"), None, Some("failed")]);
    }
}
