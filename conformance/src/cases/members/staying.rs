//! Who joins is there until it leaves or dies.

use super::super::prelude::*;
use crate::failure::here;
use crate::recipes::{coordinator, kept, keys_in, node, remove, short};
use crate::waiting::{LONG, eventually, timed};
use linchpin::{Member, Members};
use linchpin_core::Area;
use std::sync::atomic::{AtomicU32, Ordering};

cases! { Members "members";
    a_member_is_listed [Ttl] MEMBER_IS_LISTED
        "`join` announces a member with its metadata and capabilities; `list` tells who is there, ascending";
    a_member_outlives_its_ttl [Ttl] MEMBER_OUTLIVES_ITS_TTL
        "Heartbeats are automatic: a member is there for as long as its process lives";
    heartbeats_go_with_the_leases [Ttl, Watch] HEARTBEATS_GO_WITH_THE_LEASES
        "The heartbeats of members and the renewals of locks are sent together in batches";
    a_dead_member_is_gone_in_time [Ttl] DEAD_MEMBER_IS_GONE_IN_TIME
        "A dead member disappears within its TTL plus the stated slack, and not before its TTL";
    leaving_is_seen_at_once [Ttl] WHO_LEFT_CAN_JOIN_AGAIN_AT_ONCE
        "Who leaves is gone when `leave` returns; dropping the membership leaves in the background";
    updates_are_seen [Ttl] UPDATES_ARE_SEEN
        "`update` and `update_capabilities` change what a member says, and the member stays";
    a_member_joins_again [Ttl] MEMBER_JOINS_AGAIN
        "A member that the backend has lost joins again by itself, with what it said last";
    who_left_can_join_again_at_once [Ttl] WHO_LEFT_CAN_JOIN_AGAIN_AT_ONCE
        "Who left, or was dropped, can join again at once: what is removed of the first time is not the second";
    an_update_joins_again [Ttl] MEMBER_JOINS_AGAIN
        "An update of a member that the backend has lost joins again";
    a_failed_heartbeat_is_told [Ttl] FAILED_HEARTBEAT_IS_TOLD
        "A heartbeat that failed is told each time";
    shutdown_leaves [Ttl] SHUTDOWN_LEAVES
        "`shutdown` takes the members of this coordinator off the list";
    one_id_is_one_member [Ttl] ONE_ID_IS_ONE_MEMBER
        "Two who join under one id are one member, which says what the last of them said";
    groups_are_apart [Ttl] GROUPS_ARE_APART
        "Two names are two groups, whatever characters they are made of";
    bad_members_are_refused [Ttl] BAD_MEMBERS_ARE_REFUSED
        "A group, id, capability or TTL that is not allowed is `InvalidArgument` before anything is sent";
}

/// The members as `id metadata capabilities`.
#[track_caller]
fn told(members: &Members) -> impl Future<Output = Result<Vec<String>, Failure>> {
    here(async move {
        let told = |member: Member| {
            let metadata = String::from_utf8_lossy(&member.metadata).into_owned();
            format!("{} {metadata} {}", member.id, member.capabilities.join(","))
        };
        Ok(members.list().await?.into_iter().map(told).collect())
    })
}

async fn a_member_is_listed(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    ensure_eq!(told(&other.members("g")).await?, Vec::<String>::new(), "the members before");
    let _plain = one.members("g").id("n2").join().await?;
    let rich = one.members("g").id("n10").metadata("m").capabilities(["gpu", "b c", "gpu", "é"]);
    let _rich = rich.join().await?;
    let _other = other.members("g").id("a").metadata("\0\n").join().await?;
    ensure_eq!(told(&one.members("g")).await?, ["a \0\n ", "n10 m b c,gpu,é", "n2  "], "the members");
    let member = &other.members("g").list().await?[1];
    ensure!(member.can("gpu") && !member.can("g") && !member.can(""), "what the member can: {:?}", member.capabilities);
    Ok(())
}

async fn a_member_outlives_its_ttl(ctx: Context) -> CaseResult {
    let (one, other, ttl) = (coordinator(&ctx).await?, coordinator(&ctx).await?, kept(&ctx));
    let _membership = one.members("g").id("n").ttl(ttl).join().await?;
    let joined = other.members("g").list().await?;
    let until = std::time::Instant::now() + ttl * 3;
    while std::time::Instant::now() < until {
        ensure_eq!(other.members("g").list().await?, joined, "the members");
        tokio::time::sleep(ttl / 10).await;
    }
    Ok(())
}

