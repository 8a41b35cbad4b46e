//! Names that are refused: empty, too long, with NUL.

use super::super::prelude::*;
use linchpin_core::Namespace;

cases! { Names "names";
    bad_keys_are_refused [] BAD_KEYS_ARE_REFUSED
        "A key has 1 to 512 bytes without NUL: another is `InvalidArgument`, before anything is sent";
    bad_channels_are_refused [] BAD_KEYS_ARE_REFUSED
        "A channel has 1 to 512 bytes without NUL: another is `InvalidArgument`, before anything is sent";
    bad_nodes_are_refused [] BAD_KEYS_ARE_REFUSED
        "A node has 1 to 128 bytes without NUL: another is `InvalidArgument`, before anything is sent";
    bad_patterns_are_refused [] BAD_PATTERNS_ARE_REFUSED
        "A malformed pattern is `InvalidArgument`, before anything is sent";
    namespaces_have_a_small_alphabet [] NAMESPACES_HAVE_A_SMALL_ALPHABET
        "A namespace is `[a-z0-9][a-z0-9._-]{0,62}`";
}

/// Names that are not allowed, `max` bytes being the most.
fn bad(max: usize) -> [String; 5] {
    [String::new(), "a\0b".to_owned(), "\0".to_owned(), "x".repeat(max + 1), "é".repeat(max / 2 + 1)]
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: linchpin_core::Result<T>, what: &str, name: &str) -> CaseResult {
    let error = fails_with(result, ErrorKind::InvalidArgument, format_args!("{what} {:?}", name.get(..20)))?;
    ensure!(!error.maybe_applied(), "{what}: nothing was sent, but the error says that it may have been applied");
    Ok(())
}

async fn bad_keys_are_refused(ctx: Context) -> CaseResult {
    let port = ctx.port();
    for name in bad(512) {
        refused(port.get(&name).await, "get", &name)?;
        refused(port.set(&name, b"1", None).await, "set", &name)?;
        refused(port.exists(&name).await, "exists", &name)?;
        refused(port.ttl(&name).await, "ttl", &name)?;
        refused(port.incr(&name, 1, None).await, "incr", &name)?;
        refused(port.delete(&name).await, "delete", &name)?;
        refused(port.delete_many(&["good", &name]).await, "delete_many", &name)?;
    }
    ensure_eq!(port.keys("*").await?, Vec::<String>::new(), "the keys");
    Ok(())
}

async fn bad_channels_are_refused(ctx: Context) -> CaseResult {
    let port = ctx.port();
    for name in bad(512) {
        refused(port.publish(&name, b"1").await, "publish", &name)?;
        let acked = port.publish_with_ack(&name, b"1", Duration::from_secs(1)).await;
        refused(acked, "publish_with_ack", &name)?;
        refused(port.subscribe(&name).await.map(|_| "a subscription"), "subscribe", &name)?;
    }
    Ok(())
}

async fn bad_nodes_are_refused(ctx: Context) -> CaseResult {
    let (port, minute) = (ctx.port(), Duration::from_mins(1));
    for name in bad(128) {
        refused(port.register_node(&name, None).await, "register_node", &name)?;
        refused(port.heartbeat(&name, minute).await, "heartbeat", &name)?;
        refused(port.get_node_metadata(&name).await, "get_node_metadata", &name)?;
        refused(port.try_acquire_leadership(&name, minute).await, "try_acquire_leadership", &name)?;
        refused(port.release_leadership(&name).await, "release_leadership", &name)?;
    }
    Ok(())
}

async fn bad_patterns_are_refused(ctx: Context) -> CaseResult {
    let port = ctx.port();
    for pattern in ["", "a\\", "[", "[a", "[]", "[^]", "[z-a]", "a\0*"] {
        refused(port.keys(pattern).await, "keys", pattern)?;
        refused(port.delete_pattern(pattern).await, "delete_pattern", pattern)?;
        refused(port.subscribe(pattern).await.map(|_| "a subscription"), "subscribe", pattern)?;
    }
    Ok(())
}

async fn namespaces_have_a_small_alphabet(_: Context) -> CaseResult {
    for bad in ["", "A", "-a", ".a", "_a", "a b", "a:b", "a/b", "a{b}", "é", "a\0", &"n".repeat(64)] {
        fails_with(Namespace::new(bad), ErrorKind::InvalidArgument, format_args!("the namespace {bad:?}"))?;
    }
    for good in ["a", "0", "a.b_c-d", &"n".repeat(63)] {
        Namespace::new(good)?;
    }
    Ok(())
}
