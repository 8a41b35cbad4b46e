//! Connections that break and are refused for a while, when the server itself goes on.

use super::super::prelude::*;
use super::{impatient, in_time, patient, until_back};
use crate::calls::put;
use crate::readers::{Listener, Watcher};
use crate::stream_calls::{append, claim, settle_own, take_one, text};
use crate::waiting::{LONG, soon};
use linchpin::Coordinator;
use linchpin_core::{Action, Range, StreamName, SubscriptionEvent, WatchEvent};

cases! { Faults "faults";
    a_cut_is_an_error_in_time [] WHAT_IS_SAFE_WAS_NOT_APPLIED
        "A call whose connection is cut fails in time, and one that is refused a connection was surely not applied";
    a_watch_learns_what_went_meanwhile [Watch, Ttl] WATCH_LEARNS_WHAT_WENT_MEANWHILE
        "A watch that was cut off learns what was deleted, expired and written meanwhile, and is not synced again";
    a_subscription_goes_on_and_marks_the_gap [Messages] SUBSCRIPTION_GOES_ON_AND_MARKS_THE_GAP
        "A subscription that was cut off comes back by itself, and marks the gap with `Lagged`";
    a_gap_is_marked_before_what_comes_after_it [Messages] SUBSCRIPTION_GOES_ON_AND_MARKS_THE_GAP
        "`Lagged` comes before the first message after the gap, however many are published meanwhile";
    a_claim_of_who_is_cut_off_is_exclusive_still [Streams] CLAIM_OF_WHO_IS_CUT_OFF_IS_EXCLUSIVE_STILL
        "A claim stays its member's while that is cut off, and can be settled after; nothing is lost";
    a_slow_network_is_no_fault [Watch] SLOW_NETWORK_IS_NO_FAULT
        "On a slow network everything works, only slower";
}

async fn a_cut_is_an_error_in_time(ctx: Context) -> CaseResult {
    let node = impatient(ctx.driver()).await?;
    let mut possible = vec![b"before".to_vec()];
    until_back("the first write", || node.set("k", &possible[0], None)).await?;
    ctx.faults()?.proxy()?.cut();
    for round in 0..4 {
        let value = format!("write {round}").into_bytes();
        let Err(error) = in_time("a write", node.set("k", &value, None)).await? else {
            return Err(Failure::new("a write succeeded without a connection"));
        };
        ensure!(error.is_transient(), "a write without a connection: expected what may pass, got {error}");
        if error.maybe_applied() {
            possible.push(value);
        }
    }
    // The first may have been on its way when the connection broke, the last surely had none.
    ensure!(possible.len() < 4, "writes that were never sent may have been applied: {possible:?}");
    let beside = impatient(ctx.beside().await?).await?;
    let value = until_back("a read", || beside.get("k")).await?.unwrap_or_default();
    ensure!(possible.contains(&value), "a write was applied that says it was not: {value:?}");
    ctx.faults()?.proxy()?.mend();
    until_back("a write", || node.set("k", b"x", None)).await
}

async fn a_watch_learns_what_went_meanwhile(ctx: Context) -> CaseResult {
    let (node, beside) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?);
    let [deleted, expired, rewritten, new] = ["deleted", "expired", "rewritten", "new"].map(Key::new);
    let (deleted, expired, rewritten, new) = (deleted?, expired?, rewritten?, new?);
    let ttl = ctx.ttl(Duration::from_secs(1));
    for key in [&deleted, &rewritten] {
        put(beside.driver(), key, "0").await?;
    }
    beside.driver().commit(&Transaction::new().put(expired.clone(), "0", Some(ttl))).await?;
    let (mut watcher, _) = Watcher::synced(node.driver(), &Range::all()).await?;
    ensure_eq!(watcher.entries.len(), 3, "the present entries");
    ctx.faults()?.proxy()?.cut();
    let driver = beside.driver();
    driver.commit(&Transaction::new().delete(deleted.clone())).await?;
    for version in ["1", "2", "3"] {
        put(driver, &rewritten, version).await?;
    }
    let last = put(driver, &new, "1").await?;
    tokio::time::sleep(ttl + ctx.ttl_slack()).await;
    ctx.faults()?.proxy()?.mend();
    let caught_up = |watcher: &Watcher| {
        let value = |key: &Key| watcher.entries.get(key).map(|entry| entry.value.clone());
        watcher.entries.len() == 2
            && value(&rewritten).as_deref() == Some(b"3")
            && watcher.entries.get(&new).is_some_and(|entry| entry.version == last)
    };
    while !caught_up(&watcher) {
        let event = watcher.next().await?;
        ensure!(!matches!(event, WatchEvent::Synced { .. }), "a watch that was cut off was synced again");
    }
    put(driver, &new, "2").await?;
    watcher.put(&new).await.map(drop)
}

