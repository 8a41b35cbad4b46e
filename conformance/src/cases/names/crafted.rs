//! Names and patterns by which one might try to reach out of a namespace.

use super::super::prelude::*;
use crate::calls::{names, put, read, value};
use crate::failure::here;
use crate::readers::Listener;
use crate::stream_calls::{append, claim, settle_own, take_one, text};
use crate::waiting::LONG;
use linchpin_core::{Action, Area, Range, Retention, StreamName};

cases! { Names "names";
    crafted_keys_do_not_reach_out [] CRAFTED_KEYS_DO_NOT_REACH_OUT
        "No key, channel or pattern, however crafted, reaches out of its namespace";
    crafted_channels_do_not_reach_out [Messages] CRAFTED_KEYS_DO_NOT_REACH_OUT
        "No key, channel or pattern, however crafted, reaches out of its namespace: no channel either";
    crafted_patterns_do_not_reach_out [Messages] CRAFTED_PATTERNS_DO_NOT_REACH_OUT
        "No pattern, however crafted, reaches out of its namespace: neither to others' channels nor to their keys";
    crafted_streams_do_not_reach_out [Streams] CRAFTED_PATTERNS_DO_NOT_REACH_OUT
        "No name of a stream, group or member, however crafted, reaches out of its namespace";
}

/// Names by which one might try to step from our namespace into the one called `other`.
fn crafted(own: &str, other: &str) -> Vec<String> {
    let mut names = Vec::new();
    for separator in ["/", ":", ".", "-", "|", "}:", "\u{1}", "", " ", "//"] {
        names.push(format!("{separator}2{separator}k"));
        names.push(format!("{other}{separator}k"));
        names.push(format!("..{separator}{other}{separator}k"));
        names.push(format!("{{{other}}}{separator}k"));
        names.push(format!("linchpin{separator}{other}{separator}k"));
        names.push(format!("{own}{separator}k"));
    }
    names.extend(["..", "../..", "*", ">", "\\", "*/k", "2", "2/k", "\u{10ffff}"].map(str::to_owned));
    names.sort_unstable();
    names.dedup();
    names
}

async fn crafted_keys_do_not_reach_out(ctx: Context) -> CaseResult {
    let (driver, own) = (ctx.driver(), ctx.namespace().as_str());
    let next_door = ctx.next_door("2").await?;
    put(&next_door, &Key::new("k")?, "theirs").await?;
    let crafted = crafted(own, &format!("{own}2"));
    for name in &crafted {
        let key = Key::new(name)?;
        ensure_eq!(read(&driver, &key).await?, None, "{name:?}, before it was written");
        put(&driver, &key, "ours").await?;
        driver.clear(name).await?;
        put(&driver, &key, "ours").await?;
        ensure!(names(&driver, &Range::prefix(name)?).await?.contains(name), "{name:?} is not in its own range");
    }
    ensure_eq!(names(&next_door, &Range::all()).await?, ["k"], "the neighbour's keys");
    ensure_eq!(value(&next_door, &Key::new("k")?).await?.as_deref(), Some(&b"theirs"[..]), "the neighbour's value");
    Ok(())
}

async fn crafted_channels_do_not_reach_out(ctx: Context) -> CaseResult {
    let (driver, own) = (ctx.driver(), ctx.namespace().as_str());
    let next_door = ctx.next_door("2").await?;
    let mut theirs = Listener::open(&next_door, "*").await?;
    let mut ours = Listener::open(&driver, "*").await?;
    let crafted = crafted(own, &format!("{own}2"));
    let mut exact = Vec::new();
    for name in &crafted {
        exact.push(Listener::exactly(&driver, name).await?);
    }
    next_door.publish(&Channel::new("k")?, "theirs".into()).await?;
    ensure_eq!(theirs.text().await?, ("k".to_owned(), "theirs".to_owned()), "what the neighbour is told");
    for (name, listener) in crafted.iter().zip(&mut exact) {
        driver.publish(&Channel::new(name)?, "ours".into()).await?;
        ensure_eq!(listener.text().await?, (name.clone(), "ours".to_owned()), "what we are told");
        ensure_eq!(ours.text().await?.0, *name, "what we are told");
    }
    next_door.publish(&Channel::new("k")?, "the end".into()).await?;
    ensure_eq!(theirs.text().await?.1, "the end", "what the neighbour is told next");
    Ok(())
}

