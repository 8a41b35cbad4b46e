//! Keys, one by one.

use super::super::prelude::*;
use crate::calls::put_all;
use crate::failure::here;
use crate::recipes::{coordinator, keys_in, short};
use crate::stream_calls::{append, claim, take_one};
use crate::waiting::{LONG, Meanwhile, soon, timed};
use bytes::Bytes;
use linchpin::lock::LOCKS;
use linchpin_core::{Area, StreamInfo, StreamName};

cases! { Port "port";
    set_then_get [] SET_THEN_GET
        "`set` writes a key, `get` has its value";
    set_for_a_time [Ttl] SET_THEN_GET
        "`set` writes a key, for ever or for a time";
    exists_tells_whether_it_does [] EXISTS_TELLS_WHETHER_IT_DOES
        "`exists`: whether a key exists";
    ttl_tells_how_long [Ttl] TTL_TELLS_HOW_LONG
        "`ttl`: how long a key has left; `None` if it does not exist or lives for ever";
    incr_counts [] INCR_COUNTS
        "`incr` adds to a counter and returns its new value; an absent one counts as 0";
    incr_keeps_its_ttl [Ttl] INCR_COUNTS
        "`incr`: an absent counter lives for `ttl`";
    incr_of_text_is_a_conflict [] INCR_OF_TEXT_IS_A_CONFLICT
        "`Conflict`: what is stored stands in the way";
    delete_tells_whether_it_existed [] DELETE_TELLS_WHETHER_IT_EXISTED
        "`delete` deletes a key; returns whether it existed";
    delete_many_counts_what_existed [] DELETE_TELLS_WHETHER_IT_EXISTED
        "`delete_many` deletes keys; returns how many existed";
    delete_many_takes_any_number [] DELETE_TELLS_WHETHER_IT_EXISTED
        "`delete_many` is atomic up to the backend's limit of operations per transaction, in several transactions beyond";
    delete_many_is_atomic [MultiKey] DELETE_MANY_IS_ATOMIC
        "`delete_many` is atomic up to the backend's limit of operations per transaction: a reader sees all of them or none";
    too_large_a_value_is_refused [] INCR_OF_TEXT_IS_A_CONFLICT
        "`InvalidArgument` for a value that is not allowed, before anything is sent";
    flush_all_removes_everything [] FLUSH_ALL_REMOVES_EVERYTHING
        "`flush_all` removes everything in this namespace, and nothing outside it";
    flush_all_removes_the_cluster [Ttl] FLUSH_ALL_REMOVES_EVERYTHING
        "`flush_all` removes everything in this namespace: keys, nodes, leadership";
    flush_all_removes_locks_and_streams [Ttl, Watch, Streams] FLUSH_ALL_REMOVES_LOCKS_AND_STREAMS
        "`flush_all` removes everything in this namespace: locks and streams";
}

async fn set_then_get(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    ensure_eq!(other.get("k").await?, None, "an absent key");
    for value in [&b"1"[..], b"", &[0, 0xff], "é🦀".as_bytes()] {
        port.set("k", value, None).await?;
        ensure_eq!(other.get("k").await?.as_deref(), Some(value), "the value");
    }
    Ok(())
}

async fn set_for_a_time(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let ttl = ctx.ttl(Duration::from_millis(250));
    let set = timed(port.set("k", b"1", Some(ttl))).await?;
    let look = async || Ok((!port.exists("k").await?).then_some(()));
    set.window(ttl, ctx.ttl_slack()).sees("the end of the key", look).await?;
    port.set("k", b"2", Some(ctx.ttl(LONG))).await?;
    port.set("k", b"3", None).await?;
    ensure_eq!(port.ttl("k").await?, None, "the ttl of a key set for ever");
    Ok(())
}

async fn exists_tells_whether_it_does(ctx: Context) -> CaseResult {
    let port = ctx.port();
    ensure!(!port.exists("k").await?, "an absent key exists");
    port.set("k", b"", None).await?;
    ensure!(port.exists("k").await?, "a key with an empty value does not exist");
    port.delete("k").await?;
    ensure!(!port.exists("k").await?, "a deleted key exists");
    Ok(())
}

async fn ttl_tells_how_long(ctx: Context) -> CaseResult {
    let (port, ttl) = (ctx.port(), ctx.ttl(LONG));
    ensure_eq!(port.ttl("k").await?, None, "the ttl of an absent key");
    port.set("k", b"1", None).await?;
    ensure_eq!(port.ttl("k").await?, None, "the ttl of a key that lives for ever");
    port.set("k", b"1", Some(ttl)).await?;
    let left = port.ttl("k").await?;
    ensure!(left.is_some_and(|left| left <= ttl && left > ttl / 2), "a key for {ttl:?} has {left:?} left");
    Ok(())
}

async fn incr_counts(ctx: Context) -> CaseResult {
    let (port, other) = (ctx.port(), ctx.another_port().await?);
    for (delta, expected) in [(1, 1), (41, 42), (-50, -8), (0, -8)] {
        ensure_eq!(port.incr("hits", delta, None).await?, expected, "the counter after adding {delta}");
    }
    ensure_eq!(other.get("hits").await?.as_deref(), Some(&b"-8"[..]), "the counter as a value");
    Ok(())
}

async fn incr_keeps_its_ttl(ctx: Context) -> CaseResult {
    let (port, ttl) = (ctx.port(), ctx.ttl(LONG));
    port.incr("hits", 1, Some(ttl)).await?;
    port.incr("hits", 1, Some(ctx.ttl(LONG * 10))).await?;
    port.incr("hits", 1, None).await?;
    let left = port.ttl("hits").await?;
    ensure!(left.is_some_and(|left| left <= ttl), "a counter created for {ttl:?} has {left:?} left");
    Ok(())
}

