//! What streams keep for too long, or not long enough: groups, ids, positions, dead letters, what is not due.

use crate::mutants::mutant::{Fault, Mutant};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Action, Appended, Claim, Delivery, Driver, GroupName, Position, Record, Result, Retention, Settled, Settlement,
    StreamInfo, StreamName,
};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "group_removed_in_word_only",
            breaks: "A removed group holds a trim back as before",
            caught_by: "streams.a_removed_group_holds_nothing_back",
            fault: Arc::new(RemovesNothing::default()),
        },
        Mutant {
            name: "dead_letters_outlive_their_group",
            breaks: "The dead letters of a removed group stay",
            caught_by: "streams.a_removed_group_takes_its_dead_letters",
            fault: Arc::new(LeavesDeadLetters),
        },
        Mutant {
            name: "every_group_removed",
            breaks: "Removing a group removes the others of the stream as well",
            caught_by: "streams.removing_a_group_leaves_the_others",
            fault: Arc::new(RemovesAll),
        },
        Mutant {
            name: "unsettled_of_nobody_dropped",
            breaks: "A trim of what is settled drops everything where there is no group",
            caught_by: "streams.what_some_group_has_not_settled_is_kept",
            fault: Arc::new(DropsWhatNobodyClaimed),
        },
        Mutant {
            name: "record_ids_outlive_a_clear",
            breaks: "A record that is appended after a clear with the id of one from before is swallowed",
            caught_by: "streams.a_cleared_stream_knows_no_ids",
            fault: Arc::new(Remembers { ids: Mutex::default(), window: Duration::from_mins(2) }),
        },
        Mutant {
            name: "record_ids_forgotten_soon",
            breaks: "A record that is appended again two seconds later is there twice",
            caught_by: "streams.a_record_id_is_remembered_for_a_while",
            fault: Arc::new(Remembers { ids: Mutex::default(), window: Duration::from_secs(2) }),
        },
        Mutant {
            name: "record_ids_forgotten_by_trim",
            breaks: "A record that was dropped is appended again under its id",
            caught_by: "streams.a_trimmed_record_keeps_its_id",
            fault: Arc::new(ForgetsTrimmed::default()),
        },
        Mutant {
            name: "positions_begin_anew",
            breaks: "A stream that was empty when it was cleared counts from 1 again",
            caught_by: "streams.positions_go_on_after_clearing_an_empty_stream",
            fault: Arc::new(CountsAnew),
        },
        Mutant {
            name: "last_position_outlives_a_clear",
            breaks: "A cleared stream tells the last position that it had",
            caught_by: "streams.a_cleared_stream_says_no_last_position",
            fault: Arc::new(TellsOldLast::default()),
        },
        Mutant {
            name: "dead_letters_die_again",
            breaks: "A dead letter that its own group rejects comes again",
            caught_by: "streams.a_dead_letter_has_no_dead_letters",
            fault: Arc::new(DeadLettersComeBack),
        },
        Mutant {
            name: "only_one_step",
            breaks: "A claim looks at as many records as it likes to, and comes back empty if none of them is due",
            caught_by: "streams.exhausted_records_hold_nothing_up",
            fault: Arc::new(LooksAtSome),
        },
        Mutant {
            name: "extend_wakes_nobody",
            breaks: "A claim that waits does not learn that a record is held for less",
            caught_by: "streams.a_waiting_claim_wakes_for_a_shortened_claim",
            fault: Arc::new(ExtendsNothing),
        },
        Mutant {
            name: "delays_are_not_pending",
            breaks: "What waits for its delay is not counted as pending",
            caught_by: "streams.inspect_counts_what_waits",
            fault: Arc::new(CountsHeldOnly::default()),
        },
    ]
}

/// Says so, and leaves the group where it was.
#[derive(Default)]
struct RemovesNothing(Mutex<HashSet<(StreamName, GroupName)>>);

#[async_trait]
impl Fault for RemovesNothing {
    async fn remove_group(&self, inner: &Arc<dyn Driver>, stream: &StreamName, group: &GroupName) -> Result<bool> {
        inner.capabilities().admit_streams("remove_group")?;
        Ok(self.0.lock().insert((stream.clone(), group.clone())))
    }
}

struct LeavesDeadLetters;

#[async_trait]
impl Fault for LeavesDeadLetters {
    async fn remove_group(&self, inner: &Arc<dyn Driver>, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let dead = stream.dead_letters(group);
        let left = inner.inspect(&dead).await?.length;
        let there = inner.remove_group(stream, group).await?;
        for _ in 0..left {
            inner.append(&dead, &[Record::new("left behind")]).await?;
        }
        Ok(there)
    }
}

struct RemovesAll;

#[async_trait]
impl Fault for RemovesAll {
    async fn remove_group(&self, inner: &Arc<dyn Driver>, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let there = inner.remove_group(stream, group).await?;
        for other in inner.inspect(stream).await?.groups {
            inner.remove_group(stream, &other.name).await?;
        }
        Ok(there)
    }
}

struct DropsWhatNobodyClaimed;