/// Patterns by which one might try to match what lies in the namespace called `other`, each with a name of
/// our own that it matches.
fn crafted_patterns(own: &str, other: &str) -> Vec<(String, String)> {
    let wild = ["*", "**", "?*", "*?", "?", "*k", "*[k]", "[^a]", "[^a]*", "[!-~]*", "[^\u{10ffff}]*"];
    let mut patterns: Vec<(String, String)> = wild.map(|pattern| (pattern.to_owned(), "k".to_owned())).into();
    let beside = [format!("{{{other}}}"), format!("../{other}/"), format!("{other}/"), format!("{other}:")];
    let starts = ["2", "2/", "2:", "}", "}:", "..", "../", "/", ":", ".", "{", own, other];
    for start in starts.into_iter().chain(beside.iter().map(String::as_str)) {
        patterns.push((format!("{start}*"), format!("{start}k")));
        patterns.push((format!("*{start}*k"), format!("{start}k")));
    }
    patterns
}

async fn crafted_patterns_do_not_reach_out(ctx: Context) -> CaseResult {
    let (driver, own) = (ctx.driver(), ctx.namespace().as_str());
    let next_door = ctx.next_door("2").await?;
    let patterns = crafted_patterns(own, &format!("{own}2"));
    let mut theirs = Listener::open(&next_door, "*").await?;
    let mut ours = Vec::new();
    for (pattern, _) in &patterns {
        ours.push(Listener::open(&driver, pattern).await?);
    }
    for (_, name) in &patterns {
        next_door.publish(&Channel::new(name)?, "theirs".into()).await?;
        ensure_eq!(theirs.text().await?, (name.clone(), "theirs".to_owned()), "what the neighbour is told");
    }
    for (nth, (_, name)) in patterns.iter().enumerate() {
        driver.publish(&Channel::new(name)?, nth.to_string().into()).await?;
    }
    for (nth, ((pattern, _), listener)) in patterns.iter().zip(&mut ours).enumerate() {
        // Up to its own message: what it was told of the neighbour's came before that.
        let mut told = String::new();
        while told != nth.to_string() {
            let (channel, payload) = listener.text().await?;
            ensure!(payload != "theirs", "{pattern:?} reached the neighbour's channel {channel:?}");
            told = payload;
        }
    }
    patterns_delete_our_keys(&ctx, &patterns, &next_door).await
}

/// Deletes a key of ours by each pattern, and none of the neighbour's.
#[track_caller]
fn patterns_delete_our_keys(
    ctx: &Context,
    patterns: &[(String, String)],
    next_door: &Arc<dyn Driver>,
) -> impl Future<Output = CaseResult> {
    here(async move {
        let port = ctx.port();
        for (_, name) in patterns {
            put(next_door, &Area::USER.key(name)?, "theirs").await?;
        }
        let theirs = names(next_door, &Range::all()).await?;
        for (pattern, name) in patterns {
            port.set(name, b"ours", None).await?;
            ensure_eq!(port.keys(pattern).await?, [name.as_str()], "the keys that match {pattern:?}");
            ensure_eq!(port.delete_pattern(pattern).await?, 1, "how many keys {pattern:?} deletes");
        }
        ensure_eq!(names(next_door, &Range::all()).await?, theirs, "the neighbour's keys");
        Ok(())
    })
}

async fn crafted_streams_do_not_reach_out(ctx: Context) -> CaseResult {
    let (driver, own, stream) = (ctx.driver(), ctx.namespace().as_str(), StreamName::new("k")?);
    let next_door = ctx.next_door("2").await?;
    append(&next_door, "k", &["theirs"]).await?;
    let theirs = take_one(&next_door, claim("k", "k", "k")?.visibility(LONG)).await?;
    let before = next_door.inspect(&stream).await?;
    let crafted = crafted(own, &format!("{own}2"));
    append(&driver, "k", &["ours"]).await?;
    for name in &crafted {
        append(&driver, name, &["ours"]).await?;
        for stream in [name.as_str(), "k"] {
            let delivery = take_one(&driver, claim(stream, name, name)?).await?;
            ensure_eq!(text(&delivery), "ours", "the record in {stream:?}, as group {name:?} sees it");
            settle_own(&driver, &delivery, Action::Ack).await?;
        }
        driver.trim(&StreamName::new(name)?, Retention::Newest(0)).await?;
        driver.clear(name).await?;
    }
    ensure_eq!(driver.inspect(&stream).await?.groups.len(), crafted.len(), "the groups of our own stream");
    ensure_eq!(next_door.inspect(&stream).await?, before, "the neighbour's stream");
    settle_own(&next_door, &theirs, Action::Ack).await
}
