//! Settling.

use super::super::prelude::*;
use crate::failure::here;
use crate::stream_calls::{append, claim, settle, settle_own, take, take_nothing, take_one, text};
use crate::waiting::{LONG, timed};
use linchpin_core::{Action, Position, Receipt, Settled, Settlement};

cases! { Streams "streams";
    acknowledged_is_never_seen_again [Streams] ACKNOWLEDGED_IS_NEVER_SEEN_AGAIN
        "`Ack`: done, the group never sees it again";
    a_retry_comes_again_at_once [Streams] RETRY_COMES_AGAIN_AT_ONCE + COMPONENTS_CONTRIB_4174
        "`Retry`: deliver it again, with a higher delivery count";
    settled_is_stale [Streams] SETTLED_IS_STALE
        "`Stale`: the record was settled before; nothing was changed";
    delivered_again_is_stale [Streams] SETTLED_IS_STALE + COMPONENTS_CONTRIB_4577
        "Settling with a stale claim is refused: the record was delivered again";
    another_handle_may_settle [Streams] ANOTHER_HANDLE_MAY_SETTLE
        "A settlement refers to a delivery by its receipt, whichever handle it came through";
    each_settlement_is_on_its_own [Streams] EACH_SETTLEMENT_IS_ON_ITS_OWN
        "`settle` settles deliveries each on its own: one `Settled` per settlement, in their order";
    settling_nothing_settles_nothing [Streams] EACH_SETTLEMENT_IS_ON_ITS_OWN
        "`settle` answers one `Settled` per settlement, so none for none";
    a_delivery_that_never_was_is_stale [Streams] SETTLED_IS_STALE
        "Settling with a stale claim is refused, and so is one with a claim that never was";
    a_late_acknowledgement_counts_until_redelivery [Streams] LATE_ACKNOWLEDGEMENT_COUNTS_UNTIL_REDELIVERY
        "A receipt is stale once the record was delivered again or settled, not before";
}

const RETRY: Action = Action::Retry { after: Duration::ZERO };

async fn acknowledged_is_never_seen_again(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["done"]).await?;
    let visibility = Duration::from_millis(150);
    let held = timed(take_one(&driver, claim("s", "g", "m")?.visibility(visibility))).await?;
    settle_own(&driver, &held.value, Action::Ack).await?;
    held.window(visibility, ctx.stream_slack()).has_passed().await;
    for member in ["m", "another"] {
        take_nothing(&driver, &claim("s", "g", member)?, "the record was acknowledged").await?;
    }
    Ok(())
}

async fn a_retry_comes_again_at_once(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["again"]).await?;
    for n in 1..=4 {
        let member = format!("m{}", n % 2);
        let delivery = take_one(&driver, claim("s", "g", &member)?.visibility(LONG)).await?;
        ensure_eq!(delivery.receipt.position, Position(1), "the position");
        ensure_eq!(delivery.receipt.delivery, n, "the delivery count");
        ensure_eq!(text(&delivery), "again", "the payload");
        settle_own(&driver, &delivery, RETRY).await?;
    }
    Ok(())
}

/// Every settlement with this receipt must be refused.
#[track_caller]
fn is_stale(driver: &Arc<dyn Driver>, receipt: &Receipt, actions: &[Action]) -> impl Future<Output = CaseResult> {
    here(async move {
        for action in actions {
            let settled = settle(driver, receipt, action.clone()).await?;
            ensure_eq!(settled, Settled::Stale, "{action:?} with a stale receipt");
        }
        Ok(())
    })
}

async fn settled_is_stale(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["acknowledged", "given back"]).await?;
    let actions = [Action::Ack, RETRY, Action::Extend { visibility: LONG }];
    let acknowledged = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &acknowledged, Action::Ack).await?;
    is_stale(&driver, &acknowledged.receipt, &actions).await?;
    let given_back = take_one(&driver, claim("s", "g", "m")?).await?;
    settle_own(&driver, &given_back, RETRY).await?;
    is_stale(&driver, &given_back.receipt, &actions).await?;
    let again = take_one(&driver, claim("s", "g", "m")?).await?;
    ensure_eq!(again.receipt.delivery, 2, "the delivery count after stale settlements");
    settle_own(&driver, &again, Action::Ack).await
}

