//! Clearing.

use super::super::prelude::*;
use crate::calls::{names, numbered, put, put_all};
use bytes::Bytes;
use linchpin_core::Range;

cases! { State "state";
    clear_removes_every_key [] CLEAR_REMOVES_WHAT_STARTS_WITH_THE_PREFIX
        "`clear` removes every key, all with the empty prefix";
    clear_removes_what_starts_with_the_prefix [] CLEAR_REMOVES_WHAT_STARTS_WITH_THE_PREFIX
        "`clear` removes every key whose name starts with `prefix`, and nothing else";
    clearing_nothing_is_no_error [] CLEAR_REMOVES_WHAT_STARTS_WITH_THE_PREFIX
        "`clear` removes every key there is, so nothing where there is none";
    many_keys_are_cleared [] CLEAR_REMOVES_WHAT_STARTS_WITH_THE_PREFIX
        "`clear` removes every key, however many there are";
}

async fn clear_removes_every_key(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for key in ["a", "b/c", "\u{10ffff}", "*"] {
        put(&driver, &Key::new(key)?, "1").await?;
    }
    driver.clear("").await?;
    let left = names(&ctx.another().await?, &Range::all()).await?;
    ensure!(left.is_empty(), "keys are left after clear: {left:?}");
    Ok(())
}

async fn clear_removes_what_starts_with_the_prefix(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for key in ["a*", "a*/b", "a", "ab", "a?", "b/a*"] {
        put(&driver, &Key::new(key)?, "1").await?;
    }
    driver.clear("a*").await?;
    let left = names(&driver, &Range::all()).await?;
    ensure_eq!(left, ["a", "a?", "ab", "b/a*"], "what is left after clearing what starts with \"a*\"");
    Ok(())
}

async fn clearing_nothing_is_no_error(ctx: Context) -> CaseResult {
    ctx.driver().clear("").await?;
    ctx.driver().clear("nobody/").await?;
    Ok(())
}

async fn many_keys_are_cleared(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    put_all(&driver, &numbered("a/", 1500)?, &Bytes::from_static(b"1")).await?;
    put_all(&driver, &numbered("b/", 3)?, &Bytes::from_static(b"1")).await?;
    driver.clear("a/").await?;
    ensure_eq!(names(&driver, &Range::all()).await?.len(), 3, "the keys left");
    Ok(())
}
