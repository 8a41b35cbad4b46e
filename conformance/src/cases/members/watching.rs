//! Watching who comes and goes.

use super::super::prelude::*;
use crate::failure::here;
use crate::recipes::{coordinator, kept, node, short};
use crate::waiting::{ON_THE_WAY, soon};
use futures::StreamExt;
use linchpin::MemberEvent;
use linchpin::members::MemberStream;

cases! { Members "members";
    who_is_there_comes_first [Ttl, Watch] WHO_IS_THERE_COMES_FIRST
        "`watch` tells first who is there, then `Synced`, then changes";
    joins_updates_and_leaves_are_told [Ttl, Watch] WHO_IS_THERE_COMES_FIRST
        "`watch` tells who joins, what it says, and who leaves";
    the_dead_are_told_in_time [Ttl, Watch] DEAD_ARE_TOLD_IN_TIME
        "`watch` tells that a member has died once its TTL has passed, plus the stated slack";
    heartbeats_are_no_changes [Ttl, Watch] HEARTBEATS_ARE_NO_CHANGES
        "A heartbeat is no change, neither automatic ones nor those of the port";
}

/// The next change, as text.
#[track_caller]
fn next(changes: &mut MemberStream) -> impl Future<Output = Result<String, Failure>> {
    here(async move {
        let change = soon("the next change", changes.next()).await?;
        Ok(match change.ok_or_else(|| Failure::new("the watch ended by itself"))?? {
            MemberEvent::Joined(member) => format!("{} joined: {}", member.id, member.capabilities.join(",")),
            MemberEvent::Updated(member) => {
                format!(
                    "{} says {} {}",
                    member.id,
                    String::from_utf8_lossy(&member.metadata),
                    member.capabilities.join(",")
                )
            }
            MemberEvent::Left(member) => format!("{} left: {}", member.id, String::from_utf8_lossy(&member.metadata)),
            MemberEvent::Synced => "synced".to_owned(),
            other => return Err(Failure::new(format!("a change of no known kind: {other:?}"))),
        })
    })
}

async fn who_is_there_comes_first(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    ensure_eq!(next(&mut other.members("g").watch().await?).await?, "synced", "an empty group");
    let _a = one.members("g").id("a").capabilities(["c"]).join().await?;
    let _b = one.members("g").id("b").join().await?;
    let _elsewhere = one.members("h").id("c").join().await?;
    let mut changes = other.members("g").watch().await?;
    let mut there = [next(&mut changes).await?, next(&mut changes).await?];
    there.sort_unstable();
    ensure_eq!(there, ["a joined: c", "b joined: "], "who is there");
    ensure_eq!(next(&mut changes).await?, "synced", "after who is there");
    Ok(())
}

async fn joins_updates_and_leaves_are_told(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let mut changes = other.members("g").watch().await?;
    ensure_eq!(next(&mut changes).await?, "synced", "an empty group");
    for round in 0..3 {
        let member = one.members("g").id(format!("n{round}")).capabilities(["c"]).join().await?;
        ensure_eq!(next(&mut changes).await?, format!("n{round} joined: c"), "the join");
        member.update("m").await?;
        ensure_eq!(next(&mut changes).await?, format!("n{round} says m c"), "the update");
        member.update_capabilities(["d"]).await?;
        ensure_eq!(next(&mut changes).await?, format!("n{round} says m d"), "the update of capabilities");
        member.leave().await?;
        ensure_eq!(next(&mut changes).await?, format!("n{round} left: m"), "the leave");
    }
    Ok(())
}

async fn the_dead_are_told_in_time(ctx: Context) -> CaseResult {
    let ((doomed, its_driver), other, ttl) = (node(&ctx).await?, coordinator(&ctx).await?, short(&ctx));
    let _membership = doomed.members("g").id("n").metadata("m").ttl(ttl).join().await?;
    let mut changes = other.members("g").watch().await?;
    ensure_eq!(next(&mut changes).await?, "n joined: ", "who is there");
    ensure_eq!(next(&mut changes).await?, "synced", "after who is there");
    its_driver.close().await?;
    let closed = std::time::Instant::now();
    ensure_eq!(next(&mut changes).await?, "n left: m", "the death");
    let (took, limit) = (closed.elapsed(), ttl + ctx.ttl_slack() + ON_THE_WAY);
    ensure!(took <= limit, "the death was told after {took:?}, the limit is {limit:?}");
    Ok(())
}

async fn heartbeats_are_no_changes(ctx: Context) -> CaseResult {
    let (one, other, ttl) = (coordinator(&ctx).await?, coordinator(&ctx).await?, kept(&ctx));
    let group = linchpin_core::DEFAULT_GROUP;
    let _member = one.members(group).id("n").ttl(ttl).join().await?;
    let mut changes = other.members(group).watch().await?;
    ensure_eq!(next(&mut changes).await?, "n joined: ", "who is there");
    ensure_eq!(next(&mut changes).await?, "synced", "after who is there");
    for _ in 0..8 {
        other.heartbeat("n", ttl).await?;
        tokio::time::sleep(ttl / 4).await;
    }
    let _last = other.members(group).id("z").join().await?;
    ensure_eq!(next(&mut changes).await?, "z joined: ", "the first change after many heartbeats");
    Ok(())
}
