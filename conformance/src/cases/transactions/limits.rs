//! How large a transaction may be, and what makes no sense in one.

use super::super::prelude::*;
use crate::calls::{commit, names, numbered, put, scan};
use bytes::Bytes;
use linchpin_core::Range;

cases! { Transactions "transactions";
    as_many_operations_as_declared [MultiKey] AS_MANY_OPERATIONS_AS_DECLARED
        "`limits.transaction_operations`: guards and mutations of one transaction, 128 at least";
    too_many_operations_are_refused [] TOO_MANY_OPERATIONS_ARE_REFUSED
        "Too many operations are `InvalidArgument`, and nothing is applied";
    as_many_bytes_as_declared [MultiKey] AS_MANY_BYTES_AS_DECLARED
        "`limits.transaction_bytes`: all values of one transaction, 1 MiB at least";
    too_many_bytes_are_refused [MultiKey] TOO_MANY_OPERATIONS_ARE_REFUSED
        "Over the limit is `InvalidArgument` before anything is sent: all values of one transaction";
    a_key_is_changed_once [] KEY_IS_CHANGED_ONCE
        "Each key may be mutated once";
    a_key_may_be_guarded_more_than_once [] KEY_IS_CHANGED_ONCE
        "Each key may be mutated once, and guarded as often as one likes";
}

async fn as_many_operations_as_declared(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = numbered("key-", ctx.capabilities().limits.transaction_operations / 2)?;
    let create = |t: Transaction, key: &Key| t.absent(key.clone()).put(key.clone(), "1", None);
    commit(&driver, keys.iter().fold(Transaction::new(), create)).await?;
    ensure_eq!(scan(&driver, &Range::all()).await?.len(), keys.len(), "the keys written");
    Ok(())
}

async fn too_many_operations_are_refused(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let limit = ctx.capabilities().limits.transaction_operations;
    let guards = (0..limit).fold(Transaction::new(), |t, _| t.absent(key.clone()));
    let over = guards.put(key, "1", None);
    fails_with(driver.commit(&over).await, ErrorKind::InvalidArgument, format!("{} operations", over.operations()))?;
    ensure!(names(&driver, &Range::all()).await?.is_empty(), "a refused transaction was applied");
    Ok(())
}

/// Writes values that are `bytes` long together, each of the full size but the last.
#[track_caller]
fn values(ctx: &Context, bytes: usize) -> Result<Transaction, Failure> {
    let limits = ctx.capabilities().limits;
    let full = Bytes::from(vec![b'x'; limits.value]);
    let mut transaction = Transaction::new();
    let mut left = bytes;
    for n in 0.. {
        if left == 0 {
            break;
        }
        let some = full.slice(..left.min(full.len()));
        left -= some.len();
        transaction = transaction.put(Key::new(format!("value-{n}"))?, some, None);
    }
    ensure!(
        transaction.operations() <= limits.transaction_operations,
        "transaction_bytes is more than transaction_operations values of the full size: it can never be reached"
    );
    Ok(transaction)
}

async fn as_many_bytes_as_declared(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let limit = ctx.capabilities().limits.transaction_bytes;
    commit(&driver, values(&ctx, limit)?).await?;
    let stored: usize = scan(&driver, &Range::all()).await?.iter().map(|entry| entry.value.len()).sum();
    ensure_eq!(stored, limit, "the bytes stored");
    Ok(())
}

async fn too_many_bytes_are_refused(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let over = values(&ctx, ctx.capabilities().limits.transaction_bytes + 1)?;
    fails_with(driver.commit(&over).await, ErrorKind::InvalidArgument, "too many bytes")?;
    ensure!(names(&driver, &Range::all()).await?.is_empty(), "a refused transaction was applied");
    Ok(())
}

async fn a_key_is_changed_once(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let put_it = || Transaction::new().put(key.clone(), "1", None);
    for twice in
        [put_it().put(key.clone(), "2", None), put_it().delete(key.clone()), put_it().add(key.clone(), 1, None)]
    {
        fails_with(driver.commit(&twice).await, ErrorKind::InvalidArgument, format!("{twice:?}"))?;
    }
    ensure!(names(&driver, &Range::all()).await?.is_empty(), "a refused transaction was applied");
    Ok(())
}

async fn a_key_may_be_guarded_more_than_once(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let version = put(&driver, &key, "1").await?;
    let guarded = Transaction::new().present(key.clone()).version_is(key.clone(), version).present(key.clone());
    commit(&driver, guarded.put(key, "2", None)).await?;
    Ok(())
}
