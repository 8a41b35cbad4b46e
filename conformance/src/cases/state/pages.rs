//! What a page has, and which keys are in it.

use super::super::prelude::*;
use crate::calls::{numbered, present, put, put_all};
use crate::lease::Lease;
use crate::waiting::LONG;
use bytes::Bytes;
use linchpin_core::{Page, Range};

cases! { State "state";
    a_page_is_read_through_another_handle [] PUT_THEN_GET
        "A page sees every write that was answered before it began";
    thousands_of_keys_are_read_at_once [] ENTRIES_COME_IN_THE_ORDER_ASKED
        "`get` answers however many there are";
    one_key_has_pages_too [] LARGE_RANGE_IS_READ_IN_PAGES
        "A page of one key starts after the key given and has values only if asked";
    a_page_may_start_before_its_range [] LARGE_RANGE_IS_READ_IN_PAGES
        "A page starts after a key that need not lie in its range";
    keys_without_values_are_told_whole [Ttl] KEYS_ARE_READ_WITHOUT_VALUES
        "A page without values has the same created, version and ttl";
}

async fn a_page_is_read_through_another_handle(ctx: Context) -> CaseResult {
    let (one, other, key) = (ctx.driver(), ctx.another().await?, Key::new("k")?);
    for n in 0..50 {
        let (writer, reader) = (&one, &other);
        let version = put(writer, &key, n.to_string()).await?;
        for page in [Page::first(), Page::first_keys()] {
            let read = reader.scan(&Range::all(), &page).await?.entries;
            ensure_eq!(read.first().map(|e| e.version), Some(version), "the version just written elsewhere");
        }
    }
    Ok(())
}

async fn thousands_of_keys_are_read_at_once(ctx: Context) -> CaseResult {
    let (driver, keys) = (ctx.driver(), numbered("key-", 2500)?);
    put_all(&driver, &keys, &Bytes::from_static(b"1")).await?;
    let found = driver.get(&keys).await?.entries;
    ensure!(
        found.iter().flatten().map(|e| &e.key).eq(&keys),
        "{} of 2500 keys were read",
        found.iter().flatten().count()
    );
    Ok(())
}

async fn one_key_has_pages_too(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("b")?);
    put(&driver, &key, "1").await?;
    for (after, count) in [("a", 1), ("b", 0), ("c", 0)] {
        let page = Page { after: Some(Key::new(after)?), ..Page::first_keys() };
        let read = driver.scan(&Range::Key(key.clone()), &page).await?;
        ensure_eq!((read.entries.len(), read.more), (count, false), "the page of one key after {after:?}");
        ensure!(read.entries.iter().all(|e| e.value.is_empty()), "a page without values has one");
    }
    Ok(())
}

async fn a_page_may_start_before_its_range(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for key in ["a", "b1", "b2", "c"] {
        put(&driver, &Key::new(key)?, "1").await?;
    }
    for (after, rest) in
        [("a", &["b1", "b2"][..]), ("A", &["b1", "b2"]), ("b", &["b1", "b2"]), ("b1", &["b2"]), ("c", &[])]
    {
        let read = driver.scan(&Range::prefix("b")?, &Page { after: Some(Key::new(after)?), ..Page::first() }).await?;
        let told: Vec<_> = read.entries.iter().map(|e| e.key.as_str()).collect();
        ensure_eq!(told, rest, "what starts with b after {after:?}");
    }
    Ok(())
}

async fn keys_without_values_are_told_whole(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    put(&driver, &key, "1").await?;
    Lease::put(&ctx, &driver, &key, ctx.ttl(LONG)).await?;
    let stands = present(&driver, &key).await?;
    for limit in [10, Page::MAX_LIMIT] {
        let read = driver.scan(&Range::all(), &Page { limit, ..Page::first_keys() }).await?.entries;
        let told = (read[0].created, read[0].version, read[0].ttl.is_some());
        ensure_eq!(told, (stands.created, stands.version, true), "created, version and whether a ttl, without values");
    }
    Ok(())
}
