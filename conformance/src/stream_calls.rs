//! Calls about streams in the short form that cases use.

use crate::failure::{Failure, ensure, here};
use crate::waiting::PATIENCE;
use linchpin_core::{
    Action, Claim, Delivery, Driver, GroupName, MemberName, Position, Receipt, Record, Settled, Settlement, StreamName,
};
use std::sync::Arc;

/// A claim of one record that looks once.
#[track_caller]
pub(crate) fn claim(stream: &str, group: &str, member: &str) -> Result<Claim, Failure> {
    Ok(Claim::new(StreamName::new(stream)?, GroupName::new(group)?, MemberName::new(member)?))
}

/// Appends payloads; their positions.
#[track_caller]
pub(crate) fn append(
    driver: &Arc<dyn Driver>,
    stream: &str,
    payloads: &[&str],
) -> impl Future<Output = Result<Vec<Position>, Failure>> {
    here(async move {
        let records: Vec<_> = payloads.iter().map(|payload| Record::new((*payload).to_owned())).collect();
        append_records(driver, stream, &records).await
    })
}

/// Appends records that are new; their positions.
#[track_caller]
pub(crate) fn append_records(
    driver: &Arc<dyn Driver>,
    stream: &str,
    records: &[Record],
) -> impl Future<Output = Result<Vec<Position>, Failure>> {
    here(async move {
        let appended = driver.append(&StreamName::new(stream)?, records).await?;
        ensure!(appended.len() == records.len(), "append answered {appended:?} for {} records", records.len());
        ensure!(appended.iter().all(|one| !one.duplicate), "append took new records for duplicates: {appended:?}");
        Ok(appended.into_iter().map(|one| one.position).collect())
    })
}

/// Claims one record, which must be there or come soon.
#[track_caller]
pub(crate) fn take_one(driver: &Arc<dyn Driver>, claim: Claim) -> impl Future<Output = Result<Delivery, Failure>> {
    here(async move {
        let claim = claim.max(1).wait(PATIENCE);
        let whose = format!("group {:?} of stream {:?}", claim.group.as_str(), claim.stream.as_str());
        match <[Delivery; 1]>::try_from(driver.claim(&claim).await?) {
            Ok([delivery]) => Ok(delivery),
            Err(none) if none.is_empty() => {
                Err(Failure::new(format!("a record for {whose}: none was delivered within {PATIENCE:?}")))
            }
            Err(many) => Err(Failure::new(format!("a claim of one record for {whose} brought {many:?}"))),
        }
    })
}

/// Claims until `count` records were delivered; each claim may bring only some.
#[track_caller]
pub(crate) fn take(
    driver: &Arc<dyn Driver>,
    claim: Claim,
    count: usize,
) -> impl Future<Output = Result<Vec<Delivery>, Failure>> {
    here(async move {
        let mut taken = Vec::new();
        while taken.len() < count {
            let some = driver.claim(&claim.clone().max(count - taken.len()).wait(PATIENCE)).await?;
            ensure!(!some.is_empty(), "{} of {count} records were delivered, then no more", taken.len());
            ensure!(some.len() <= count - taken.len(), "a claim brought more records than it asked for");
            taken.extend(some);
        }
        Ok(taken)
    })
}

/// Claims once; there must be nothing.
#[track_caller]
pub(crate) fn take_nothing(
    driver: &Arc<dyn Driver>,
    claim: &Claim,
    why: &str,
) -> impl Future<Output = Result<(), Failure>> {
    here(async move {
        let deliveries = driver.claim(claim).await?;
        ensure!(deliveries.is_empty(), "{why}, but it was delivered: {deliveries:?}");
        Ok(())
    })
}

/// Settles one delivery.
#[track_caller]
pub(crate) fn settle(
    driver: &Arc<dyn Driver>,
    receipt: &Receipt,
    action: Action,
) -> impl Future<Output = Result<Settled, Failure>> {
    here(async move {
        match driver.settle(&[Settlement { receipt: receipt.clone(), action }]).await?[..] {
            [settled] => Ok(settled),
            ref other => Err(Failure::new(format!("settle answered {other:?} for one settlement"))),
        }
    })
}

/// Settles one delivery that is still the caller's.
#[track_caller]
pub(crate) fn settle_own(
    driver: &Arc<dyn Driver>,
    delivery: &Delivery,
    action: Action,
) -> impl Future<Output = Result<(), Failure>> {
    here(async move {
        let settled = settle(driver, &delivery.receipt, action.clone()).await?;
        ensure!(settled == Settled::Done, "{action:?} of {:?} was refused as stale, but it is not", delivery.receipt);
        Ok(())
    })
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