async fn heartbeats_go_with_the_leases(ctx: Context) -> CaseResult {
    const EACH: usize = 10;
    let (node, ttl) = (coordinator(&ctx).await?, ctx.ttl(Duration::from_secs(2)));
    let (mut members, mut locks) = (Vec::new(), Vec::new());
    for n in 0..EACH {
        members.push(node.members("g").id(format!("n{n}")).ttl(ttl).join().await?);
        locks.push(node.lock(format!("l{n}")).ttl(ttl).acquire().await?);
    }
    let commits = || node.metrics().operations.get("commit").map_or(0, |metrics| metrics.calls);
    let before = commits();
    tokio::time::sleep(ttl * 2).await;
    let made = commits() - before;
    ensure!(locks.iter().all(|lock| lock.is_held()), "a lock was lost");
    ensure_eq!(node.members("g").list().await?.len(), EACH, "the members");
    let limit = if ctx.capabilities().keys_per_transaction() > 1 { 20 } else { 200 };
    ensure!((4..=limit).contains(&made), "{made} commits in two TTLs for {} leases", EACH * 2);
    Ok(())
}

async fn a_dead_member_is_gone_in_time(ctx: Context) -> CaseResult {
    let ((doomed, its_driver), other, ttl) = (node(&ctx).await?, coordinator(&ctx).await?, short(&ctx));
    // Dead before its first heartbeat: its TTL counts from when it joined.
    let joined = timed(doomed.members("g").ttl(ttl).join()).await?;
    its_driver.close().await?;
    let window = crate::waiting::Window {
        earliest: joined.sent + ttl - Duration::from_millis(1),
        latest: joined.answered + ttl + ctx.ttl_slack() + Duration::from_millis(1),
    };
    let look = async || Ok(other.members("g").list().await?.is_empty().then_some(()));
    window.sees("the end of the dead member", look).await
}

async fn leaving_is_seen_at_once(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let leaves = one.members("g").id("n1").join().await?;
    let dropped = one.members("g").id("n2").join().await?;
    leaves.leave().await?;
    ensure_eq!(told(&other.members("g")).await?, ["n2  "], "the members");
    drop(dropped);
    let gone = async || Ok(other.members("g").list().await?.is_empty().then_some(()));
    eventually("the dropped member is gone", gone).await
}

async fn updates_are_seen(ctx: Context) -> CaseResult {
    let (one, other, ttl) = (coordinator(&ctx).await?, coordinator(&ctx).await?, kept(&ctx));
    let membership = one.members("g").id("n").metadata("0").capabilities(["c"]).ttl(ttl).join().await?;
    let joined = other.members("g").list().await?[0].joined;
    membership.update("1").await?;
    ensure_eq!(told(&other.members("g")).await?, ["n 1 c"], "the members after an update");
    membership.update_capabilities(["d", "d"]).await?;
    ensure_eq!(told(&other.members("g")).await?, ["n 1 d"], "the members after an update of capabilities");
    tokio::time::sleep(ttl * 2).await;
    let member = other.members("g").list().await?;
    ensure_eq!(member.first().map(|member| member.joined), Some(joined), "the member after two TTLs");
    Ok(())
}

async fn a_member_joins_again(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let membership = one.members("g").id("n").metadata("0").capabilities(["c"]).ttl(short(&ctx)).join().await?;
    membership.update("1").await?;
    for _ in 0..2 {
        remove(&ctx.driver(), Area::NODES).await?;
        let back = async || Ok((told(&other.members("g")).await? == ["n 1 c"]).then_some(()));
        eventually("the member is there again", back).await?;
    }
    membership.leave().await?;
    ensure_eq!(told(&other.members("g")).await?, Vec::<String>::new(), "the members after it left");
    Ok(())
}

