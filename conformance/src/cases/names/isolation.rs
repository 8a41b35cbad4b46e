//! Namespaces: nothing reaches out of one.

use super::super::prelude::*;
use crate::calls::{names, present, put, read, value};
use crate::failure::here;
use crate::readers::{Listener, Watcher};
use crate::stream_calls::{append, claim, take_nothing, take_one, text};
use linchpin_core::{Range, StreamInfo, StreamName};

cases! { Names "names";
    keys_stay_in_their_namespace [] KEYS_STAY_IN_THEIR_NAMESPACE
        "Everything a driver touches lies in one namespace: the same key is another one elsewhere";
    watches_stay_in_their_namespace [Watch] KEYS_STAY_IN_THEIR_NAMESPACE
        "Everything a driver touches lies in one namespace: watchers are told of no other's keys";
    messages_stay_in_their_namespace [Messages] KEYS_STAY_IN_THEIR_NAMESPACE
        "Everything a driver touches lies in one namespace, channels included";
    streams_stay_in_their_namespace [Streams] KEYS_STAY_IN_THEIR_NAMESPACE
        "Everything a driver touches lies in one namespace, streams and groups included";
    clear_stays_in_its_namespace [] CLEAR_STAYS_IN_ITS_NAMESPACE
        "`clear` and `flush_all` never touch anything outside";
    clear_leaves_other_streams [Streams] CLEAR_STAYS_IN_ITS_NAMESPACE
        "`clear` and `flush_all` never touch anything outside, streams included";
    handles_of_one_namespace_share_it [] HANDLES_OF_ONE_NAMESPACE_SHARE_IT
        "Every handle to a namespace sees the same";
}

/// A namespace with another name, and those whose names a careless adapter would confuse with ours.
#[track_caller]
fn neighbours(ctx: &Context) -> impl Future<Output = Result<Vec<Arc<dyn Driver>>, Failure>> {
    here(async move {
        let mut neighbours = vec![ctx.elsewhere().await?];
        for suffix in ["2", ".a", "-a", "_"] {
            neighbours.push(ctx.next_door(suffix).await?);
        }
        Ok(neighbours)
    })
}

async fn keys_stay_in_their_namespace(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    put(&driver, &key, "ours").await?;
    for neighbour in neighbours(&ctx).await? {
        ensure_eq!(read(&neighbour, &key).await?, None, "our key, as a neighbour reads it");
        put(&neighbour, &key, "theirs").await?;
        ensure_eq!(names(&neighbour, &Range::all()).await?, ["k"], "the neighbour's keys");
    }
    ensure_eq!(present(&driver, &key).await?.value, "ours", "our value");
    ensure_eq!(names(&driver, &Range::all()).await?, ["k"], "our keys");
    Ok(())
}

async fn watches_stay_in_their_namespace(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let (mut watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    for neighbour in neighbours(&ctx).await? {
        put(&neighbour, &Key::new("theirs")?, "1").await?;
    }
    put(&driver, &key, "ours").await?;
    watcher.put(&key).await?;
    Ok(())
}

async fn messages_stay_in_their_namespace(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut all = Listener::open(&driver, "*").await?;
    let mut exact = Listener::open(&driver, "c").await?;
    for neighbour in neighbours(&ctx).await? {
        let mut theirs = Listener::open(&neighbour, "*").await?;
        neighbour.publish(&Channel::new("c")?, "theirs".into()).await?;
        ensure_eq!(theirs.text().await?.1, "theirs", "what the neighbour is told");
    }
    driver.publish(&Channel::new("c")?, "ours".into()).await?;
    ensure_eq!(all.text().await?.1, "ours", "what we are told");
    ensure_eq!(exact.text().await?.1, "ours", "what we are told");
    Ok(())
}

async fn streams_stay_in_their_namespace(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["ours"]).await?;
    for neighbour in neighbours(&ctx).await? {
        ensure_eq!(neighbour.inspect(&StreamName::new("s")?).await?, StreamInfo::default(), "the neighbour's stream");
        take_nothing(&neighbour, &claim("s", "g", "m")?, "the record is ours").await?;
        append(&neighbour, "s", &["theirs"]).await?;
        ensure_eq!(text(&take_one(&neighbour, claim("s", "g", "m")?).await?), "theirs", "the neighbour's record");
    }
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "ours", "our record");
    take_nothing(&driver, &claim("s", "g", "m")?, "the other records are the neighbours'").await
}

async fn clear_stays_in_its_namespace(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let neighbours = neighbours(&ctx).await?;
    for neighbour in &neighbours {
        put(neighbour, &key, "theirs").await?;
    }
    put(&driver, &key, "ours").await?;
    driver.clear("").await?;
    driver.clear("k").await?;
    for neighbour in &neighbours {
        ensure_eq!(value(neighbour, &key).await?.as_deref(), Some(&b"theirs"[..]), "the neighbour's value");
    }
    ensure_eq!(read(&driver, &key).await?, None, "our key");
    put(&driver, &key, "ours again").await?;
    for neighbour in &neighbours {
        neighbour.clear("").await?;
    }
    ensure_eq!(present(&driver, &key).await?.value, "ours again", "our value after the neighbours cleared");
    Ok(())
}

async fn clear_leaves_other_streams(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let neighbours = neighbours(&ctx).await?;
    for neighbour in &neighbours {
        append(neighbour, "s", &["theirs"]).await?;
    }
    append(&driver, "s", &["ours"]).await?;
    driver.clear("").await?;
    for neighbour in &neighbours {
        ensure_eq!(text(&take_one(neighbour, claim("s", "g", "m")?).await?), "theirs", "the neighbour's record");
    }
    Ok(())
}

async fn handles_of_one_namespace_share_it(ctx: Context) -> CaseResult {
    let handles = [ctx.driver(), ctx.another().await?, ctx.driver().clone(), ctx.another().await?];
    for (n, writer) in handles.iter().enumerate() {
        let key = Key::new(format!("key-{n}"))?;
        put(writer, &key, "shared").await?;
        for reader in &handles {
            ensure_eq!(present(reader, &key).await?.value, "shared", "the value");
        }
    }
    Ok(())
}
