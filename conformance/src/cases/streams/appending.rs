//! Appending.

use super::super::prelude::*;
use crate::failure::here;
use crate::stream_calls::{append, append_records, claim, settle_own, take, take_nothing, take_one, text};
use crate::waiting::together;
use linchpin_core::{Action, Appended, Position, Record, Retention, StreamName};
use tokio::time::sleep;

cases! { Streams "streams";
    positions_grow_by_one [Streams] POSITIONS_GROW_BY_ONE
        "`Position`: where a record stands in its stream, 1 for the first, growing by one";
    a_batch_stands_together [Streams] BATCH_STANDS_TOGETHER
        "`append` appends records, in their order, next to each other";
    each_stream_counts_for_itself [Streams] POSITIONS_GROW_BY_ONE
        "`Position`: where a record stands in its stream; another stream has its own";
    records_come_as_appended [Streams] RECORDS_COME_AS_APPENDED
        "A delivery has the payload, id and headers as appended";
    records_outlive_the_handle [Streams] RECORDS_OUTLIVE_THE_HANDLE
        "Appended records survive, whatever becomes of the handle that appended them";
    appending_nothing_appends_nothing [Streams] BATCH_STANDS_TOGETHER
        "`append` answers one `Appended` per record, so none for none";
    a_record_id_is_appended_once [RecordIds] RECORD_ID_IS_APPENDED_ONCE
        "A record with an id is appended once per dedupe window";
    a_record_id_is_once_within_a_batch [RecordIds] RECORD_ID_IS_APPENDED_ONCE
        "A record with an id is appended once per dedupe window, also within one call";
    a_record_id_is_once_for_all_handles [RecordIds] RECORD_ID_IS_APPENDED_ONCE
        "A record with an id is appended once per dedupe window, whoever appends it and when";
    a_record_id_belongs_to_its_stream [RecordIds] RECORD_ID_BELONGS_TO_ITS_STREAM
        "A record's id is known in the stream that it was appended to, and in no other";
    a_settled_record_keeps_its_id [RecordIds] RECORD_ID_IS_APPENDED_ONCE
        "A record with an id is appended once per dedupe window, though it was settled since";
    a_trimmed_record_keeps_its_id [RecordIds] RECORD_ID_IS_APPENDED_ONCE
        "A record with an id is appended once per dedupe window, though it was dropped since";
    a_record_id_is_remembered_for_a_while [RecordIds] RECORD_ID_IS_APPENDED_ONCE
        "A record with an id is appended once per dedupe window, not only while others are appended";
    a_cleared_stream_knows_no_ids [RecordIds] CLEARED_STREAM_KNOWS_NO_IDS
        "`clear` forgets the ids of records with their streams: what is appended after it is new";
}

async fn positions_grow_by_one(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for n in 1..=5 {
        ensure_eq!(append(&driver, "s", &["one"]).await?, [Position(n)], "the position of record {n}");
    }
    ensure_eq!(append(&driver, "s", &["a", "b"]).await?, [Position(6), Position(7)], "the positions of two more");
    Ok(())
}

async fn a_batch_stands_together(ctx: Context) -> CaseResult {
    let mut appenders = Vec::new();
    for n in 0..4 {
        let driver = ctx.another().await?;
        appenders.push(async move {
            let mut positions = Vec::new();
            for _ in 0..10 {
                let batch = append(&driver, "s", &[&format!("{n} a"), &format!("{n} b"), &format!("{n} c")]).await?;
                ensure!(batch.windows(2).all(|two| two[1].0 == two[0].0 + 1), "a batch stands at {batch:?}");
                positions.extend(batch);
            }
            Ok(positions)
        });
    }
    let mut all = together(appenders).await?.concat();
    all.sort_unstable();
    ensure_eq!(all, (1..=120).map(Position).collect::<Vec<_>>(), "the positions of 120 records");
    let taken = take(&ctx.driver(), claim("s", "g", "m")?.max(120), 120).await?;
    for batch in taken.chunks(3) {
        let texts: Vec<_> = batch.iter().map(text).collect();
        let of_one = texts.iter().zip("abc".chars()).all(|(t, c)| t.ends_with(c) && t[..1] == texts[0][..1]);
        ensure!(of_one, "a batch was torn: {texts:?}");
    }
    Ok(())
}

async fn each_stream_counts_for_itself(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2"]).await?;
    ensure_eq!(append(&driver, "t", &["1"]).await?, [Position(1)], "the first position of another stream");
    ensure_eq!(append(&driver, "s", &["3"]).await?, [Position(3)], "the next position of the first stream");
    Ok(())
}

async fn records_come_as_appended(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let hostile = Record::new(bytes)
        .with_header("b", "2")
        .with_header("a", "")
        .with_header("b", "2 again")
        .with_header("", "no name")
        .with_header("linchpin", "line\nbreak: \u{1f980}");
    for record in [Record::new(""), hostile, Record::new("payload").with_header("type", "order")] {
        let position = append_records(&driver, "s", std::slice::from_ref(&record)).await?[0];
        let delivery = take_one(&driver, claim("s", "g", "m")?).await?;
        ensure_eq!(delivery.receipt.position, position, "the position");
        ensure_eq!(delivery.receipt.delivery, 1, "the delivery count");
        ensure!(delivery.payload == record.payload, "the payload came back as another one");
        ensure_eq!(delivery.headers, record.headers, "the headers");
        ensure_eq!(delivery.id, None, "the id of a record without");
    }
    Ok(())
}

