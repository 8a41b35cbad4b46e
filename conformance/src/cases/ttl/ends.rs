//! A key is never seen after its TTL plus the stated slack, never gone before it.

use super::super::prelude::*;
use crate::calls::{add, commit, delete, names, present, put, read, refused};
use crate::failure::here;
use crate::lease::Lease;
use crate::waiting::timed;
use linchpin_core::{MutationResult, Range};

cases! { Ttl "ttl";
    a_key_lives_its_ttl_and_no_longer [Ttl] KEY_LIVES_ITS_TTL_AND_NO_LONGER
        "A key is never seen after its TTL plus the stated slack, never gone before it";
    fractions_of_a_second_count [Ttl] FRACTIONS_OF_A_SECOND_COUNT + ELSEWHERE_FRACTIONS_OF_A_SECOND_COUNT
        "TTLs are Durations: one of a second and a half is neither one of a second nor one of two";
    many_keys_end_each_at_its_time [Ttl] FRACTIONS_OF_A_SECOND_COUNT
        "A key is never seen after its TTL plus the stated slack, however many end";
    what_ended_stays_gone [Ttl] WHAT_ENDED_STAYS_GONE
        "The server's clock decides, and an expired key does not come back";
    an_expired_key_is_not_in_its_range [Ttl] EXPIRED_KEY_IS_NOT_IN_ITS_RANGE
        "A key is never seen after its TTL plus the stated slack: not by `scan` either";
    an_expired_key_is_absent_for_guards [Ttl] EXPIRED_KEY_IS_NOT_IN_ITS_RANGE
        "A key is never seen after its TTL plus the stated slack: for guards it is absent";
    an_expired_key_is_not_deleted [Ttl] EXPIRED_KEY_IS_NOT_IN_ITS_RANGE
        "`Delete` reports whether there was something to delete: an expired key is nothing";
    created_changes_after_expiry [Ttl] REVISIONS_GROW_ACROSS_DELETES
        "A namespace's revisions only grow, across expiry: a key written again came to be again";
    an_expired_counter_starts_again [Ttl] EXPIRED_KEY_IS_NOT_IN_ITS_RANGE
        "`Add`: an absent key counts as 0, an expired one too";
    an_expired_version_is_not_extended [Ttl] EXTEND_OF_ANOTHER_VERSION_DOES_NOTHING
        "`Extended` has no TTL if the key was gone";
    a_key_outlives_the_handle_that_wrote_it [Ttl] KEY_OUTLIVES_THE_HANDLE_THAT_WROTE_IT
        "The TTL alone ends a key: closing the handle that wrote it does not";
}

const SHORT: Duration = Duration::from_millis(250);

/// Writes a key for a short time and waits until it has ended.
#[track_caller]
fn expired(ctx: &Context, key: &Key) -> impl Future<Output = Result<Lease, Failure>> {
    here(async move {
        let lease = Lease::put(ctx, &ctx.driver(), key, ctx.ttl(SHORT)).await?;
        lease.end.has_passed().await;
        Ok(lease)
    })
}

async fn a_key_lives_its_ttl_and_no_longer(ctx: Context) -> CaseResult {
    let (driver, reader, key) = (ctx.driver(), ctx.another().await?, Key::new("k")?);
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(SHORT)).await?;
    lease.ends_in_time(&reader, &key).await
}

async fn fractions_of_a_second_count(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let asked = [300, 700, 1500].map(Duration::from_millis);
    let mut leases = Vec::new();
    for ttl in asked {
        let key = Key::new(format!("{ttl:?}"))?;
        leases.push((Lease::put(&ctx, &driver, &key, ctx.ttl(ttl)).await?, key));
    }
    for (lease, key) in leases {
        lease.ends_in_time(&driver, &key).await?;
    }
    Ok(())
}

