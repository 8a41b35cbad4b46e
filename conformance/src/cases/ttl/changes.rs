//! What changes a TTL, and what does not.

use super::super::prelude::*;
use crate::calls::{add, commit, present, put, refused};
use crate::lease::Lease;
use crate::waiting::LONG;

cases! { Ttl "ttl";
    a_put_without_ttl_clears_it [Ttl] PUT_WITH_TTL_REPLACES_IT
        "`Put`: without a TTL the key lives for ever, whatever it had before";
    a_put_with_ttl_replaces_it [Ttl] PUT_WITH_TTL_REPLACES_IT
        "`Put` writes the value and how long it lives, whatever it had before";
    an_add_keeps_it [Ttl] ADD_KEEPS_IT
        "`Add`: a counter that exists keeps its TTL";
    an_add_gives_none_to_what_lives_for_ever [Ttl] ADD_KEEPS_IT
        "`Add`: a counter that exists keeps its TTL, also if that is none";
    an_extend_lengthens_it [Ttl] EXTEND_LENGTHENS_IT
        "`Extend` sets the remaining TTL: a longer one than before";
    an_extend_never_shortens_it [Ttl] EXTEND_NEVER_SHORTENS_IT
        "`Extend` never shortens a TTL: one that arrives late cannot cut short what another has granted since";
    an_extend_leaves_what_lives_for_ever [Ttl] EXTEND_NEVER_SHORTENS_IT
        "`Extend` never shortens a TTL: what lives for ever goes on doing so";
    a_stale_extend_leaves_it [Ttl] STALE_EXTEND_LEAVES_IT
        "`Extend` sets the remaining TTL if the key's version is still `version`, and else leaves it";
    a_refused_put_leaves_it [Ttl] STALE_EXTEND_LEAVES_IT
        "Nothing was changed if a guard did not hold, the TTL included";
    a_lease_can_be_kept_for_long [Ttl] EXTEND_LENGTHENS_IT + ELSEWHERE_FRACTIONS_OF_A_SECOND_COUNT
        "A lease that is extended in time, again and again, never ends in between";
}

/// Short, but long enough to be changed before it ends, on a busy machine too.
const SHORT: Duration = Duration::from_millis(500);

async fn a_put_without_ttl_clears_it(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(SHORT)).await?;
    put(&driver, &key, "for ever").await?;
    ensure_eq!(present(&driver, &key).await?.ttl, None, "the ttl after a put without");
    lease.end.has_passed().await;
    ensure_eq!(present(&driver, &key).await?.value, "for ever", "the value");
    Ok(())
}

async fn a_put_with_ttl_replaces_it(ctx: Context) -> CaseResult {
    let (driver, longer, shorter) = (ctx.driver(), Key::new("longer")?, Key::new("shorter")?);
    let before = Lease::put(&ctx, &driver, &longer, ctx.ttl(SHORT)).await?;
    Lease::put(&ctx, &driver, &longer, ctx.ttl(LONG)).await?;
    Lease::put(&ctx, &driver, &shorter, ctx.ttl(LONG)).await?;
    let after = Lease::put(&ctx, &driver, &shorter, ctx.ttl(SHORT)).await?;
    after.ends_in_time(&driver, &shorter).await?;
    before.end.has_passed().await;
    present(&driver, &longer).await?;
    Ok(())
}

async fn an_add_keeps_it(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    let put = Transaction::new().put(key.clone(), "1", Some(ctx.ttl(LONG)));
    commit(&driver, put).await?;
    add(&driver, &key, 1).await?;
    let kept = present(&driver, &key).await?.ttl;
    ensure!(kept.is_some_and(|left| left <= ctx.ttl(LONG)), "the ttl after an add without: {kept:?}");
    commit(&driver, Transaction::new().add(key.clone(), 1, Some(ctx.ttl(LONG * 10)))).await?;
    let kept = present(&driver, &key).await?.ttl;
    ensure!(kept.is_some_and(|left| left <= ctx.ttl(LONG)), "the ttl after an add with a longer one: {kept:?}");
    Ok(())
}

async fn an_add_gives_none_to_what_lives_for_ever(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    add(&driver, &key, 1).await?;
    commit(&driver, Transaction::new().add(key.clone(), 1, Some(ctx.ttl(SHORT)))).await?;
    ensure_eq!(present(&driver, &key).await?.ttl, None, "the ttl");
    Ok(())
}

async fn an_extend_lengthens_it(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let short = Lease::put(&ctx, &driver, &key, ctx.ttl(SHORT * 3)).await?;
    let longer = short.extend(&ctx, &driver, &key, ctx.ttl(SHORT * 4) + ctx.ttl_slack()).await?;
    short.end.has_passed().await;
    longer.ends_in_time(&driver, &key).await
}

async fn an_extend_never_shortens_it(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let long = Lease::put(&ctx, &driver, &key, ctx.ttl(LONG)).await?;
    let shorter = long.extend(&ctx, &driver, &key, ctx.ttl(SHORT)).await?;
    shorter.end.has_passed().await;
    let left = present(&driver, &key).await?.ttl;
    ensure!(left > Some(ctx.ttl(LONG) / 2), "a shorter extension left {left:?}");
    Ok(())
}

async fn an_extend_leaves_what_lives_for_ever(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let stand_in = Lease::put(&ctx, &driver, &Key::new("another")?, ctx.ttl(LONG)).await?;
    let version = put(&driver, &key, "for ever").await?;
    Lease { version, ..stand_in }.extend(&ctx, &driver, &key, ctx.ttl(SHORT)).await?;
    ensure_eq!(present(&driver, &key).await?.ttl, None, "the ttl of what lives for ever");
    Ok(())
}

async fn a_stale_extend_leaves_it(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lease")?);
    let stale = Lease::put(&ctx, &driver, &key, ctx.ttl(SHORT)).await?;
    let fresh = Lease::put(&ctx, &driver, &key, ctx.ttl(SHORT)).await?;
    commit(&driver, Transaction::new().extend(key.clone(), stale.version, ctx.ttl(LONG))).await?;
    fresh.ends_in_time(&driver, &key).await
}

async fn a_refused_put_leaves_it(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lock")?);
    let lease = Lease::put(&ctx, &driver, &key, ctx.ttl(SHORT)).await?;
    refused(&driver, Transaction::new().absent(key.clone()).put(key.clone(), "mine", Some(ctx.ttl(LONG)))).await?;
    lease.ends_in_time(&driver, &key).await
}

async fn a_lease_can_be_kept_for_long(ctx: Context) -> CaseResult {
    let (driver, reader, key) = (ctx.driver(), ctx.another().await?, Key::new("lease")?);
    // So long that a machine that stands still for a second does not end it.
    let ttl = ctx.ttl(SHORT * 6);
    let mut lease = Lease::put(&ctx, &driver, &key, ttl).await?;
    for _ in 0..5 {
        tokio::time::sleep(ttl / 4).await;
        lease = lease.extend(&ctx, &driver, &key, ttl).await?;
        ensure_eq!(present(&reader, &key).await?.version, lease.version, "the version of the lease");
    }
    lease.ends_in_time(&reader, &key).await
}