async fn who_left_can_join_again_at_once(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    for round in 0..20 {
        let first = one.members("g").id("n").metadata("0").join().await?;
        if round % 2 == 0 {
            drop(first);
        } else {
            first.leave().await?;
        }
        let _again = one.members("g").id("n").metadata("0").join().await?;
        for _ in 0..3 {
            ensure_eq!(told(&other.members("g")).await?, ["n 0 "], "the members in round {round}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    Ok(())
}

async fn an_update_joins_again(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let membership = one.members("g").id("n").metadata("0").ttl(ctx.ttl(LONG)).join().await?;
    remove(&ctx.driver(), Area::NODES).await?;
    membership.update("1").await?;
    ensure_eq!(told(&other.members("g")).await?, ["n 1 "], "the members");
    membership.leave().await?;
    ensure_eq!(told(&other.members("g")).await?, Vec::<String>::new(), "the members after it left");
    Ok(())
}

async fn a_failed_heartbeat_is_told(ctx: Context) -> CaseResult {
    let (doomed, its_driver) = node(&ctx).await?;
    let failures = Arc::new(AtomicU32::new(0));
    let failed = failures.clone();
    let members = doomed.members("g").ttl(short(&ctx));
    let members = members.on_renewal_failure(move |error| {
        failed.fetch_add(u32::from(error.kind() == ErrorKind::Closed), Ordering::SeqCst);
    });
    let _membership = members.join().await?;
    its_driver.close().await?;
    eventually("failures are told", async || Ok((failures.load(Ordering::SeqCst) >= 2).then_some(()))).await
}

async fn shutdown_leaves(ctx: Context) -> CaseResult {
    let (one, other) = (coordinator(&ctx).await?, coordinator(&ctx).await?);
    let membership = one.members("g").id("n").join().await?;
    one.shutdown().await?;
    ensure_eq!(told(&other.members("g")).await?, Vec::<String>::new(), "the members after the shutdown");
    fails_with(one.members("g").join().await, ErrorKind::Closed, "joining after the shutdown")?;
    fails_with(membership.update("x").await, ErrorKind::Closed, "an update after the shutdown")?;
    Ok(())
}

async fn one_id_is_one_member(ctx: Context) -> CaseResult {
    let (one, other, ttl) = (coordinator(&ctx).await?, coordinator(&ctx).await?, kept(&ctx));
    let _first = one.members("g").id("n").metadata("first").ttl(ttl).join().await?;
    let _second = other.members("g").id("n").metadata("second").ttl(ttl).join().await?;
    let until = std::time::Instant::now() + ttl * 2;
    while std::time::Instant::now() < until {
        ensure_eq!(told(&one.members("g")).await?, ["n second "], "the members");
        tokio::time::sleep(ttl / 10).await;
    }
    Ok(())
}

async fn groups_are_apart(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let names = ["a", "A", "a/b", "a/", "/a", "1:a/", "é", " a", "*", "a\n", "default"];
    let mut members = Vec::new();
    for name in names {
        members.push(node.members(name).id(format!("in {name}")).join().await?);
        members.push(node.members(name).id("b/n").join().await?);
    }
    for name in names {
        let mut expected = vec!["b/n".to_owned(), format!("in {name}")];
        expected.sort_unstable();
        let listed: Vec<String> = node.members(name).list().await?.into_iter().map(|member| member.id.into()).collect();
        ensure_eq!(listed, expected, "the members of {name:?}");
    }
    Ok(())
}

async fn bad_members_are_refused(ctx: Context) -> CaseResult {
    let node = coordinator(&ctx).await?;
    let refused =
        async |members: Members, what: &str| fails_with(members.join().await, ErrorKind::InvalidArgument, what);
    for name in [String::new(), "a\0b".to_owned(), "x".repeat(513)] {
        refused(node.members(&name), "a group").await?;
        refused(node.members("g").id(&name), "an id").await?;
        refused(node.members("g").capabilities([&*name]), "a capability").await?;
        fails_with(node.members(&name).list().await, ErrorKind::InvalidArgument, "listing a group")?;
        fails_with(node.members(&name).watch().await.map(drop), ErrorKind::InvalidArgument, "watching a group")?;
    }
    refused(node.members("g").capabilities(["a\nb"]), "a capability of two lines").await?;
    refused(node.members("g").metadata(vec![0; ctx.capabilities().limits.value]), "metadata over the limit").await?;
    for ttl in [Duration::ZERO, Duration::from_millis(299), Duration::MAX] {
        refused(node.members("g").ttl(ttl), "a ttl").await?;
    }
    ensure_eq!(keys_in(&ctx.driver(), Area::NODES).await?, 0, "members");
    let member = node.members("g").id("n").metadata("0").join().await?;
    let large = member.update(vec![0; ctx.capabilities().limits.value]).await;
    fails_with(large, ErrorKind::InvalidArgument, "an update over the limit")?;
    fails_with(member.update_capabilities([""]).await, ErrorKind::InvalidArgument, "an update of capabilities")?;
    ensure_eq!(told(&node.members("g")).await?, ["n 0 "], "the members after refused updates");
    Ok(())
}