async fn delivered_again_is_stale(ctx: Context) -> CaseResult {
    let (driver, other) = (ctx.driver(), ctx.another().await?);
    append(&driver, "s", &["slow"]).await?;
    let slow = take_one(&driver, claim("s", "g", "m1")?.visibility(Duration::from_millis(100))).await?;
    let current = take_one(&other, claim("s", "g", "m2")?.visibility(LONG)).await?;
    let actions = [Action::Ack, RETRY, Action::Extend { visibility: Duration::from_millis(1) }];
    is_stale(&driver, &slow.receipt, &actions).await?;
    take_nothing(&driver, &claim("s", "g", "m1")?, "the record is m2's, whatever m1 sent").await?;
    settle_own(&other, &current, Action::Ack).await
}

async fn another_handle_may_settle(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["handed over"]).await?;
    let delivery = take_one(&driver, claim("s", "g", "m")?).await?;
    driver.close().await?;
    let other = ctx.another().await?;
    settle_own(&other, &delivery, RETRY).await?;
    let again = take_one(&other, claim("s", "g", "m")?).await?;
    ensure_eq!(again.receipt.delivery, 2, "the delivery count");
    settle_own(&other, &again, Action::Ack).await
}

async fn each_settlement_is_on_its_own(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["0", "1", "2", "3"]).await?;
    append(&driver, "t", &["other stream"]).await?;
    let mut taken = take(&driver, claim("s", "g", "m")?, 4).await?;
    taken.push(take_one(&driver, claim("t", "g", "m")?).await?);
    settle_own(&driver, &taken[1], Action::Ack).await?;
    let actions = [Action::Ack, Action::Ack, RETRY, Action::Extend { visibility: LONG }, Action::Ack];
    let settlements: Vec<_> = taken
        .iter()
        .zip(actions)
        .map(|(delivery, action)| Settlement { receipt: delivery.receipt.clone(), action })
        .collect();
    let settled = driver.settle(&settlements).await?;
    ensure_eq!(settled, [Settled::Done, Settled::Stale, Settled::Done, Settled::Done, Settled::Done], "the answers");
    let again = take_one(&driver, claim("s", "g", "m")?).await?;
    ensure_eq!(text(&again), "2", "the record that was given back");
    take_nothing(&driver, &claim("s", "g", "m")?, "the others are acknowledged or kept").await
}

async fn settling_nothing_settles_nothing(ctx: Context) -> CaseResult {
    ensure_eq!(ctx.driver().settle(&[]).await?, [], "the answers");
    Ok(())
}

async fn a_delivery_that_never_was_is_stale(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["1", "2"]).await?;
    let real = take_one(&driver, claim("s", "g", "m")?).await?.receipt;
    let never = [
        Receipt { delivery: real.delivery + 1, ..real.clone() },
        Receipt { position: Position(2), ..real.clone() },
        Receipt { position: Position(99), ..real.clone() },
        Receipt { group: claim("s", "nobody", "m")?.group, ..real.clone() },
        Receipt { stream: claim("nobody", "g", "m")?.stream, ..real.clone() },
    ];
    for receipt in never {
        is_stale(&driver, &receipt, &[Action::Ack]).await?;
    }
    ensure_eq!(settle(&driver, &real, Action::Ack).await?, Settled::Done, "acknowledging the real delivery");
    ensure_eq!(text(&take_one(&driver, claim("s", "g", "m")?).await?), "2", "the next record");
    Ok(())
}

async fn a_late_acknowledgement_counts_until_redelivery(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    append(&driver, "s", &["late"]).await?;
    let visibility = Duration::from_millis(100);
    let held = timed(take_one(&driver, claim("s", "g", "m")?.visibility(visibility))).await?;
    held.window(visibility, ctx.stream_slack()).has_passed().await;
    settle_own(&driver, &held.value, Action::Ack).await?;
    take_nothing(&driver, &claim("s", "g", "m")?, "the record was acknowledged").await
}