async fn many_keys_end_each_at_its_time(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut leases = Vec::new();
    for n in 0..40_u32 {
        let key = Key::new(format!("lease-{n:02}"))?;
        // Written in another order than they end.
        let ttl = ctx.ttl(SHORT + Duration::from_millis(10) * (n * 17 % 40));
        leases.push((Lease::put(&ctx, &driver, &key, ttl).await?, key));
    }
    leases.sort_by_key(|(lease, _)| lease.end.earliest);
    for (lease, key) in leases {
        lease.ends_in_time(&driver, &key).await?;
    }
    ensure!(names(&driver, &Range::all()).await?.is_empty(), "keys are left");
    Ok(())
}

async fn what_ended_stays_gone(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    expired(&ctx, &key).await?;
    for n in 0..20 {
        // Other writes, as they would happen, must not bring it back.
        put(&driver, &Key::new("other")?, n.to_string()).await?;
        ensure_eq!(read(&driver, &key).await?, None, "the expired key");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn an_expired_key_is_not_in_its_range(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    put(&driver, &Key::new("a")?, "1").await?;
    put(&driver, &Key::new("z")?, "1").await?;
    expired(&ctx, &Key::new("k")?).await?;
    ensure_eq!(names(&driver, &Range::all()).await?, ["a", "z"], "the keys");
    ensure!(names(&driver, &Range::Key(Key::new("k")?)).await?.is_empty(), "the range of the expired key");
    Ok(())
}

async fn an_expired_key_is_absent_for_guards(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lock")?);
    let version = expired(&ctx, &key).await?.version;
    let refusal = refused(&driver, Transaction::new().version_is(key.clone(), version)).await?;
    ensure_eq!(refusal.found, None, "what stood at the expired key");
    let refusal = refused(&driver, Transaction::new().present(key.clone())).await?;
    ensure_eq!(refusal.found, None, "what stood at the expired key");
    commit(&driver, Transaction::new().absent(key.clone()).put(key, "next", None)).await?;
    Ok(())
}

async fn an_expired_key_is_not_deleted(ctx: Context) -> CaseResult {
    let key = Key::new("k")?;
    expired(&ctx, &key).await?;
    ensure!(!delete(&ctx.driver(), &key).await?, "deleting an expired key says that it existed");
    Ok(())
}

async fn created_changes_after_expiry(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let version = expired(&ctx, &key).await?.version;
    let again = put(&driver, &key, "again").await?;
    ensure!(again > version, "written again at {again}, its last version was {version}");
    ensure_eq!(present(&driver, &key).await?.created, again, "created");
    Ok(())
}

async fn an_expired_counter_starts_again(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    let counted = timed(commit(&driver, Transaction::new().add(key.clone(), 41, Some(ctx.ttl(SHORT))))).await?;
    let look = || async { Ok(read(&driver, &key).await?.is_none().then_some(())) };
    counted.window(ctx.ttl(SHORT), ctx.ttl_slack()).sees("the end of a counter", look).await?;
    ensure_eq!(add(&driver, &key, 1).await?, 1, "the counter");
    ensure_eq!(present(&driver, &key).await?.ttl, None, "the ttl of the new counter");
    Ok(())
}

async fn an_expired_version_is_not_extended(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let version = expired(&ctx, &key).await?.version;
    let extend = Transaction::new().extend(key.clone(), version, ctx.ttl(SHORT));
    let results = commit(&driver, extend).await?.results;
    ensure_eq!(results, [MutationResult::Extended { ttl: None }], "extending an expired lease");
    ensure_eq!(read(&driver, &key).await?, None, "the expired key");
    Ok(())
}

async fn a_key_outlives_the_handle_that_wrote_it(ctx: Context) -> CaseResult {
    let (writer, reader, key) = (ctx.driver(), ctx.another().await?, Key::new("k")?);
    let lease = Lease::put(&ctx, &writer, &key, ctx.ttl(SHORT * 2)).await?;
    writer.close().await?;
    lease.ends_in_time(&reader, &key).await
}
