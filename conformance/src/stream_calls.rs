//! Calls about streams in the short form that cases use.

use crate::failure::{Failure, ensure};
use crate::waiting::PATIENCE;
use linchpin_core::{
    Action, Claim, Delivery, Driver, GroupName, MemberName, Position, Receipt, Record, Settled, Settlement, StreamName,
};

/// A claim of one record that looks once.
pub(crate) fn claim(stream: &str, group: &str, member: &str) -> Result<Claim, Failure> {
    Ok(Claim::new(StreamName::new(stream)?, GroupName::new(group)?, MemberName::new(member)?))
}

/// Appends payloads; their positions.
pub(crate) async fn append(driver: &dyn Driver, stream: &str, payloads: &[&str]) -> Result<Vec<Position>, Failure> {
    let records: Vec<_> = payloads.iter().map(|payload| Record::new((*payload).to_owned())).collect();
    append_records(driver, stream, &records).await
}

/// Appends records that are new; their positions.
pub(crate) async fn append_records(
    driver: &dyn Driver,
    stream: &str,
    records: &[Record],
) -> Result<Vec<Position>, Failure> {
    let appended = driver.append(&StreamName::new(stream)?, records).await?;
    ensure!(appended.len() == records.len(), "append answered {appended:?} for {} records", records.len());
    ensure!(appended.iter().all(|one| !one.duplicate), "append took new records for duplicates: {appended:?}");
    Ok(appended.into_iter().map(|one| one.position).collect())
}

/// Claims one record, which must be there or come soon.
pub(crate) async fn take_one(driver: &dyn Driver, claim: Claim) -> Result<Delivery, Failure> {
    let deliveries = driver.claim(&claim.max(1).wait(PATIENCE)).await?;
    match <[Delivery; 1]>::try_from(deliveries) {
        Ok([delivery]) => Ok(delivery),
        Err(other) => Err(Failure::new(format!("expected one record to be delivered, got {other:?}"))),
    }
}

/// Claims until `count` records were delivered; each claim may bring only some.
pub(crate) async fn take(driver: &dyn Driver, claim: Claim, count: usize) -> Result<Vec<Delivery>, Failure> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let some = driver.claim(&claim.clone().max(count - taken.len()).wait(PATIENCE)).await?;
        ensure!(!some.is_empty(), "{} of {count} records were delivered, then no more", taken.len());
        ensure!(some.len() <= count - taken.len(), "a claim brought more records than it asked for");
        taken.extend(some);
    }
    Ok(taken)
}

/// Claims once; there must be nothing.
pub(crate) async fn take_nothing(driver: &dyn Driver, claim: &Claim, why: &str) -> Result<(), Failure> {
    let deliveries = driver.claim(claim).await?;
    ensure!(deliveries.is_empty(), "{why}, but it was delivered: {deliveries:?}");
    Ok(())
}

/// Settles one delivery.
pub(crate) async fn settle(driver: &dyn Driver, receipt: &Receipt, action: Action) -> Result<Settled, Failure> {
    match driver.settle(&[Settlement { receipt: receipt.clone(), action }]).await?[..] {
        [settled] => Ok(settled),
        ref other => Err(Failure::new(format!("settle answered {other:?} for one settlement"))),
    }
}

/// Settles one delivery that is still the caller's.
pub(crate) async fn settle_own(driver: &dyn Driver, delivery: &Delivery, action: Action) -> Result<(), Failure> {
    let settled = settle(driver, &delivery.receipt, action.clone()).await?;
    ensure!(settled == Settled::Done, "{action:?} of {:?} was refused as stale, but it is not", delivery.receipt);
    Ok(())
}

/// The payload as text.
pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.payload).into_owned()
}

/// The payloads as text, sorted.
pub(crate) fn sorted_texts(deliveries: &[Delivery]) -> Vec<String> {
    let mut texts: Vec<_> = deliveries.iter().map(text).collect();
    texts.sort_unstable();
    texts
}
