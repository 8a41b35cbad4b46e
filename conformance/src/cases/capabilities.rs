//! What a backend says of itself.

use super::prelude::*;
use crate::need::Need;
use crate::waiting::timed;
use linchpin_core::{Limits, MAX_TTL};

cases! { Capabilities "capabilities";
    backend_has_a_name_and_a_version [] BACKEND_HAS_A_NAME_AND_A_VERSION
        "Capabilities are graded data, beginning with the backend and its version";
    limits_are_at_least_the_minimum [] LIMITS_ARE_AT_LEAST_THE_MINIMUM
        "`Limits::MINIMUM` is what every backend offers at least";
    limits_can_be_reached [] LIMITS_CAN_BE_REACHED
        "What is declared is tested: a limit no client could reach would be none";
    ttl_support_makes_sense [Ttl] TTL_SUPPORT_MAKES_SENSE
        "A backend that counts in seconds says so in its capabilities: granularity, minimum, slack";
    windows_are_longer_than_nothing [] WINDOWS_ARE_LONGER_THAN_NOTHING
        "A transaction's id and a record's id are remembered for the window that is declared";
    durability_has_a_reason [] DURABILITY_HAS_A_REASON
        "Durability says what it rests on, in the backend's own words";
    every_handle_declares_the_same [] EVERY_HANDLE_DECLARES_THE_SAME
        "Capabilities are what the backend can do, whichever handle is asked";
    what_is_not_declared_is_refused [] WHAT_IS_NOT_DECLARED_IS_REFUSED + OMNIQUEUE_RS_182
        "What is not declared is refused with `Unsupported` before the backend is touched: all of it";
    health_is_answered [] HEALTH_IS_ANSWERED
        "Health is how long the question took to be answered, and why the backend works but not as it should";
}

async fn backend_has_a_name_and_a_version(ctx: Context) -> CaseResult {
    let capabilities = ctx.capabilities();
    let name = &capabilities.backend;
    ensure!(!name.is_empty() && *name == name.to_lowercase(), "the backend calls itself {name:?}");
    ensure!(!capabilities.version.trim().is_empty(), "the backend does not tell its version");
    Ok(())
}

async fn limits_are_at_least_the_minimum(ctx: Context) -> CaseResult {
    let (own, least) = (ctx.capabilities().limits, Limits::MINIMUM);
    ensure!(own.value >= least.value, "values: {}", own.value);
    ensure!(own.message >= least.message, "messages: {}", own.message);
    ensure!(own.record >= least.record, "records: {}", own.record);
    ensure!(own.transaction_operations >= least.transaction_operations, "operations: {}", own.transaction_operations);
    ensure!(own.transaction_bytes >= least.transaction_bytes, "transactions: {}", own.transaction_bytes);
    ensure!(own.batch >= least.batch, "batches: {}", own.batch);
    ensure!(own.transaction_bytes >= own.value, "a value of the full size does not fit into any transaction");
    Ok(())
}

async fn limits_can_be_reached(ctx: Context) -> CaseResult {
    const LARGEST: usize = 1 << 30;
    const MOST: usize = 1_000_000;
    let own = ctx.capabilities().limits;
    for size in [own.value, own.message, own.record, own.transaction_bytes] {
        ensure!(size <= LARGEST, "a limit of {size} bytes is more than any test can prove");
    }
    for count in [own.transaction_operations, own.batch] {
        ensure!(count <= MOST, "a limit of {count} is more than any test can prove");
    }
    Ok(())
}

async fn ttl_support_makes_sense(ctx: Context) -> CaseResult {
    let ttl = ctx.capabilities().ttl.ok_or_else(|| Failure::new("no ttl support is declared"))?;
    ensure!(!ttl.granularity.is_zero(), "a granularity of zero");
    ensure!(!ttl.minimum.is_zero(), "a minimum of zero, which is refused in any case");
    ensure!(ttl.minimum <= Duration::from_mins(1), "a minimum of {:?} is no use for leases", ttl.minimum);
    ensure!(ttl.granularity <= Duration::from_mins(1), "a granularity of {:?}", ttl.granularity);
    ensure!(ttl.slack < MAX_TTL, "a slack of {:?} promises nothing", ttl.slack);
    Ok(())
}

async fn windows_are_longer_than_nothing(ctx: Context) -> CaseResult {
    let capabilities = ctx.capabilities();
    ensure!(capabilities.transaction_ids != Some(Duration::ZERO), "transaction ids are remembered for no time");
    let dedupe = capabilities.streams.and_then(|streams| streams.dedupe_window);
    ensure!(dedupe != Some(Duration::ZERO), "record ids are remembered for no time");
    Ok(())
}

async fn durability_has_a_reason(ctx: Context) -> CaseResult {
    let durability = &ctx.capabilities().durability;
    ensure!(!durability.why.trim().is_empty(), "the durability does not say what it rests on");
    let consistent = durability.survives_restart || !durability.survives_power_loss;
    ensure!(consistent, "what survives a loss of power survives a restart: {durability:?}");
    Ok(())
}

async fn every_handle_declares_the_same(ctx: Context) -> CaseResult {
    let another = ctx.another().await?;
    ensure_eq!(another.capabilities(), ctx.capabilities(), "the capabilities of a second handle");
    Ok(())
}

async fn health_is_answered(ctx: Context) -> CaseResult {
    let health = timed(ctx.driver().health()).await?;
    let took = health.answered - health.sent;
    ensure!(health.value.latency <= took, "a latency of {:?} in a call of {took:?}", health.value.latency);
    for reason in &health.value.degraded {
        ensure!(!reason.is_empty() && !reason.contains('\n'), "a reason is one line, this is {reason:?}");
    }
    Ok(())
}

async fn what_is_not_declared_is_refused(ctx: Context) -> CaseResult {
    for need in Need::ALL {
        if !need.is_declared(ctx.capabilities()) {
            need.refusal()(ctx.clone()).await?;
        }
    }
    Ok(())
}
