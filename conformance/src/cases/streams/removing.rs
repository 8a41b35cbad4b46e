//! Removing groups, and what they leave.

use super::super::prelude::*;
use crate::failure::here;
use crate::stream_calls::{append, claim, settle, settle_own, sorted_texts, take, take_nothing, take_one};
use crate::waiting::{LONG, together};
use linchpin_core::{Action, GroupName, Retention, Settled, StreamInfo, StreamName};

cases! { Streams "streams";
    a_removed_group_is_gone [Streams] REMOVED_GROUP_IS_GONE
        "`remove_group` removes a group, and returns whether there was one";
    a_removed_group_holds_nothing_back [Streams] REMOVED_GROUP_IS_GONE
        "`remove_group` removes what the group has pending: it holds no `trim` back";
    a_removed_group_begins_anew [Streams] REMOVED_GROUP_BEGINS_ANEW
        "After `remove_group` a claim under the name makes a new group, which sees every record still there";
    removing_a_group_leaves_the_others [Streams] REMOVED_GROUP_IS_GONE
        "`remove_group` removes one group: the records and the other groups stay as they are";
    a_removed_group_takes_its_dead_letters [DeadLetters] REMOVED_GROUP_IS_GONE
        "`remove_group` removes the group's dead letters, and no other's";
    removing_a_reader_of_dead_letters_leaves_them [DeadLetters] REMOVED_GROUP_IS_GONE
        "`remove_group` of a group that reads dead letters leaves them, and those of a group of its name";
    members_leave_nothing [Streams] MEMBERS_LEAVE_NOTHING
        "A member comes to be by claiming, and leaves nothing once what it claimed is settled";
}

#[track_caller]
fn stream() -> Result<StreamName, Failure> {
    Ok(StreamName::new("s")?)
}

#[track_caller]
fn remove(driver: &Arc<dyn Driver>, group: &str) -> impl Future<Output = Result<bool, Failure>> {
    here(async move { Ok(driver.remove_group(&stream()?, &GroupName::new(group)?).await?) })
}

/// The names of the groups.
#[track_caller]
fn groups(driver: &Arc<dyn Driver>) -> impl Future<Output = Result<Vec<String>, Failure>> {
    here(async move {
        let groups = driver.inspect(&stream()?).await?.groups;
        Ok(groups.into_iter().map(|group| group.name.to_string()).collect())
    })
}

async fn a_removed_group_is_gone(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    ensure!(!remove(&driver, "g").await?, "a group of a stream that is not there was removed");
    append(&driver, "s", &["1", "2"]).await?;
    ensure!(!remove(&driver, "g").await?, "a group that is not there was removed");
    let held = take_one(&driver, claim("s", "g", "m")?.visibility(LONG)).await?;
    ensure!(remove(&ctx.another().await?, "g").await?, "a group that was there was not removed");
    ensure_eq!(groups(&driver).await?, [""; 0], "the groups");
    ensure_eq!(settle(&driver, &held.receipt, Action::Ack).await?, Settled::Stale, "a receipt of the removed group");
    ensure!(!remove(&driver, "g").await?, "a group was removed a second time");
    take_nothing(&driver, &claim("nobody", "g", "m")?, "nobody appended to the stream").await?;
    ensure!(driver.remove_group(&StreamName::new("nobody")?, &held.receipt.group).await?, "a group without records");
    let left = driver.inspect(&StreamName::new("nobody")?).await?;
    ensure_eq!(left, StreamInfo::default(), "a stream that only a removed group had claimed from");
    Ok(())
}

async fn a_removed_group_holds_nothing_back(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2", "3"]).await?;
    take(&driver, claim("s", "left behind", "m")?.visibility(LONG), 2).await?;
    for delivery in take(&driver, claim("s", "g", "m")?, 3).await? {
        settle_own(&driver, &delivery, Action::Ack).await?;
    }
    ensure_eq!(driver.trim(&stream()?, Retention::Newest(0)).await?, 0, "what is dropped while a group holds it");
    remove(&driver, "left behind").await?;
    ensure_eq!(driver.trim(&stream()?, Retention::Newest(0)).await?, 3, "what is dropped once it is removed");
    Ok(())
}