async fn records_outlive_the_handle(ctx: Context) -> CaseResult {
    append(&ctx.driver(), "s", &["kept"]).await?;
    ctx.driver().close().await?;
    let driver = ctx.another().await?;
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "kept", "the payload");
    ensure_eq!(append(&driver, "s", &["next"]).await?, [Position(2)], "the next position");
    Ok(())
}

async fn appending_nothing_appends_nothing(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &[]).await?;
    ensure_eq!(append(&driver, "s", &["first"]).await?, [Position(1)], "the first position");
    Ok(())
}

/// Appends one record with an id.
#[track_caller]
fn append_id(driver: &Arc<dyn Driver>, stream: &str, id: &str) -> impl Future<Output = Result<Appended, Failure>> {
    here(async move {
        let record = Record::new(format!("record {id}")).with_id(id)?;
        match driver.append(&StreamName::new(stream)?, &[record]).await?[..] {
            [appended] => Ok(appended),
            ref other => Err(Failure::new(format!("append answered {other:?} for one record"))),
        }
    })
}

const fn at(position: u64, duplicate: bool) -> Appended {
    Appended { position: Position(position), duplicate }
}

async fn a_record_id_is_appended_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let longest = "i".repeat(Record::MAX_ID);
    ensure_eq!(append_id(&driver, "s", "a").await?, at(1, false), "the first record");
    ensure_eq!(append_id(&driver, "s", &longest).await?, at(2, false), "another record");
    ensure_eq!(append_id(&driver, "s", "a").await?, at(1, true), "the first record again");
    ensure_eq!(append_id(&driver, "s", &longest).await?, at(2, true), "the other record again");
    ensure_eq!(append(&driver, "s", &["no id"]).await?, [Position(3)], "a record without id");
    let taken = take(&driver, claim("s", "g", "m")?, 3).await?;
    let ids: Vec<_> = taken.iter().map(|delivery| delivery.id.as_deref()).collect();
    ensure_eq!(ids, [Some("a"), Some(&longest), None], "the ids delivered");
    Ok(())
}

async fn a_record_id_is_once_within_a_batch(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let records = [Record::new("1").with_id("a")?, Record::new("2").with_id("b")?, Record::new("3").with_id("a")?];
    let appended = driver.append(&StreamName::new("s")?, &records).await?;
    ensure_eq!(appended, [at(1, false), at(2, false), at(1, true)], "the records a, b, a");
    ensure_eq!(driver.inspect(&StreamName::new("s")?).await?.length, 2, "the length");
    Ok(())
}

async fn a_record_id_is_once_for_all_handles(ctx: Context) -> CaseResult {
    let mut appenders = Vec::new();
    for _ in 0..6 {
        let driver = ctx.another().await?;
        appenders.push(async move { append_id(&driver, "s", "order-7").await });
    }
    let appended = together(appenders).await?;
    ensure_eq!(appended.iter().filter(|one| !one.duplicate).count(), 1, "the records that were not duplicates");
    ensure!(appended.iter().all(|one| one.position == Position(1)), "one record stands at {appended:?}");
    ctx.driver().close().await?;
    ensure_eq!(append_id(&ctx.another().await?, "s", "order-7").await?, at(1, true), "the record once more");
    Ok(())
}

async fn a_record_id_belongs_to_its_stream(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append_id(&driver, "s", "a").await?;
    ensure_eq!(append_id(&driver, "t", "a").await?, at(1, false), "the same id in another stream");
    ensure_eq!(append_id(&ctx.elsewhere().await?, "s", "a").await?, at(1, false), "the same id in another namespace");
    Ok(())
}

async fn a_settled_record_keeps_its_id(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append_id(&driver, "s", "a").await?;
    let delivery = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &delivery, Action::Ack).await?;
    ensure_eq!(append_id(&driver, "s", "a").await?, at(1, true), "the settled record again");
    Ok(())
}

async fn a_trimmed_record_keeps_its_id(ctx: Context) -> CaseResult {
    let (driver, stream) = (ctx.driver(), StreamName::new("s")?);
    append_id(&driver, "s", "a").await?;
    ensure_eq!(driver.trim(&stream, Retention::Newest(0)).await?, 1, "the records dropped");
    ensure_eq!(append_id(&driver, "s", "a").await?, at(1, true), "the dropped record again");
    ensure_eq!(driver.inspect(&stream).await?.length, 0, "the length");
    Ok(())
}

async fn a_record_id_is_remembered_for_a_while(ctx: Context) -> CaseResult {
    let (driver, window) =
        (ctx.driver(), ctx.capabilities().streams.as_ref().and_then(|streams| streams.dedupe_window));
    append_id(&driver, "s", "a").await?;
    // A window is minutes as a rule, and a case has seconds.
    let time = window.unwrap_or_default().mul_f64(0.8).min(Duration::from_secs(3));
    sleep(time).await;
    append(&driver, "s", &["no id"]).await?;
    ensure_eq!(append_id(&driver, "s", "a").await?, at(1, true), "the record again after {time:?} of {window:?}");
    Ok(())
}

async fn a_cleared_stream_knows_no_ids(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for round in 0..3_u64 {
        ensure_eq!(append_id(&driver, "s", "a").await?, at(round + 1, false), "the record after {round} clears");
        ensure_eq!(append_id(&driver, "s", "a").await?, at(round + 1, true), "it again after {round} clears");
        driver.clear(if round == 0 { "" } else { "s" }).await?;
    }
    // Whatever else became of the stream first.
    take_nothing(&driver, &claim("s", "g", "m")?, "the stream was cleared").await?;
    ensure_eq!(append_id(&driver, "s", "a").await?, at(4, false), "the record after a clear and a claim");
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "record a", "the record delivered");
    Ok(())
}