#[async_trait]
impl Fault for DropsWhatNobodyClaimed {
    async fn trim(&self, inner: &Arc<dyn Driver>, stream: &StreamName, keep: Retention) -> Result<u64> {
        inner.trim(stream, if keep == Retention::Unsettled { Retention::Newest(0) } else { keep }).await
    }
}

/// Keeps ids by itself, and by nothing but the time.
struct Remembers {
    ids: Mutex<HashMap<(StreamName, String), (Instant, Position)>>,
    window: Duration,
}

#[async_trait]
impl Fault for Remembers {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let mut all = Vec::new();
        for record in records {
            let key = record.id.clone().map(|id| (stream.clone(), id));
            let known = key.as_ref().and_then(|key| self.ids.lock().get(key).copied());
            if let Some((_, position)) = known.filter(|(since, _)| since.elapsed() < self.window) {
                all.push(Appended { position, duplicate: true });
                continue;
            }
            let appended = inner.append(stream, &[Record { id: None, ..record.clone() }]).await?;
            if let (Some(key), [one]) = (key, &appended[..]) {
                self.ids.lock().insert(key, (Instant::now(), one.position));
            }
            all.extend(appended);
        }
        Ok(all)
    }
}

/// The ids that a trim took, which are told apart from what they were.
#[derive(Default)]
struct ForgetsTrimmed(Mutex<u32>);

#[async_trait]
impl Fault for ForgetsTrimmed {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let trims = *self.0.lock();
        let renamed =
            |record: &Record| Record { id: record.id.as_ref().map(|id| format!("{trims}{id}")), ..record.clone() };
        inner.append(stream, &records.iter().map(renamed).collect::<Vec<_>>()).await
    }

    async fn trim(&self, inner: &Arc<dyn Driver>, stream: &StreamName, keep: Retention) -> Result<u64> {
        let dropped = inner.trim(stream, keep).await?;
        *self.0.lock() += u32::from(dropped > 0);
        Ok(dropped)
    }
}

/// Tells positions that begin at 1 after each clear of nothing, by another stream in its place.
struct CountsAnew;

#[async_trait]
impl Fault for CountsAnew {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let mut appended = inner.append(stream, records).await?;
        if inner.inspect(stream).await?.length == records.len() as u64 {
            for (one, position) in appended.iter_mut().zip(1..) {
                one.position = Position(position);
            }
        }
        Ok(appended)
    }
}

#[derive(Default)]
struct TellsOldLast(Mutex<BTreeMap<StreamName, Position>>);

#[async_trait]
impl Fault for TellsOldLast {
    async fn inspect(&self, inner: &Arc<dyn Driver>, stream: &StreamName) -> Result<StreamInfo> {
        let mut info = inner.inspect(stream).await?;
        info.last = info.last.or_else(|| self.0.lock().get(stream).copied());
        Ok(info)
    }

    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        let appended = inner.append(stream, records).await?;
        self.0.lock().extend(appended.last().map(|one| (stream.clone(), one.position)));
        Ok(appended)
    }
}

struct DeadLettersComeBack;

#[async_trait]
impl Fault for DeadLettersComeBack {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let mut settlements = settlements.to_vec();
        for Settlement { receipt, action } in &mut settlements {
            if matches!(action, Action::Reject { .. }) && receipt.stream.dead_letters_of() == Some(&receipt.group) {
                *action = Action::Retry { after: Duration::ZERO };
            }
        }
        inner.settle(&settlements).await
    }
}

/// Buries what is exhausted, 1,000 at a time, and takes that for all there is.
struct LooksAtSome;

#[async_trait]
impl Fault for LooksAtSome {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        if claim.max_deliveries.is_some() && inner.inspect(&claim.stream).await?.length > 1000 {
            return Ok(Vec::new());
        }
        inner.claim(claim).await
    }
}

/// Whoever waits looks again when the time has come that it knew of before.
struct ExtendsNothing;

#[async_trait]
impl Fault for ExtendsNothing {
    async fn settle(&self, inner: &Arc<dyn Driver>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
        let mut settlements = settlements.to_vec();
        for Settlement { action, .. } in &mut settlements {
            if let Action::Extend { visibility } = action {
                *visibility = (*visibility).max(Duration::from_secs(2));
            }
        }
        inner.settle(&settlements).await
    }
}

#[derive(Default)]
struct CountsHeldOnly(Mutex<u64>);

#[async_trait]
impl Fault for CountsHeldOnly {
    async fn append(&self, inner: &Arc<dyn Driver>, stream: &StreamName, records: &[Record]) -> Result<Vec<Appended>> {
        *self.0.lock() += records.iter().filter(|record| record.delay.is_some()).count() as u64;
        inner.append(stream, records).await
    }

    async fn inspect(&self, inner: &Arc<dyn Driver>, stream: &StreamName) -> Result<StreamInfo> {
        let mut info = inner.inspect(stream).await?;
        for group in &mut info.groups {
            group.pending = group.pending.saturating_sub(*self.0.lock());
        }
        Ok(info)
    }
}
