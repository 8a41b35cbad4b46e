//! Any name is allowed, and every name is its own.

use super::super::prelude::*;
use super::hostile_names;
use crate::calls::{delete, names, present, put, scan};
use crate::readers::{Listener, Watcher};
use crate::stream_calls::{append, append_records, claim, settle_own, take_nothing, take_one, text};
use crate::waiting::soon;
use futures::StreamExt;
use linchpin_core::{Action, MAX_NAME, MAX_SHORT_NAME, MAX_STORED_NAME, Pattern, Range, Record, StreamName};

cases! { Names "names";
    any_text_is_a_key [] ANY_TEXT_IS_A_KEY + SPRING_INTEGRATION_11157
        "Key: any UTF-8 of 1 to 512 bytes without NUL; adapters encode, a user never learns of a backend's alphabet";
    any_text_is_a_watched_key [Watch] ANY_TEXT_IS_A_WATCHED_KEY
        "Key: any UTF-8 of 1 to 512 bytes without NUL, as a watcher is told it too";
    any_text_is_a_channel [Messages] ANY_TEXT_IS_A_KEY
        "Channel: any UTF-8 of 1 to 512 bytes without NUL";
    any_text_is_a_stream [Streams] ANY_TEXT_IS_A_KEY
        "Stream name: any UTF-8 of 1 to 512 bytes without NUL";
    any_text_is_a_group_and_a_member [Streams] ANY_TEXT_IS_A_GROUP_AND_A_MEMBER
        "Group and member: any UTF-8 of 1 to 128 bytes without NUL";
    any_text_is_a_record_id [RecordIds] ANY_TEXT_IS_A_RECORD_ID
        "A record's id is any text of 1 to 256 bytes";
    any_text_has_dead_letters [DeadLetters] ANY_TEXT_IS_A_WATCHED_KEY
        "The dead letters of each group of each stream are a stream of their own";
    a_layers_prefix_has_room [] LAYERS_PREFIX_HAS_ROOM
        "A driver may be handed names of up to 768 bytes: a user's name and what layers and recipes put in front of it";
}

async fn any_text_is_a_key(ctx: Context) -> CaseResult {
    let (driver, texts) = (ctx.driver(), hostile_names());
    for text in &texts {
        put(&driver, &Key::new(text)?, text.clone()).await?;
    }
    let other = ctx.another().await?;
    for text in &texts {
        ensure_eq!(present(&other, &Key::new(text)?).await?.value, text.as_bytes(), "the value of {text:?}");
        let own = scan(&other, &Range::Key(Key::new(text)?)).await?;
        ensure_eq!(own.len(), 1, "the entries in the range of {text:?}");
    }
    let mut sorted = texts.clone();
    sorted.sort_unstable();
    ensure_eq!(names(&other, &Range::all()).await?, sorted, "all keys");
    for (n, text) in texts.iter().enumerate() {
        ensure!(delete(&driver, &Key::new(text)?).await?, "{text:?} did not exist any more");
        ensure_eq!(names(&driver, &Range::all()).await?.len(), texts.len() - n - 1, "the keys left after {text:?}");
    }
    Ok(())
}

async fn any_text_is_a_watched_key(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let (mut all, _) = Watcher::synced(&driver, &Range::all()).await?;
    for text in hostile_names() {
        let key = Key::new(&text)?;
        let (mut own, _) = Watcher::synced(&driver, &Range::Key(key.clone())).await?;
        put(&driver, &key, text).await?;
        let told = [own.put(&key).await?, all.put(&key).await?];
        ensure!(told.iter().all(|entry| entry.value == key.as_str()), "{key:?} was told as {told:?}");
    }
    Ok(())
}

async fn any_text_is_a_channel(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut all = Listener::open(&driver, "*").await?;
    for name in hostile_names() {
        let mut own = Listener::exactly(&driver, &name).await?;
        driver.publish(&Channel::new(&name)?, name.clone().into()).await?;
        ensure_eq!(own.text().await?, (name.clone(), name.clone()), "what the channel's own subscriber was told");
        ensure_eq!(all.text().await?, (name.clone(), name.clone()), "what the subscriber to all was told");
        // A pattern for all that start like this one.
        let prefix: String = name.chars().take(10).collect();
        let mut starting = driver.subscribe(&Pattern::new("*")?.prefixed(&prefix)?).await?;
        driver.publish(&Channel::new(&name)?, "again".into()).await?;
        let told = soon("a message", starting.next()).await?;
        ensure!(matches!(told, Some(Ok(_))), "{name:?} by its prefix: {told:?}");
        own.message().await?;
        all.message().await?;
    }
    Ok(())
}

