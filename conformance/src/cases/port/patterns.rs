//! Keys by pattern.

use super::super::prelude::*;
use crate::calls::put_all;
use crate::failure::here;
use bytes::Bytes;
use linchpin_core::Area;

cases! { Port "port";
    keys_are_those_that_match [] KEYS_ARE_THOSE_THAT_MATCH
        "`keys`: the keys that match a pattern, ascending";
    patterns_take_hostile_characters_literally [] NAME_WITHOUT_WILDCARDS_IS_THAT_CHANNEL
        "Pattern: `\\` escapes; what is no wildcard is taken as it is";
    many_keys_are_found [] KEYS_ARE_THOSE_THAT_MATCH
        "`keys` reads every key with the pattern's literal prefix, page by page";
    delete_pattern_deletes_what_matches [] DELETE_PATTERN_DELETES_WHAT_MATCHES
        "`delete_pattern` deletes the keys that match a pattern; returns how many";
    delete_pattern_deletes_many [] DELETE_PATTERN_DELETES_WHAT_MATCHES
        "`delete_pattern` deletes the keys that match a pattern, however many";
    user_keys_are_apart [Ttl] USER_KEYS_ARE_APART
        "A user's key can never be taken for a node, a lock or a leader";
}

#[track_caller]
fn set_all(port: &dyn DistributedCoordination, keys: &[&str]) -> impl Future<Output = CaseResult> {
    here(async move {
        for key in keys {
            port.set(key, key.as_bytes(), None).await?;
        }
        Ok(())
    })
}

/// Sets `key-0000` to `key-1299`, quicker than one by one.
#[track_caller]
fn set_many(ctx: &Context) -> impl Future<Output = CaseResult> {
    here(async move {
        let keys = (0..1_300).map(|n| Area::USER.key(&format!("key-{n:04}"))).collect::<Result<Vec<_>, _>>()?;
        put_all(&ctx.driver(), &keys, &Bytes::from_static(b"1")).await
    })
}

async fn keys_are_those_that_match(ctx: Context) -> CaseResult {
    let port = ctx.port();
    set_all(&*port, &["user:7:name", "user:7", "user:12", "users", "cache/user:7", "User:7", "user:"]).await?;
    for (pattern, expected) in [
        ("user:*", &["user:", "user:12", "user:7", "user:7:name"][..]),
        ("user:?", &["user:7"]),
        ("user:[0-9][0-9]", &["user:12"]),
        ("user:[^7]*", &["user:12"]),
        ("*:7", &["User:7", "cache/user:7", "user:7"]),
        ("*user:7*", &["cache/user:7", "user:7", "user:7:name"]),
        ("user:7", &["user:7"]),
        ("nobody*", &[]),
        ("*", &["User:7", "cache/user:7", "user:", "user:12", "user:7", "user:7:name", "users"]),
    ] {
        ensure_eq!(port.keys(pattern).await?, expected, "the keys that match {pattern:?}");
    }
    Ok(())
}

async fn patterns_take_hostile_characters_literally(ctx: Context) -> CaseResult {
    let port = ctx.port();
    set_all(&*port, &["a*b", "a?b", "a[b]", "a\\b", "a%b", "a_b", "a.b", "a{b}", "axb", "a\nb", "a b", "é*", "ab"])
        .await?;
    for (pattern, expected) in [
        (r"a\*b", &["a*b"][..]),
        (r"a\?b", &["a?b"]),
        (r"a\[b\]", &["a[b]"]),
        (r"a\\b", &[r"a\b"]),
        ("a%b", &["a%b"]),
        ("a_b", &["a_b"]),
        ("a.b", &["a.b"]),
        ("a{b}", &["a{b}"]),
        ("a{*", &["a{b}"]),
        ("a\nb", &["a\nb"]),
        (r"é\**", &["é*"]),
        ("a?b", &["a\nb", "a b", "a%b", "a*b", "a.b", "a?b", r"a\b", "a_b", "axb"]),
    ] {
        ensure_eq!(port.keys(pattern).await?, expected, "the keys that match {pattern:?}");
    }
    Ok(())
}

async fn many_keys_are_found(ctx: Context) -> CaseResult {
    let port = ctx.port();
    set_many(&ctx).await?;
    let found = port.keys("key-*").await?;
    let expected: Vec<_> = (0..1_300).map(|n| format!("key-{n:04}")).collect();
    ensure!(found == expected, "{} of 1300 keys were found, or out of order", found.len());
    ensure_eq!(port.keys("key-*9").await?.len(), 130, "the keys that end in 9");
    Ok(())
}

async fn delete_pattern_deletes_what_matches(ctx: Context) -> CaseResult {
    let port = ctx.port();
    set_all(&*port, &["a:1", "a:2", "a*", "b:1", "a"]).await?;
    ensure_eq!(port.delete_pattern(r"a\*").await?, 1, "the keys called a*");
    ensure_eq!(port.delete_pattern("a:*").await?, 2, "the keys that start with a:");
    ensure_eq!(port.delete_pattern("a:*").await?, 0, "the keys that start with a: the second time");
    ensure_eq!(port.keys("*").await?, ["a", "b:1"], "the keys left");
    Ok(())
}

async fn delete_pattern_deletes_many(ctx: Context) -> CaseResult {
    let port = ctx.port();
    set_many(&ctx).await?;
    ensure_eq!(port.delete_pattern("key-*[02468]").await?, 650, "the keys with an even number");
    ensure_eq!(port.keys("*").await?.len(), 650, "the keys left");
    Ok(())
}

async fn user_keys_are_apart(ctx: Context) -> CaseResult {
    let port = ctx.port();
    port.register_node("n", None).await?;
    port.try_acquire_leadership("n", ctx.ttl(Duration::from_mins(1))).await?;
    ensure_eq!(port.keys("*").await?, Vec::<String>::new(), "the keys, though there is a node and a leader");
    // Names like those under which the port keeps its own.
    set_all(&*port, &["node/x", "election/default", "n", "user/x"]).await?;
    ensure_eq!(port.list_nodes().await?, ["n"], "the nodes");
    ensure_eq!(port.get_leader().await?.as_deref(), Some("n"), "the leader");
    ensure_eq!(port.delete_pattern("*").await?, 4, "the keys deleted");
    ensure_eq!(port.list_nodes().await?, ["n"], "the nodes after all keys were deleted");
    Ok(())
}
