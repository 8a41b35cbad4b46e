//! Reading ranges.

use super::super::prelude::*;
use crate::calls::{names, numbered, put, put_all, scan};
use crate::failure::here;
use bytes::Bytes;
use linchpin_core::{Page, Range};

cases! { State "state";
    scan_ascends_by_bytes [] SCAN_ASCENDS_BY_BYTES
        "`scan` reads a range ascending by the keys' bytes";
    scan_pages_are_complete [] SCAN_PAGES_ARE_COMPLETE
        "A page has at most `limit` entries; pages one after the other tell every key once";
    a_large_range_is_read_in_pages [] LARGE_RANGE_IS_READ_IN_PAGES
        "A page has at most 1,000 entries, and says whether there may be more";
    a_page_starts_after_a_key_that_need_not_exist [] SCAN_PAGES_ARE_COMPLETE
        "A page starts after the key given, whether or not it exists";
    a_prefix_is_every_key_that_starts_with_it [] RANGE_OF_ONE_KEY_IS_THAT_KEY
        "A prefix is every key that starts with this text, and no other";
    a_prefix_is_taken_literally [] RANGE_OF_ONE_KEY_IS_THAT_KEY
        "A prefix is text: no character in it is a wildcard";
    a_range_of_one_key_is_that_key [] RANGE_OF_ONE_KEY_IS_THAT_KEY
        "A range is one key, or all that start with a prefix";
    keys_are_read_without_values [] KEYS_ARE_READ_WITHOUT_VALUES
        "Without values, entries have empty values; keys and versions are the same";
    an_empty_range_is_an_empty_page [] LARGE_RANGE_IS_READ_IN_PAGES
        "A page of a range in which there is nothing is empty, and there is no more";
    bad_pages_are_refused [] BAD_PAGES_ARE_REFUSED
        "A page's limit is at least 1 and at most `Page::MAX_LIMIT`";
}

#[track_caller]
fn put_each(driver: &Arc<dyn Driver>, keys: &[&str]) -> impl Future<Output = CaseResult> {
    here(async move {
        for key in keys {
            put(driver, &Key::new(key)?, (*key).to_owned()).await?;
        }
        Ok(())
    })
}

async fn scan_ascends_by_bytes(ctx: Context) -> CaseResult {
    let mut keys =
        ["b", "B", "a", "aa", "a/b", "a b", "a\u{1}", "~", "é", "e\u{301}", "\u{ffff}", "\u{10ffff}", "Z", "10", "9"];
    put_each(&ctx.driver(), &keys).await?;
    keys.sort_unstable_by_key(|key| key.as_bytes());
    ensure_eq!(names(&ctx.driver(), &Range::all()).await?, keys, "the keys");
    Ok(())
}

async fn scan_pages_are_complete(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("key-", 25)?;
    put_all(&driver, &keys, &Bytes::from_static(b"1")).await?;
    for limit in [1, 7, 25, 26] {
        let mut page = Page { limit, ..Page::first() };
        let mut told: Vec<Key> = Vec::new();
        loop {
            let read = driver.scan(&Range::all(), &page).await?;
            ensure!(read.entries.len() <= limit, "a page of {} entries, the limit is {limit}", read.entries.len());
            told.extend(read.entries.into_iter().map(|entry| entry.key));
            page.after = told.last().cloned();
            if !read.more {
                break;
            }
            ensure!(told.len() < 100, "pages of {limit} never end");
        }
        ensure_eq!(told, keys, "the keys in pages of {limit}");
    }
    Ok(())
}

async fn a_large_range_is_read_in_pages(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("key-", Page::MAX_LIMIT + 50)?;
    put_all(&driver, &keys, &Bytes::from_static(b"1")).await?;
    let first = driver.scan(&Range::all(), &Page::first()).await?;
    ensure!(first.more, "the first page says that there is no more after {} of 1050 keys", first.entries.len());
    let all: Vec<_> = scan(&driver, &Range::all()).await?.into_iter().map(|entry| entry.key).collect();
    ensure!(all == keys, "{} keys were written, {} were read, or out of order", keys.len(), all.len());
    Ok(())
}