async fn incr_of_text_is_a_conflict(ctx: Context) -> CaseResult {
    let port = ctx.port();
    port.set("name", b"text", None).await?;
    let error = fails_with(port.incr("name", 1, None).await, ErrorKind::Conflict, "adding to text")?;
    ensure_eq!((error.operation(), error.subject()), ("incr", Some("name")), "operation and key, as the user wrote it");
    Ok(())
}

async fn delete_tells_whether_it_existed(ctx: Context) -> CaseResult {
    let port = ctx.port();
    ensure!(!port.delete("k").await?, "deleting an absent key says that it existed");
    port.set("k", b"1", None).await?;
    ensure!(port.delete("k").await?, "deleting a key says that it did not exist");
    ensure_eq!(port.get("k").await?, None, "the deleted key");
    Ok(())
}

async fn delete_many_counts_what_existed(ctx: Context) -> CaseResult {
    let port = ctx.port();
    for key in ["a", "b", "c"] {
        port.set(key, b"1", None).await?;
    }
    ensure_eq!(port.delete_many(&[]).await?, 0, "deleting nothing");
    ensure_eq!(port.delete_many(&["a", "absent", "b", "a", "a"]).await?, 2, "deleting a three times, b, and another");
    ensure_eq!(port.keys("*").await?, ["c"], "the keys left");
    Ok(())
}

async fn delete_many_takes_any_number(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let count = ctx.capabilities().limits.transaction_operations.min(300) * 2 + 1;
    let names: Vec<_> = (0..count).map(|n| format!("key-{n}")).collect();
    for name in names.iter().step_by(10) {
        port.set(name, b"1", None).await?;
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    ensure_eq!(port.delete_many(&names).await?, count.div_ceil(10), "the keys that existed of {count}");
    ensure_eq!(port.keys("*").await?, Vec::<String>::new(), "the keys left");
    Ok(())
}

async fn too_large_a_value_is_refused(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let over = vec![0; ctx.capabilities().limits.value + 1];
    let error = fails_with(port.set("k", &over, None).await, ErrorKind::InvalidArgument, "too large a value")?;
    ensure_eq!((error.operation(), error.subject()), ("set", Some("k")), "operation and key, as the user wrote it");
    Ok(())
}

async fn flush_all_removes_everything(ctx: Context) -> CaseResult {
    let port = ctx.port();
    let elsewhere: Arc<dyn DistributedCoordination> = Arc::new(linchpin_core::Port::over(ctx.elsewhere().await?));
    port.set("k", b"ours", None).await?;
    port.incr("hits", 1, None).await?;
    elsewhere.set("k", b"theirs", None).await?;
    port.flush_all().await?;
    ensure_eq!(port.keys("*").await?, Vec::<String>::new(), "the keys left");
    ensure_eq!(elsewhere.get("k").await?.as_deref(), Some(&b"theirs"[..]), "the value in another namespace");
    Ok(())
}

async fn flush_all_removes_the_cluster(ctx: Context) -> CaseResult {
    let port = ctx.port();
    port.register_node("node-1", None).await?;
    port.try_acquire_leadership("node-1", ctx.ttl(LONG)).await?;
    port.flush_all().await?;
    ensure_eq!(port.list_nodes().await?, Vec::<String>::new(), "the nodes left");
    ensure_eq!(port.get_leader().await?, None, "the leader left");
    Ok(())
}

async fn delete_many_is_atomic(ctx: Context) -> CaseResult {
    const ROUNDS: usize = 20;
    let (driver, reader) = (ctx.driver(), ctx.another().await?);
    let count = ctx.capabilities().limits.transaction_operations.min(100);
    let names: Arc<[String]> = (0..count).map(|n| format!("key-{n}")).collect();
    let keys = names.iter().map(|name| Area::USER.key(name)).collect::<Result<Vec<_>, _>>()?;
    for round in 0..ROUNDS {
        put_all(&driver, &keys, &Bytes::from_static(b"1")).await?;
        let mut deleting = Meanwhile::start(delete_all(ctx.port(), names.clone()));
        let mut goes_on = true;
        while goes_on {
            goes_on = deleting.goes_on().await?;
            let snapshot = reader.get(&keys).await?;
            let seen = snapshot.entries.iter().flatten().count();
            let whole = seen == 0 || (goes_on && seen == count);
            ensure!(whole, "round {round}: a reader saw {seen} of {count} keys that are deleted together");
        }
    }
    Ok(())
}

#[track_caller]
fn delete_all(port: Arc<dyn DistributedCoordination>, names: Arc<[String]>) -> impl Future<Output = CaseResult> {
    here(async move {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        ensure_eq!(port.delete_many(&names).await?, names.len(), "the keys deleted");
        Ok(())
    })
}

async fn flush_all_removes_locks_and_streams(ctx: Context) -> CaseResult {
    let (node, driver) = (coordinator(&ctx).await?, ctx.driver());
    let guard = node.lock("l").ttl(short(&ctx)).acquire().await?;
    append(&driver, "s", &["1", "2"]).await?;
    take_one(&driver, claim("s", "g", "m")?).await?;
    node.flush_all().await?;
    ensure_eq!(keys_in(&driver, LOCKS).await?, 0, "the places in queues of locks that are left");
    ensure_eq!(driver.inspect(&StreamName::new("s")?).await?, StreamInfo::default(), "what is left of the stream");
    let next = coordinator(&ctx).await?.lock("l").try_acquire().await?;
    ensure!(next.is_some(), "a lock is still held after everything was removed");
    soon("the loss of the lock that was removed", guard.lost()).await
}