async fn any_text_is_a_stream(ctx: Context) -> CaseResult {
    let (driver, texts) = (ctx.driver(), hostile_names());
    for name in &texts {
        append(&driver, name, &[name]).await?;
    }
    for name in &texts {
        let delivery = take_one(&driver, claim(name, "g", "m")?).await?;
        ensure_eq!(text(&delivery), *name, "the payload of the only record in {name:?}");
        ensure_eq!(delivery.receipt.stream.as_str(), name, "the stream of its receipt");
        settle_own(&driver, &delivery, Action::Ack).await?;
        ensure_eq!(driver.inspect(&StreamName::new(name)?).await?.length, 1, "the length of {name:?}");
    }
    Ok(())
}

/// The hostile names that may name a group, and the longest.
fn short_names() -> Vec<String> {
    let mut names: Vec<_> = hostile_names().into_iter().filter(|name| name.len() <= MAX_SHORT_NAME).collect();
    names.extend(["g".repeat(MAX_SHORT_NAME), "🦀".repeat(MAX_SHORT_NAME / 4), "*".repeat(MAX_SHORT_NAME)]);
    names
}

async fn any_text_is_a_group_and_a_member(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["shared"]).await?;
    for name in short_names() {
        let delivery = take_one(&driver, claim("s", &name, &name)?).await?;
        ensure_eq!(delivery.receipt.group.as_str(), name, "the group of the receipt");
        ensure_eq!(delivery.receipt.delivery, 1, "the delivery count for group {name:?}");
        settle_own(&driver, &delivery, Action::Ack).await?;
    }
    let told: Vec<String> =
        driver.inspect(&StreamName::new("s")?).await?.groups.into_iter().map(|group| group.name.into()).collect();
    let mut sorted = short_names();
    sorted.sort_unstable();
    ensure_eq!(told, sorted, "the groups");
    Ok(())
}

async fn any_text_is_a_record_id(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let ids: Vec<_> = hostile_names().into_iter().filter(|name| name.len() <= Record::MAX_ID).collect();
    for id in &ids {
        append_records(&driver, "s", &[Record::new("").with_id(id)?]).await?;
    }
    for id in &ids {
        let again = driver.append(&StreamName::new("s")?, &[Record::new("").with_id(id)?]).await?;
        ensure!(again.iter().all(|one| one.duplicate), "the record {id:?} was appended twice");
    }
    Ok(())
}

async fn any_text_has_dead_letters(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    // No two of these may share their dead letters, nor be taken for the dead letters of another.
    for (stream, group) in [("a", "b/c"), ("a/b", "c"), ("a:b", "c"), ("a", "b:c"), ("*", "*"), (" ", " ")] {
        append(&driver, stream, &[&format!("{stream} {group}")]).await?;
        let held = take_one(&driver, claim(stream, group, "m")?).await?;
        settle_own(&driver, &held, Action::Reject { reason: "to see where it goes".to_owned() }).await?;
        let mut dead = claim(stream, "undertakers", "m")?;
        dead.stream = dead.stream.dead_letters(&held.receipt.group);
        let letter = take_one(&driver, dead.clone()).await?;
        ensure_eq!(text(&letter), format!("{stream} {group}"), "the dead letter of {stream:?} and {group:?}");
        take_nothing(&driver, &dead, "one record was rejected").await?;
        settle_own(&driver, &letter, Action::Ack).await?;
        driver.clear("").await?;
    }
    Ok(())
}

async fn a_layers_prefix_has_room(ctx: Context) -> CaseResult {
    /// What the driver may itself have put in front, if it is a namespace within a namespace:
    /// `ns/name/`.
    const NESTED: usize = 67;
    let driver = ctx.driver();
    let room = MAX_STORED_NAME - MAX_NAME - NESTED;
    for (prefix, name) in [("p".repeat(room), "x".repeat(512)), ("🦀".repeat(room / 4), "🦀".repeat(128))] {
        let key = Key::new(&name)?.prefixed(&prefix)?;
        put(&driver, &key, "1").await?;
        ensure_eq!(names(&driver, &Range::prefix(prefix)?).await?, [key.as_str()], "the longest key by its prefix");
        ensure!(delete(&driver, &key).await?, "the longest key did not exist");
    }
    // Only a layer may take of the room: then the name that it makes is itself too long, and nobody was asked.
    let longest = Key::stored("x".repeat(MAX_STORED_NAME))?;
    let written = driver.commit(&Transaction::new().put(longest.clone(), "1", None)).await;
    if written.is_err() {
        let error = fails_with(written, ErrorKind::InvalidArgument, "a key of 768 bytes")?;
        ensure_eq!(error.operation(), "key", "what refuses a key of 768 bytes, where only a layer may: {error}");
        return Ok(());
    }
    present(&driver, &longest).await.map(|_| ())
}
