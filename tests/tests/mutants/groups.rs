//! Groups that are removed, and what is left of them or taken with them; delays that hold up what is due.

use crate::mutants::mutant::{Fault, Mutant};
use crate::mutants::streams_waiting::{Call, Deaf};
use linchpin_conformance::async_trait;
use linchpin_core::{
    Action, Claim, Delivery, Driver, GroupInfo, GroupName, MemberName, Result, Retention, Settlement, StreamInfo,
    StreamName,
};
use parking_lot::Mutex;
use std::sync::Arc;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant {
            name: "removed_groups_are_listed",
            breaks: "A removed group is told by inspect as before",
            caught_by: "streams.a_removed_group_is_gone",
            fault: Arc::new(ListsRemoved::default()),
        },
        Mutant {
            name: "removed_groups_go_on",
            breaks: "A group that is made anew under the name of a removed one sees only what is appended since",
            caught_by: "streams.a_removed_group_begins_anew",
            fault: Arc::new(GoesOn),
        },
        Mutant {
            name: "removals_wake_nobody",
            breaks: "A claim that waits does not hear that its group was removed",
            caught_by: "streams.a_waiting_claim_wakes_for_a_removed_group",
            fault: Arc::new(Deaf::to(|call| match call {
                Call::RemoveGroup(stream) => Some(stream.clone()),
                _ => None,
            })),
        },
        Mutant {
            name: "dead_letters_go_with_their_reader",
            breaks: "Dead letters go with a group that reads them",
            caught_by: "streams.removing_a_reader_of_dead_letters_leaves_them",
            fault: Arc::new(TakesRecords),
        },
        Mutant {
            name: "members_stay",
            breaks: "What a member has settled stays pending with it",
            caught_by: "streams.members_leave_nothing",
            fault: Arc::new(MembersStay),
        },
        Mutant {
            name: "delays_hold_up",
            breaks: "A claim comes back empty where more than a thousand records wait for their time",
            caught_by: "streams.delayed_records_hold_nothing_up",
            fault: Arc::new(LooksNoFurther),
        },
    ]
}

#[derive(Default)]
struct ListsRemoved(Mutex<Vec<(StreamName, GroupInfo)>>);

#[async_trait]
impl Fault for ListsRemoved {
    async fn remove_group(&self, inner: &Arc<dyn Driver>, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let known = inner.inspect(stream).await?.groups.into_iter().find(|known| known.name == *group);
        self.0.lock().extend(known.map(|known| (stream.clone(), known)));
        inner.remove_group(stream, group).await
    }

    async fn inspect(&self, inner: &Arc<dyn Driver>, stream: &StreamName) -> Result<StreamInfo> {
        let mut info = inner.inspect(stream).await?;
        let removed = self.0.lock();
        info.groups.extend(removed.iter().filter(|(of, _)| of == stream).map(|(_, group)| group.clone()));
        Ok(info)
    }
}

struct GoesOn;

#[async_trait]
impl Fault for GoesOn {
    async fn remove_group(&self, inner: &Arc<dyn Driver>, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let there = inner.remove_group(stream, group).await?;
        let member = MemberName::new("m")?;
        let seen = inner.claim(&Claim::new(stream.clone(), group.clone(), member).max(1000)).await?;
        let done = seen.into_iter().map(|seen| Settlement { receipt: seen.receipt, action: Action::Ack });
        inner.settle(&done.collect::<Vec<_>>()).await?;
        Ok(there)
    }
}

struct TakesRecords;

#[async_trait]
impl Fault for TakesRecords {
    async fn remove_group(&self, inner: &Arc<dyn Driver>, stream: &StreamName, group: &GroupName) -> Result<bool> {
        let there = inner.remove_group(stream, group).await?;
        if stream.dead_letters_of().is_some() {
            inner.trim(stream, Retention::Newest(0)).await?;
        }
        Ok(there)
    }
}

struct MembersStay;

#[async_trait]
impl Fault for MembersStay {
    async fn inspect(&self, inner: &Arc<dyn Driver>, stream: &StreamName) -> Result<StreamInfo> {
        let mut info = inner.inspect(stream).await?;
        info.groups.iter_mut().for_each(|group| group.pending = info.length);
        Ok(info)
    }
}

struct LooksNoFurther;

#[async_trait]
impl Fault for LooksNoFurther {
    async fn claim(&self, inner: &Arc<dyn Driver>, claim: &Claim) -> Result<Vec<Delivery>> {
        if inner.inspect(&claim.stream).await?.length > 1000 {
            return Ok(Vec::new());
        }
        inner.claim(claim).await
    }
}
