//! What is written is what is read.

use super::super::prelude::*;
use crate::calls::{commit, delete, present, put, read, value};
use bytes::Bytes;
use linchpin_core::MutationResult;

cases! { State "state";
    put_then_get [] PUT_THEN_GET
        "`get` is linearizable: what a commit wrote, every later read returns";
    absent_is_nothing [] ABSENT_IS_NOTHING
        "A snapshot has `None` where the key does not exist";
    an_empty_value_is_a_value [] ANY_BYTES_ARE_A_VALUE
        "Values are bytes: a key with an empty value exists";
    any_bytes_are_a_value [] ANY_BYTES_ARE_A_VALUE
        "Values are bytes, whatever they are";
    a_rewrite_replaces_the_whole_value [] REWRITE_REPLACES_THE_WHOLE_VALUE
        "`Put` writes the value: nothing of an older, longer one is left";
    put_reports_when_the_key_came_to_be [] VERSIONS_GROW_AND_CREATED_STAYS
        "`Put` reports when the key came to be, the transaction's revision if this created it, and the TTL granted";
    delete_removes_and_reports [] DELETE_REMOVES_AND_REPORTS
        "`Delete` removes the key, if it exists, and reports whether there was something to delete";
    a_key_without_ttl_lives_for_ever [] KEY_WITHOUT_TTL_LIVES_FOR_EVER
        "An entry's TTL is how long it has left to live; `None` is for ever";
    value_at_the_limit [] VALUE_AT_THE_LIMIT
        "Values are bytes, at least 512 KiB of them: one of exactly the limit is stored";
    value_over_the_limit_is_refused [] VALUE_OVER_THE_LIMIT_IS_REFUSED
        "Over the limit is `InvalidArgument` before anything is sent";
}

async fn put_then_get(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("order:7")?);
    let revision = put(&driver, &key, "paid").await?;
    let entry = present(&driver, &key).await?;
    ensure_eq!(entry.key, key, "the entry's key");
    ensure_eq!(entry.value, "paid", "the entry's value");
    ensure_eq!((entry.created, entry.version), (revision, revision), "created and version");
    Ok(())
}

async fn absent_is_nothing(ctx: Context) -> CaseResult {
    ensure_eq!(read(&ctx.driver(), &Key::new("nobody")?).await?, None, "a key that nobody wrote");
    Ok(())
}

async fn an_empty_value_is_a_value(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("empty")?);
    put(&driver, &key, "").await?;
    ensure_eq!(present(&driver, &key).await?.value, "", "the empty value");
    commit(&driver, Transaction::new().present(key)).await?;
    Ok(())
}

async fn any_bytes_are_a_value(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("bytes")?);
    let all: Vec<u8> = (0..=u8::MAX).chain((0..=u8::MAX).rev()).collect();
    for bytes in [all, vec![0], vec![0xff, 0xfe], b"\r\n+OK\r\n".to_vec(), b"nil".to_vec()] {
        put(&driver, &key, bytes.clone()).await?;
        ensure_eq!(present(&driver, &key).await?.value, bytes, "the bytes");
    }
    Ok(())
}

async fn a_rewrite_replaces_the_whole_value(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    for text in ["a rather long value", "short", ""] {
        put(&driver, &key, text).await?;
        ensure_eq!(present(&driver, &key).await?.value, text, "the value");
    }
    Ok(())
}

async fn put_reports_when_the_key_came_to_be(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let first = commit(&driver, Transaction::new().put(key.clone(), "1", None)).await?;
    let second = commit(&driver, Transaction::new().put(key.clone(), "2", None)).await?;
    let created = MutationResult::Put { created: first.revision, ttl: None };
    ensure_eq!(first.results, [created], "the result of creating");
    ensure_eq!(second.results, [created], "the result of rewriting");
    Ok(())
}

async fn delete_removes_and_reports(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    ensure!(!delete(&driver, &key).await?, "deleting an absent key says that it existed");
    put(&driver, &key, "1").await?;
    ensure!(delete(&driver, &key).await?, "deleting a key says that it did not exist");
    ensure_eq!(read(&driver, &key).await?, None, "the deleted key");
    ensure!(!delete(&driver, &key).await?, "deleting twice says that it existed twice");
    Ok(())
}

async fn a_key_without_ttl_lives_for_ever(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    put(&driver, &key, "1").await?;
    ensure_eq!(present(&driver, &key).await?.ttl, None, "its ttl");
    Ok(())
}

async fn value_at_the_limit(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("large")?);
    let largest = Bytes::from(vec![0xa5; ctx.capabilities().limits.value]);
    put(&driver, &key, largest.clone()).await?;
    ensure!(value(&driver, &key).await? == Some(largest), "the largest value came back as another one");
    Ok(())
}

async fn value_over_the_limit_is_refused(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("too-large")?);
    let over = vec![0xa5; ctx.capabilities().limits.value + 1];
    let put = Transaction::new().put(key.clone(), over, None);
    fails_with(driver.commit(&put).await, ErrorKind::InvalidArgument, "a value over the limit")?;
    ensure_eq!(read(&driver, &key).await?, None, "the key of a refused put");
    Ok(())
}
