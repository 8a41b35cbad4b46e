//! A server that crashes and comes back with what it had stored.

use super::super::prelude::*;
use super::{patient, survives_restart, until_back};
use crate::calls::{present, put};
use crate::failure::{here, shown};
use crate::readers::{Listener, Watcher};
use crate::stream_calls::{append, claim, settle, settle_own, take_one, text};
use crate::waiting::{LONG, soon};
use linchpin::Coordinator;
use linchpin_core::{
    Action, Entry, Page, Range, Revision, Settled, SubscriptionEvent, TransactionId, WatchCompleteness, WatchEvent,
};
use std::collections::BTreeMap;

cases! { Faults "faults";
    all_goes_on_after_a_restart [] ALL_GOES_ON_AFTER_A_PAUSE
        "After a restart everything goes on by itself: calls, subscriptions, watches and claims";
    revisions_grow_across_a_restart [] REVISIONS_GROW_ACROSS_A_RESTART
        "A namespace's revisions only grow, across a restart too";
    revisions_grow_across_lost_data [] REVISIONS_GROW_ACROSS_LOST_DATA
        "A namespace's revisions grow across lost data too, as far as the backend can know";
    lost_data_are_told_though_nobody_writes [Watch] LOST_DATA_ARE_TOLD_THOUGH_NOBODY_WRITES
        "A watch tells what the server has lost within 10 seconds, though nobody writes";
    older_data_that_come_back_are_told [Watch] OLDER_DATA_THAT_COME_BACK_ARE_TOLD
        "After a server came back with older data a watch tells what a read says, and a key that is gone again at a greater \
         revision";
    what_is_declared_to_survive_survives [] WHAT_IS_DECLARED_TO_SURVIVE_SURVIVES
        "What was acknowledged is there after a crash, if the backend declares that it survives a restart";
    transaction_ids_survive_a_restart [TransactionIds] TRANSACTION_IDS_SURVIVE_A_RESTART
        "A transaction is applied at most once however often it is sent, across a restart too";
    streams_survive_a_restart [Streams] STREAMS_SURVIVE_A_RESTART
        "Appended records survive as the backend promises: what is claimed stays claimed, what is settled is settled";
    every_call_recovers_after_an_outage [] EVERY_CALL_RECOVERS_AFTER_AN_OUTAGE + COMPONENTS_CONTRIB_4563
        "After an outage, however long, every kind of call works again without a new handle";
}

/// How long it takes at most until lost data are noticed.
const LOSS: Duration = Duration::from_secs(10);

/// Does harm while a subscription, a watch and a claim are waiting, and sees that they go on.
#[track_caller]
pub(super) fn goes_on(
    ctx: &Context,
    node: &Coordinator,
    harm: impl AsyncFnOnce() -> CaseResult,
) -> impl Future<Output = CaseResult> {
    here(async move {
        let (key, declared) = (Key::new("k")?, ctx.capabilities().clone());
        put(node.driver(), &key, "before").await?;
        let mut watcher = None;
        if declared.watch != WatchCompleteness::None {
            watcher = Some(Watcher::synced(node.driver(), &Range::all()).await?.0);
        }
        let mut listener = None;
        if declared.messages.is_some() {
            listener = Some(Listener::open(node.driver(), "*").await?);
        }
        harm().await?;
        let version = until_back("a write", || {
            let write = Transaction::new().put(key.clone(), "after", None);
            async move { node.driver().commit(&write).await.map(|outcome| outcome.revision()) }
        })
        .await?;
        if let Some(watcher) = &mut watcher {
            watcher.until(&key, version).await?;
        }
        if let Some(listener) = &mut listener {
            hears_again(node, listener).await?;
        }
        if declared.streams.is_some() {
            until_back("an append", || async {
                node.driver().append(&linchpin_core::StreamName::new("s")?, &[linchpin_core::Record::new("r")]).await
            })
            .await?;
            let delivery = take_one(&ctx.driver(), claim("s", "g", "m")?).await?;
            settle_own(&ctx.driver(), &delivery, Action::Ack).await?;
        }
        Ok(())
    })
}

