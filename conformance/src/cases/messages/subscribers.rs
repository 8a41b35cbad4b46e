//! Several subscribers, and subscribers that leave.

use super::super::prelude::*;
use crate::readers::Listener;
use crate::waiting::eventually;
use linchpin_core::Reach;

cases! { Messages "messages";
    every_subscriber_gets_it [Messages] MESSAGE_ARRIVES
        "A message reaches those subscribed when it is sent: every one of them";
    overlapping_patterns_deliver_once [Messages] EACH_MESSAGE_ARRIVES_ONCE
        "Overlapping patterns deliver once to each subscription";
    many_patterns_on_one_handle [Messages] MANY_PATTERNS_ON_ONE_HANDLE
        "A subscription yields the messages that match its pattern, whatever else its handle is subscribed to";
    others_come_and_go_unnoticed [Messages] MANY_PATTERNS_ON_ONE_HANDLE
        "Each message arrives once, whatever overlapping patterns the same handle subscribes to and drops meanwhile";
    dropping_ends_a_subscription [Messages] DROPPING_ENDS_A_SUBSCRIPTION + REDISSON_4064 + CURATOR_1170
        "Dropping a subscription ends it, at the server too";
    dropping_leaves_the_others [Messages] DROPPING_ENDS_A_SUBSCRIPTION
        "Dropping a subscription ends it, and no other of the same pattern";
    a_subscription_outlives_its_handle [Messages] SUBSCRIPTION_OUTLIVES_ITS_HANDLE
        "A subscription goes on though its handle is dropped, unless that is closed before";
    subscribing_again_works [Messages] SUBSCRIPTION_IS_LIVE_WHEN_IT_IS_RETURNED
        "`subscribe` returns once the subscription is live, also where one was dropped before";
    nobody_is_told_apart [Messages] NOBODY_IS_TOLD_APART
        "`Reach`: 0 means surely nobody, `None` unknown";
    reach_is_never_too_low [Messages] NOBODY_IS_TOLD_APART
        "`Reach`: at most this many subscribers or subscribed processes";
}

async fn publish(driver: &Arc<dyn Driver>, channel: &str, payload: &'static str) -> Result<Reach, Error> {
    driver.publish(&Channel::new(channel)?, payload.into()).await
}

async fn every_subscriber_gets_it(ctx: Context) -> CaseResult {
    let mut listeners = Vec::new();
    for n in 0..6 {
        let driver = if n % 2 == 0 { ctx.driver() } else { ctx.another().await? };
        listeners.push(Listener::open(&driver, "news").await?);
    }
    publish(&ctx.driver(), "news", "1").await?;
    publish(&ctx.another().await?, "news", "2").await?;
    for listener in &mut listeners {
        let mut told = [listener.text().await?.1, listener.text().await?.1];
        told.sort_unstable();
        ensure_eq!(told, ["1", "2"], "what each subscriber was told");
    }
    Ok(())
}

async fn a_subscription_outlives_its_handle(ctx: Context) -> CaseResult {
    let subscribed = ctx.another_to_drop().await?;
    let mut listener = Listener::open(&subscribed, "news").await?;
    drop(subscribed);
    for text in ["1", "2", "3"] {
        publish(&ctx.driver(), "news", text).await?;
        ensure_eq!(listener.text().await?.1, text, "what the subscriber was told");
    }
    Ok(())
}

async fn overlapping_patterns_deliver_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut listeners = Vec::new();
    for pattern in ["a/b", "a/*", "*", "a/?", "a/[b]", "a/b", "*b", "[a]*"] {
        listeners.push((pattern, Listener::open(&driver, pattern).await?));
    }
    publish(&driver, "a/b", "once").await?;
    publish(&driver, "a/b", "last").await?;
    for (pattern, listener) in &mut listeners {
        ensure_eq!(listener.text().await?.1, "once", "the first message of {pattern}");
        ensure_eq!(listener.text().await?.1, "last", "the second message of {pattern}");
    }
    Ok(())
}