async fn a_removed_group_begins_anew(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2", "3"]).await?;
    let taken = take(&driver, claim("s", "g", "m")?.visibility(LONG), 3).await?;
    settle_own(&driver, &taken[0], Action::Ack).await?;
    settle_own(&driver, &taken[1], Action::Retry { after: LONG }).await?;
    remove(&driver, "g").await?;
    let again = take(&driver, claim("s", "g", "m")?, 3).await?;
    ensure_eq!(sorted_texts(&again), ["1", "2", "3"], "what the new group sees");
    ensure!(again.iter().all(|one| one.receipt.delivery == 1), "first deliveries to the new group: {again:?}");
    Ok(())
}

async fn removing_a_group_leaves_the_others(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2"]).await?;
    let mut held = Vec::new();
    for group in ["g", "g2", "h"] {
        held.push(take_one(&driver, claim("s", group, "m")?.visibility(LONG)).await?);
    }
    let before = driver.inspect(&stream()?).await?;
    remove(&driver, "g").await?;
    let after = driver.inspect(&stream()?).await?;
    ensure_eq!(after, StreamInfo { groups: before.groups[1..].to_vec(), ..before }, "the stream");
    for other in &held[1..] {
        settle_own(&driver, other, Action::Ack).await?;
    }
    Ok(())
}

#[track_caller]
fn reject_one(driver: &Arc<dyn Driver>, group: &str) -> impl Future<Output = CaseResult> {
    here(async move {
        let held = take_one(driver, claim("s", group, "m")?).await?;
        settle_own(driver, &held, Action::Reject { reason: "broken".to_owned() }).await
    })
}

async fn a_removed_group_takes_its_dead_letters(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1"]).await?;
    for group in ["g", "h"] {
        reject_one(&driver, group).await?;
    }
    remove(&driver, "g").await?;
    for (group, left) in [("g", 0), ("h", 1)] {
        let dead = stream()?.dead_letters(&GroupName::new(group)?);
        ensure_eq!(driver.inspect(&dead).await?.length, left, "the dead letters of {group:?}");
    }
    Ok(())
}

async fn removing_a_reader_of_dead_letters_leaves_them(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1"]).await?;
    for group in ["g", "h"] {
        reject_one(&driver, group).await?;
    }
    let (g, h) = (GroupName::new("g")?, GroupName::new("h")?);
    let dead = stream()?.dead_letters(&g);
    take_one(&driver, linchpin_core::Claim { stream: dead.clone(), ..claim("s", "h", "m")? }).await?;
    ensure!(driver.remove_group(&dead, &h).await?, "the group that reads the dead letters was not there");
    for dead in [dead, stream()?.dead_letters(&h)] {
        let info = driver.inspect(&dead).await?;
        ensure_eq!((info.length, info.groups.len()), (1, 0), "records and groups of {dead}");
    }
    ensure_eq!(groups(&driver).await?, ["g", "h"], "the groups of the stream itself");
    Ok(())
}

async fn members_leave_nothing(ctx: Context) -> CaseResult {
    const MEMBERS: usize = 100;
    const AT_ONCE: usize = 10;
    let driver = ctx.driver();
    let texts: Vec<_> = (0..MEMBERS).map(|n| n.to_string()).collect();
    append(&driver, "s", &texts.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    for first in (0..MEMBERS).step_by(AT_ONCE) {
        let members = (first..first + AT_ONCE).map(|n| {
            let driver = driver.clone();
            async move {
                let held = take_one(&driver, claim("s", "g", &format!("pod-{n}"))?).await?;
                settle_own(&driver, &held, Action::Ack).await
            }
        });
        together(members).await?;
    }
    let info = driver.inspect(&stream()?).await?;
    let of_all: Vec<_> = info.groups.iter().map(|group| (group.pending, group.lag, group.dead)).collect();
    ensure_eq!(of_all, [(0, 0, 0)], "pending, lag and dead of the group");
    ensure_eq!(driver.trim(&stream()?, Retention::Unsettled).await?, MEMBERS as u64, "what nobody needs any more");
    ensure!(remove(&driver, "g").await?, "the group was not there");
    ensure_eq!(groups(&driver).await?, [""; 0], "the groups");
    Ok(())
}