/// Publishes until a subscription hears of it: it is back by itself.
async fn hears_again(node: &Coordinator, listener: &mut Listener) -> CaseResult {
    let channel = Channel::new("c")?;
    let publish = async {
        loop {
            // What goes out before the subscription is back is lost, and marked as a gap.
            let _ = node.driver().publish(&channel, "again".into()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let heard = async {
        loop {
            if let SubscriptionEvent::Message(_) = listener.next().await? {
                return Ok(());
            }
        }
    };
    tokio::select! {
        () = publish => Ok(()),
        heard = heard => heard,
    }
}

async fn all_goes_on_after_a_restart(ctx: Context) -> CaseResult {
    let node = patient(ctx.driver()).await?;
    goes_on(&ctx, &node, async || {
        ctx.faults()?.kill().await?;
        ctx.faults()?.restart().await
    })
    .await
}

async fn revisions_grow_across_a_restart(ctx: Context) -> CaseResult {
    let (node, key) = (patient(ctx.driver()).await?, Key::new("k")?);
    let mut newest = put(node.driver(), &key, "0").await?;
    for round in 1..=2 {
        node.driver().commit(&Transaction::new().delete(key.clone())).await?;
        ctx.faults()?.kill().await?;
        ctx.faults()?.restart().await?;
        let write = Transaction::new().put(key.clone(), "1", None);
        let revision = until_back("a write", || node.driver().commit(&write)).await?.revision();
        ensure!(revision > newest, "restart {round}: revision {revision} came after {newest}");
        let entry = present(node.driver(), &key).await?;
        ensure!(entry.created > newest, "restart {round}: the fencing token {} came after {newest}", entry.created);
        newest = revision;
    }
    Ok(())
}

async fn revisions_grow_across_lost_data(ctx: Context) -> CaseResult {
    let (node, key) = (patient(ctx.driver()).await?, Key::new("k")?);
    let mut newest = put(node.driver(), &key, "0").await?;
    ctx.faults()?.lose_everything().await?;
    ensure!(crate::calls::read(node.driver(), &key).await?.is_none(), "nothing was lost");
    for _ in 0..3 {
        let revision = put(node.driver(), &key, "1").await?;
        ensure!(revision > newest, "revision {revision} came after {newest}, which was lost");
        newest = revision;
    }
    Ok(())
}

async fn lost_data_are_told_though_nobody_writes(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let written = put(&driver, &key, "0").await?;
    let (watcher, _) = Watcher::synced(&driver, &Range::all()).await?;
    let mut watcher = watcher.patient();
    ctx.faults()?.lose_everything().await?;
    let told = tokio::time::timeout(LOSS, watcher.next()).await;
    let told = told.map_err(|_| Failure::new(format!("a watch told nothing of lost data for {LOSS:?}")))??;
    let WatchEvent::Deleted { key: gone, version } = told else {
        return Err(Failure::new(format!("a key was lost, and the watch tells {told:?}")));
    };
    ensure!(
        gone == key && version > written,
        "{gone:?} is told gone at {version}, and {key:?} was written at {written}"
    );
    Ok(())
}

async fn older_data_that_come_back_are_told(ctx: Context) -> CaseResult {
    let (node, [changed, deleted, made]) = (patient(ctx.driver()).await?, ["changed", "deleted", "made"].map(Key::new));
    let (changed, deleted, made) = (changed?, deleted?, made?);
    put(node.driver(), &changed, "old").await?;
    put(node.driver(), &deleted, "old").await?;
    ctx.faults()?.keep_copy().await?;
    until_back("a read", || node.driver().get(std::slice::from_ref(&changed))).await?;
    let (watcher, _) = Watcher::synced(node.driver(), &Range::all()).await?;
    let mut watcher = watcher.patient();
    put(node.driver(), &changed, "new").await?;
    node.driver().commit(&Transaction::new().delete(deleted.clone())).await?;
    let newest = put(node.driver(), &made, "new").await?;
    tells_as_read(&mut watcher, &read_all(node.driver()).await?, "before").await?;

    watcher.forget_versions();
    ctx.faults()?.restart_with_copy().await?;
    let (all, page) = (Range::all(), Page::first());
    let read = until_back("a read", || node.driver().scan(&all, &page)).await?;
    let read = by_key(read.entries);
    let values: Vec<_> = read.iter().map(|(key, entry)| (key.as_str(), &*entry.value)).collect();
    ensure_eq!(values, [("changed", &b"old"[..]), ("deleted", &b"old"[..])], "what came back");
    let gone = tells_as_read(&mut watcher, &read, "after older data came back").await?.filter(|(key, _)| *key == made);
    ensure!(
        gone.as_ref().is_some_and(|(_, version)| *version > newest),
        "a key was made at {newest}, and is told to be gone at {gone:?}"
    );
    put(node.driver(), &changed, "newer").await?;
    tells_as_read(&mut watcher, &read_all(node.driver()).await?, "when it was written again").await.map(drop)
}

async fn read_all(driver: &Arc<dyn Driver>) -> Result<BTreeMap<Key, Entry>, Failure> {
    Ok(by_key(driver.scan(&Range::all(), &Page::first()).await?.entries))
}

fn by_key(entries: Vec<Entry>) -> BTreeMap<Key, Entry> {
    entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect()
}

/// Reads until the watch has told all of this and nothing else; the last key that it told to be gone until then.
#[track_caller]
fn tells_as_read(
    watcher: &mut Watcher,
    read: &BTreeMap<Key, Entry>,
    when: &str,
) -> impl Future<Output = Result<Option<(Key, Revision)>, Failure>> {
    here(async move {
        let mut gone = None;
        let telling = async {
            while watcher.entries != *read {
                if let WatchEvent::Deleted { key, version } = watcher.next().await? {
                    gone = Some((key, version));
                }
            }
            Ok::<_, Failure>(())
        };
        let told = tokio::time::timeout(LOSS, telling).await;
        told.map_err(|_| {
            let (told, read) = (shown(&watcher.entries), shown(read));
            Failure::new(format!("{when} a watch told {told} for {LOSS:?}, and a read says {read}"))
        })??;
        Ok(gone)
    })
}

async fn what_is_declared_to_survive_survives(ctx: Context) -> CaseResult {
    let (node, keys) = (patient(ctx.driver()).await?, crate::calls::numbered("k", 200)?);
    let mut written = Vec::new();
    for key in &keys {
        written.push(put(node.driver(), key, "v").await?);
    }
    ctx.faults()?.kill().await?;
    ctx.faults()?.restart().await?;
    let snapshot = until_back("a read", || node.driver().get(&keys)).await?;
    let kept = snapshot.entries.iter().zip(&written).filter(|(entry, version)| {
        entry.as_ref().is_some_and(|entry| entry.version == **version && entry.value == "v")
    });
    let kept = kept.count();
    if survives_restart(&ctx) {
        ensure_eq!(kept, keys.len(), "acknowledged writes that are there after a crash");
    } else {
        ensure!(kept < keys.len(), "everything survived a restart, but nothing is declared to");
    }
    Ok(())
}

async fn transaction_ids_survive_a_restart(ctx: Context) -> CaseResult {
    let (node, key) = (patient(ctx.driver()).await?, Key::new("n")?);
    let add = Transaction::new().add(key.clone(), 1, None).with_id(TransactionId::random());
    let first = node.driver().commit(&add).await?;
    ctx.faults()?.kill().await?;
    ctx.faults()?.restart().await?;
    if !survives_restart(&ctx) {
        return Ok(());
    }
    let again = until_back("the repeat", || node.driver().commit(&add)).await?;
    ensure_eq!(again, first, "the outcome of the repeat");
    ensure_eq!(present(node.driver(), &key).await?.value, "1", "the counter");
    Ok(())
}

async fn streams_survive_a_restart(ctx: Context) -> CaseResult {
    if !survives_restart(&ctx) {
        return Ok(());
    }
    let driver = &ctx.driver();
    append(driver, "s", &["settled", "claimed", "waiting"]).await?;
    let settled = take_one(driver, claim("s", "g", "m")?.visibility(LONG)).await?;
    settle_own(driver, &settled, Action::Ack).await?;
    let claimed = take_one(driver, claim("s", "g", "m")?.visibility(LONG)).await?;
    ctx.faults()?.kill().await?;
    ctx.faults()?.restart().await?;
    until_back("a look at the stream", || async { driver.inspect(&linchpin_core::StreamName::new("s")?).await })
        .await?;
    let next = take_one(driver, claim("s", "g", "m")?).await?;
    ensure_eq!(text(&next), "waiting", "the record that comes after the restart");
    ensure_eq!(settle(driver, &settled.receipt, Action::Ack).await?, Settled::Stale, "settling again");
    settle_own(driver, &claimed, Action::Retry { after: Duration::ZERO }).await?;
    let again = take_one(driver, claim("s", "g", "m")?).await?;
    ensure_eq!(
        (text(&again), again.receipt.delivery),
        ("claimed".to_owned(), claimed.receipt.delivery + 1),
        "the retried record"
    );
    Ok(())
}

async fn every_call_recovers_after_an_outage(ctx: Context) -> CaseResult {
    let node = patient(ctx.driver()).await?;
    node.set("k", b"v", None).await?;
    let driver = node.driver();
    if ctx.capabilities().streams.is_some() {
        append(driver, "s", &["r"]).await?;
    }
    ctx.faults()?.kill().await?;
    let calling = node.clone();
    // Calls that fail while the server is away, as an application's would.
    let away = tokio::spawn(async move {
        for _ in 0..20 {
            let _ = calling.get("k").await;
            let _ = calling.publish("c", b"m").await;
        }
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    ctx.faults()?.restart().await?;
    away.abort();
    until_back("a read", || node.get("k")).await?;
    until_back("a write", || node.set("k", b"w", None)).await?;
    soon("a health check", async {
        while !node.health_check().await.unwrap_or(false) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await?;
    if ctx.capabilities().messages.is_some() {
        let mut listener = Listener::open(driver, "*").await?;
        until_back("a message", || node.publish("c", b"m")).await?;
        listener.message().await?;
    }
    if ctx.capabilities().streams.is_some() && survives_restart(&ctx) {
        let delivery = take_one(&ctx.driver(), claim("s", "new group", "m")?).await?;
        settle_own(&ctx.driver(), &delivery, Action::Ack).await?;
    }
    Ok(())
}