async fn many_patterns_on_one_handle(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let mut listeners = Vec::new();
    for n in 0..50 {
        let pattern = if n % 2 == 0 { format!("c{n}/*") } else { format!("c{n}/x") };
        listeners.push((n, Listener::open(&driver, &pattern).await?));
    }
    for n in (0..50).rev() {
        publish(&driver, &format!("c{n}/x"), "hello").await?;
    }
    for (n, listener) in &mut listeners {
        ensure_eq!(listener.text().await?.0, format!("c{n}/x"), "the channel of subscription {n}");
    }
    Ok(())
}

async fn others_come_and_go_unnoticed(ctx: Context) -> CaseResult {
    const MESSAGES: usize = 600;
    let (driver, publisher) = (ctx.driver(), ctx.another().await?);
    let mut kept = [Listener::open(&driver, "a/b/c").await?, Listener::open(&driver, "a/b/*").await?];
    let publishing = async {
        let channel = Channel::new("a/b/c")?;
        for n in 0..MESSAGES {
            publisher.publish(&channel, n.to_string().into()).await?;
        }
        Ok::<_, Failure>(())
    };
    let churning = async {
        loop {
            for pattern in ["a/*", "*", "a/b/c", "a/b/?", "a/b*"] {
                let (wide, narrow) = (Listener::open(&driver, pattern).await?, Listener::open(&driver, "a/b/c").await?);
                drop(wide);
                drop(narrow);
            }
        }
    };
    tokio::select! {
        sent = publishing => sent?,
        failed = churning => return failed,
    }
    for listener in &mut kept {
        for n in 0..MESSAGES {
            ensure_eq!(listener.text().await?.1, n.to_string(), "the message after {n} others");
        }
    }
    Ok(())
}

async fn dropping_ends_a_subscription(ctx: Context) -> CaseResult {
    let (driver, publisher) = (ctx.driver(), ctx.another().await?);
    let mut listener = Listener::open(&driver, "c").await?;
    publish(&publisher, "c", "1").await?;
    listener.message().await?;
    drop(listener);
    if ctx.capabilities().messages.is_some_and(|messages| messages.knows_nobody) {
        let look = async || Ok((publish(&publisher, "c", "2").await?.at_most == Some(0)).then_some(()));
        eventually("the end of a dropped subscription", look).await?;
    }
    // Nothing of the dropped one is left for whoever comes next.
    let mut next = Listener::open(&driver, "c").await?;
    publish(&publisher, "c", "3").await?;
    ensure_eq!(next.text().await?.1, "3", "the first message of the next subscription");
    Ok(())
}

async fn dropping_leaves_the_others(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for pattern in ["c/d", "c/*"] {
        let dropped = Listener::open(&driver, pattern).await?;
        let mut kept = Listener::open(&driver, pattern).await?;
        drop(dropped);
        let also_dropped = Listener::open(&driver, pattern).await?;
        drop(also_dropped);
        for payload in ["1", "2", "3"] {
            publish(&driver, "c/d", payload).await?;
            ensure_eq!(kept.text().await?.1, payload, "what {pattern} is told after another was dropped");
            // Long enough for the server to hear of what was dropped.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

async fn subscribing_again_works(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for n in 0..30 {
        let mut listener = Listener::open(&driver, if n % 3 == 0 { "c" } else { "c*" }).await?;
        publish(&driver, "c", "hello").await?;
        listener.message().await?;
    }
    Ok(())
}

async fn nobody_is_told_apart(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let _other = Listener::open(&driver, "others").await?;
    let reach = publish(&driver, "nobody", "hello").await?;
    if ctx.capabilities().messages.is_some_and(|messages| messages.knows_nobody) {
        ensure_eq!(reach.at_most, Some(0), "the reach of a message to nobody, which the backend can know");
    }
    Ok(())
}

async fn reach_is_never_too_low(ctx: Context) -> CaseResult {
    let (driver, other) = (ctx.driver(), ctx.another().await?);
    for pattern in ["news", "new*", "n[e]ws"] {
        let mut listener = Listener::open(&driver, pattern).await?;
        for publisher in [&driver, &other] {
            let reach = publish(publisher, "news", "hello").await?;
            listener.message().await?;
            ensure!(reach.at_most != Some(0), "a message to nobody arrived at a subscriber of {pattern}");
        }
    }
    Ok(())
}
