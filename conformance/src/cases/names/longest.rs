//! Names that are as long as names may be, and differ at their very end.

use super::super::prelude::*;
use crate::calls::{delete, names, present, put, read};
use crate::need::Need;
use crate::readers::{Listener, Watcher};
use crate::stream_calls::{append, claim, settle_own, take_one, text};
use linchpin_core::{Action, MAX_NAME, MAX_SHORT_NAME, Range, Record, StreamName};

cases! { Names "names";
    long_keys_differ_in_their_last_byte [] ANY_TEXT_IS_A_WATCHED_KEY
        "Key: of 512 bytes every one counts, the last too";
    long_channels_differ_in_their_last_byte [Messages] ANY_TEXT_IS_A_WATCHED_KEY
        "Channel: of 512 bytes every one counts, the last too";
    long_streams_differ_in_their_last_byte [Streams] ANY_TEXT_IS_A_WATCHED_KEY
        "Stream name, group and record id: of 512, 128 and 256 bytes every one counts, the last too";
}

/// Two names of this length that differ in the last byte.
fn pair(length: usize) -> [String; 2] {
    ["a", "b"].map(|last| "n".repeat(length - 1) + last)
}

async fn long_keys_differ_in_their_last_byte(ctx: Context) -> CaseResult {
    let (driver, texts) = (ctx.driver(), pair(MAX_NAME));
    let [one, other] = [Key::new(&texts[0])?, Key::new(&texts[1])?];
    put(&driver, &one, "one").await?;
    ensure_eq!(read(&driver, &other).await?, None, "a key that differs in its last byte");
    put(&driver, &other, "other").await?;
    ensure_eq!(present(&driver, &one).await?.value, "one", "the value of the first key");
    ensure_eq!(names(&driver, &Range::all()).await?, texts, "the keys");
    ensure_eq!(names(&driver, &Range::Key(other.clone())).await?, texts[1..], "the range of the second key");
    if Need::Watch.is_declared(ctx.capabilities()) {
        let (mut watcher, _) = Watcher::synced(&driver, &Range::Key(other.clone())).await?;
        put(&driver, &one, "one again").await?;
        put(&driver, &other, "other again").await?;
        ensure_eq!(watcher.put(&other).await?.value, "other again", "what a watch of the second key tells");
    }
    ensure!(delete(&driver, &one).await?, "the first key did not exist any more");
    present(&driver, &other).await.map(|_| ())
}

async fn long_channels_differ_in_their_last_byte(ctx: Context) -> CaseResult {
    let (driver, texts) = (ctx.driver(), pair(MAX_NAME));
    let mut listeners = Vec::new();
    for text in &texts {
        listeners.push(Listener::exactly(&driver, text).await?);
    }
    for text in &texts {
        driver.publish(&Channel::new(text)?, text.clone().into()).await?;
    }
    for (listener, text) in listeners.iter_mut().zip(&texts) {
        ensure_eq!(listener.text().await?, (text.clone(), text.clone()), "channel and payload of the first message");
        driver.publish(&Channel::new(text)?, "the last".into()).await?;
        ensure_eq!(listener.text().await?.1, "the last", "the second message");
    }
    Ok(())
}

async fn long_streams_differ_in_their_last_byte(ctx: Context) -> CaseResult {
    let (driver, streams, groups) = (ctx.driver(), pair(MAX_NAME), pair(MAX_SHORT_NAME));
    for stream in &streams {
        append(&driver, stream, &[stream]).await?;
    }
    for stream in &streams {
        ensure_eq!(driver.inspect(&StreamName::new(stream)?).await?.length, 1, "the records of a stream");
        for group in &groups {
            let delivery = take_one(&driver, claim(stream, group, group)?).await?;
            ensure_eq!(text(&delivery), *stream, "the payload of the only record");
            ensure_eq!(delivery.receipt.delivery, 1, "the delivery count for a group of its own");
            settle_own(&driver, &delivery, Action::Ack).await?;
        }
    }
    if Need::RecordIds.is_declared(ctx.capabilities()) {
        let records: Vec<Record> =
            pair(Record::MAX_ID).into_iter().map(|id| Record::new("").with_id(id)).collect::<Result<_, _>>()?;
        let appended = driver.append(&StreamName::new("ids")?, &records).await?;
        ensure!(appended.iter().all(|one| !one.duplicate), "ids that differ in the last byte are one: {appended:?}");
    }
    Ok(())
}