async fn a_page_starts_after_a_key_that_need_not_exist(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    put_each(&driver, &["a", "c", "e"]).await?;
    for (after, rest) in [("b", &["c", "e"][..]), ("c", &["e"]), ("e", &[]), ("A", &["a", "c", "e"]), ("z", &[])] {
        let page = Page { after: Some(Key::new(after)?), ..Page::first() };
        let read = driver.scan(&Range::all(), &page).await?;
        let told: Vec<_> = read.entries.iter().map(|entry| entry.key.as_str()).collect();
        ensure_eq!(told, rest, "what comes after {after:?}");
    }
    Ok(())
}

async fn a_prefix_is_every_key_that_starts_with_it(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let within = ["ab", "ab\u{1}", "ab/c", "abc", "ab\u{10ffff}", "ab\u{10ffff}z"];
    put_each(&driver, &within).await?;
    put_each(&driver, &["a", "aB", "aa", "ac", "b", "AB", "a\u{10ffff}", " ab"]).await?;
    ensure_eq!(names(&driver, &Range::prefix("ab")?).await?, within, "the keys that start with ab");
    put_each(&driver, &["\u{10ffff}", "\u{10ffff}\u{10ffff}"]).await?;
    let last = names(&driver, &Range::prefix("\u{10ffff}")?).await?;
    ensure_eq!(last, ["\u{10ffff}", "\u{10ffff}\u{10ffff}"], "the keys that start with the last character there is");
    Ok(())
}

async fn a_prefix_is_taken_literally(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    put_each(&driver, &["a*", "a*b", "ab", "a?", "a[b]", "a\\b", "a%", "a_", "{a}"]).await?;
    for (prefix, keys) in [
        ("a*", &["a*", "a*b"][..]),
        ("*", &[]),
        ("a?", &["a?"]),
        ("a[", &["a[b]"]),
        ("a\\", &["a\\b"]),
        ("a%", &["a%"]),
        ("a_", &["a_"]),
        ("{", &["{a}"]),
    ] {
        ensure_eq!(names(&driver, &Range::prefix(prefix)?).await?, keys, "the keys that start with {prefix:?}");
    }
    Ok(())
}

async fn a_range_of_one_key_is_that_key(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    put_each(&driver, &["a", "ab", "abc", "b"]).await?;
    ensure_eq!(names(&driver, &Range::Key(Key::new("ab")?)).await?, ["ab"], "the range of the key ab");
    ensure!(names(&driver, &Range::Key(Key::new("none")?)).await?.is_empty(), "the range of an absent key");
    Ok(())
}

async fn keys_are_read_without_values(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    put_each(&driver, &["a", "b"]).await?;
    let mut with = driver.scan(&Range::all(), &Page::first()).await?.entries;
    let without = driver.scan(&Range::all(), &Page::first_keys()).await?.entries;
    for entry in &mut with {
        entry.value.clear();
    }
    ensure_eq!(without, with, "the entries without values");
    Ok(())
}

async fn an_empty_range_is_an_empty_page(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let written = put(&driver, &Key::new("a")?, "1").await?;
    let page = driver.scan(&Range::prefix("b")?, &Page::first()).await?;
    ensure!(page.entries.is_empty() && !page.more, "expected nothing and no more, got {page:?}");
    ensure!(page.revision >= written, "read at {} after {written}", page.revision);
    Ok(())
}

async fn bad_pages_are_refused(ctx: Context) -> CaseResult {
    for limit in [0, Page::MAX_LIMIT + 1] {
        let page = Page { limit, ..Page::first() };
        let read = ctx.driver().scan(&Range::all(), &page).await;
        fails_with(read, ErrorKind::InvalidArgument, format!("a page of {limit}"))?;
    }
    Ok(())
}
