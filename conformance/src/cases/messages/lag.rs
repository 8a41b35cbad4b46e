//! Subscribers that cannot keep up: never silence, never unbounded memory.

use super::super::prelude::*;
use crate::failure::here;
use crate::readers::Listener;
use bytes::Bytes;
use linchpin_core::SubscriptionEvent;

cases! { Messages "messages";
    a_slow_subscriber_is_told_what_it_missed [Messages] SLOW_SUBSCRIBER_IS_TOLD_WHAT_IT_MISSED
        "A subscriber that lags past its bound gets an explicit `Lagged(n)` item, never silence";
    a_slow_subscriber_goes_on [Messages] SLOW_SUBSCRIBER_IS_TOLD_WHAT_IT_MISSED
        "The subscription goes on after `Lagged`";
    a_slow_subscriber_holds_nobody_up [Messages] SLOW_SUBSCRIBER_HOLDS_NOBODY_UP
        "A subscriber that is not read loses messages; other subscribers and publishers do not notice";
    large_messages_are_bounded_as_well [Messages] LARGE_MESSAGES_ARE_BOUNDED_AS_WELL
        "A subscriber that lags past its bound gets `Lagged(n)`, never unbounded memory";
}

/// More than any bound on messages that a subscriber may lag.
const MANY: u64 = 3_000;

/// Publishes `0..count`, each padded to `size`; nobody is read meanwhile.
#[track_caller]
fn flood(driver: &Arc<dyn Driver>, count: u64, size: usize) -> impl Future<Output = CaseResult> {
    here(async move {
        let channel = Channel::new("flood")?;
        for n in 0..count {
            let mut payload = n.to_string().into_bytes();
            payload.resize(size.max(payload.len()), b' ');
            driver.publish(&channel, Bytes::from(payload)).await?;
            // Whoever buffers in the background has the time to.
            tokio::task::yield_now().await;
        }
        Ok(())
    })
}

/// What a subscriber was told of numbered messages.
#[derive(Debug, Default)]
struct Tally {
    messages: u64,
    missed: u64,
    missed_unknown: bool,
}

/// Reads up to the last message, and checks that nothing is missing where nothing was said to be missed.
#[track_caller]
fn read_flood(listener: &mut Listener, count: u64) -> impl Future<Output = Result<Tally, Failure>> {
    here(async move {
        let mut told = Tally::default();
        let mut next = 0;
        let mut unknown_gap = false;
        while next < count {
            match listener.next().await? {
                SubscriptionEvent::Lagged(Some(missed)) => {
                    told.missed += missed;
                    next += missed;
                }
                SubscriptionEvent::Lagged(None) => {
                    told.missed_unknown = true;
                    unknown_gap = true;
                }
                SubscriptionEvent::Message(message) => {
                    let text = String::from_utf8_lossy(&message.payload);
                    let number: u64 =
                        text.trim_end().parse().map_err(|_| Failure::new(format!("the payload {text:?}")))?;
                    let follows = if unknown_gap { number >= next } else { number == next };
                    ensure!(follows, "message {number} came where {next} was due, after {told:?}");
                    (next, unknown_gap) = (number + 1, false);
                    told.messages += 1;
                }
                other => return Err(Failure::new(format!("told instead of a message: {other:?}"))),
            }
        }
        Ok(told)
    })
}

async fn a_slow_subscriber_is_told_what_it_missed(ctx: Context) -> CaseResult {
    let mut listener = Listener::open(&ctx.another().await?, "flood").await?;
    flood(&ctx.driver(), MANY, 0).await?;
    let told = read_flood(&mut listener, MANY).await?;
    let all = told.missed_unknown || told.messages + told.missed == MANY;
    ensure!(all, "of {MANY} messages it was told {told:?}");
    Ok(())
}

async fn a_slow_subscriber_goes_on(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut listener = Listener::open(&driver, "flood").await?;
    for round in 0..2 {
        flood(&driver, MANY / 2, 0).await?;
        read_flood(&mut listener, MANY / 2).await?;
        driver.publish(&Channel::new("flood")?, "calm again".into()).await?;
        ensure_eq!(listener.text().await?.1, "calm again", "the message after flood {round}");
    }
    Ok(())
}

async fn a_slow_subscriber_holds_nobody_up(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let _slow = Listener::open(&driver, "flood").await?;
    let mut quick = Listener::open(&driver, "*").await?;
    let channel = Channel::new("flood")?;
    for n in 0..MANY / 2 {
        driver.publish(&channel, n.to_string().into()).await?;
        ensure_eq!(quick.text().await?.1, n.to_string(), "what a quick subscriber is told");
    }
    Ok(())
}

async fn large_messages_are_bounded_as_well(ctx: Context) -> CaseResult {
    const LARGE: usize = 256 * 1024;
    let mut listener = Listener::open(&ctx.another().await?, "flood").await?;
    flood(&ctx.driver(), 160, LARGE).await?;
    let told = read_flood(&mut listener, 160).await?;
    let bounded = told.missed_unknown || told.missed > 0;
    ensure!(bounded, "40 MiB of messages were kept for a subscriber that did not read: {told:?}");
    Ok(())
}