async fn a_subscription_goes_on_and_marks_the_gap(ctx: Context) -> CaseResult {
    let (node, beside) = (patient(ctx.driver()).await?, patient(ctx.beside().await?).await?);
    let (mut listener, channel) = (Listener::open(node.driver(), "*").await?, Channel::new("c")?);
    beside.driver().publish(&channel, "0".into()).await?;
    ensure_eq!(listener.text().await?.1, "0", "the message before");
    ctx.faults()?.proxy()?.cut();
    beside.driver().publish(&channel, "lost".into()).await?;
    ctx.faults()?.proxy()?.mend();
    // The gap is marked when the subscription is live again: what is published after that arrives. What was under way
    // when the connection was cut may have arrived before it.
    loop {
        match listener.next().await? {
            SubscriptionEvent::Lagged(_) => break,
            SubscriptionEvent::Message(message) => ensure_eq!(message.payload, "lost", "a message before the gap"),
            other => return Err(Failure::new(format!("told before the gap: {other:?}"))),
        }
    }
    for message in ["1", "2", "3"] {
        beside.driver().publish(&channel, message.into()).await?;
        ensure_eq!(listener.text().await?.1, message, "the message after the gap");
    }
    Ok(())
}

async fn a_gap_is_marked_before_what_comes_after_it(ctx: Context) -> CaseResult {
    let (node, beside) = (patient(ctx.driver()).await?, ctx.beside().await?);
    let (mut listener, channel) = (Listener::open(node.driver(), "*").await?, Channel::new("c")?);
    let counts = async {
        for number in 0_u64.. {
            beside.publish(&channel, number.to_string().into()).await?;
        }
        Ok(())
    };
    let listens = async {
        let (mut last, mut marked, mut heard, mut gaps) = (None, false, 0, 0);
        while gaps < 3 {
            let SubscriptionEvent::Message(message) = listener.next().await? else {
                marked = true;
                continue;
            };
            let number: u64 =
                String::from_utf8_lossy(&message.payload).parse().map_err(|_| Failure::new("no number"))?;
            let is_next = last.is_none_or(|last| number == last + 1);
            ensure!(is_next || marked, "{number} came after {last:?} and before any `Lagged`");
            gaps += usize::from(marked);
            heard = if marked { 0 } else { heard + 1 };
            (last, marked) = (Some(number), false);
            if heard == 20 {
                ctx.faults()?.proxy()?.cut();
                ctx.faults()?.proxy()?.mend();
            }
        }
        Ok(())
    };
    match futures::future::select(std::pin::pin!(counts), std::pin::pin!(listens)).await {
        futures::future::Either::Left((ended, _)) | futures::future::Either::Right((ended, _)) => ended,
    }
}

async fn a_claim_of_who_is_cut_off_is_exclusive_still(ctx: Context) -> CaseResult {
    let (node, beside) = (patient(ctx.driver()).await?, ctx.beside().await?);
    append(&beside, "s", &["one", "two"]).await?;
    let held = take_one(node.driver(), claim("s", "g", "cut off")?.visibility(LONG)).await?;
    ctx.faults()?.proxy()?.cut();
    let other = take_one(&beside, claim("s", "g", "other")?).await?;
    ensure_eq!((text(&held), text(&other)), ("one".to_owned(), "two".to_owned()), "who has what");
    crate::stream_calls::take_nothing(&beside, &claim("s", "g", "other")?, "one is claimed").await?;
    ctx.faults()?.proxy()?.mend();
    until_back("a look at the stream", || async { node.driver().inspect(&StreamName::new("s")?).await }).await?;
    settle_own(&ctx.driver(), &held, Action::Ack).await?;
    settle_own(&beside, &other, Action::Ack).await
}

async fn a_slow_network_is_no_fault(ctx: Context) -> CaseResult {
    // With the attempts that everybody has: what is slow is also many round trips that open a connection.
    let node = Coordinator::over(ctx.driver()).connect().await?;
    for way in [crate::Direction::Requests, crate::Direction::Answers] {
        ctx.faults()?.proxy()?.delay(way, Duration::from_millis(30));
    }
    let (mut watcher, _) = Watcher::synced(node.driver(), &Range::all()).await?;
    let key = Key::new("k")?;
    for value in ["1", "2", "3"] {
        put(node.driver(), &key, value).await?;
        ensure_eq!(watcher.put(&key).await?.value, value, "what the watch tells");
    }
    if ctx.capabilities().messages.is_some() {
        let mut listener = Listener::open(node.driver(), "*").await?;
        node.driver().publish(&Channel::new("c")?, "m".into()).await?;
        soon("the message", listener.message()).await??;
    }
    ensure!(node.metrics().operations.values().all(|operation| operation.errors == 0), "a call failed");
    Ok(())
}
