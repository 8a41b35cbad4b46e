//! Transaction ids: what makes a retry safe.

use super::super::prelude::*;
use crate::calls::{commit, counter, delete, names, present, put, refused};
use crate::waiting::{LONG, together};
use linchpin_core::{Range, Revision, TransactionId};

cases! { Transactions "transactions";
    a_repeat_gets_the_first_outcome [TransactionIds] REPEAT_GETS_THE_FIRST_OUTCOME
        "A transaction with an id is applied at most once; the repeat gets the first outcome";
    a_repeat_is_blind_to_what_came_after [TransactionIds] REPEAT_GETS_THE_FIRST_OUTCOME
        "The repeat gets the first outcome, whatever has happened to its keys since";
    a_guarded_repeat_gets_the_first_outcome [TransactionIds] REPEAT_GETS_THE_FIRST_OUTCOME
        "The repeat gets the first outcome, though its guards hold no more";
    a_repeat_through_another_handle_is_one [TransactionIds] CONCURRENT_REPEATS_APPLY_ONCE
        "Applied at most once within the backend's window, however often and by whatever handle it is sent";
    concurrent_repeats_apply_once [TransactionIds] CONCURRENT_REPEATS_APPLY_ONCE
        "Applied at most once within the backend's window, however often it is sent, also at the same time";
    ids_of_a_contended_key_are_remembered [TransactionIds] CONCURRENT_REPEATS_APPLY_ONCE
        "Applied at most once within the backend's window, however many others write the same key at the same time";
    a_refusal_is_kept_too [TransactionIds] REFUSAL_IS_KEPT_TOO
        "The repeat gets the first outcome, a refusal too: a late attempt cannot apply what was refused";
    a_conflict_is_kept_too [TransactionIds] CONFLICT_IS_KEPT_TOO
        "The repeat gets the first outcome, a conflict too: a late attempt cannot apply what failed";
    ids_are_remembered_for_their_window [TransactionIds] CONCURRENT_REPEATS_APPLY_ONCE
        "Applied at most once within the backend's window, as long as that is declared";
    other_ids_are_other_transactions [TransactionIds] OTHER_IDS_ARE_OTHER_TRANSACTIONS
        "An id names one transaction: the same changes under another id are applied again";
    a_reused_id_is_a_conflict [TransactionIds] REUSED_ID_IS_A_CONFLICT
        "An id names one transaction: another one under it fails with `Conflict` and changes nothing";
}

async fn a_conflict_is_kept_too(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    put(&driver, &key, "no counter").await?;
    let add = add_once(&key, TransactionId::random());
    fails_with(driver.commit(&add).await, ErrorKind::Conflict, "adding to a text")?;
    put(&driver, &key, "7").await?;
    let again = fails_with(driver.commit(&add).await, ErrorKind::Conflict, "the repeat")?;
    ensure_eq!(again.subject(), Some("hits"), "the key that the error names");
    ensure_eq!(counter(&driver, &key).await?, 7, "the counter");
    Ok(())
}

async fn ids_are_remembered_for_their_window(ctx: Context) -> CaseResult {
    /// Retries stop at half of the window; no case waits longer than this.
    const LOOKED_AT: Duration = Duration::from_secs(3);
    let (driver, other, key) = (ctx.driver(), ctx.another().await?, Key::new("hits")?);
    let window = ctx.capabilities().transaction_ids.unwrap_or_default() / 2;
    let add = add_once(&key, TransactionId::random());
    let first = commit(&driver, add.clone()).await?;
    let until = std::time::Instant::now() + window.min(LOOKED_AT);
    while std::time::Instant::now() < until {
        // Others come meanwhile: what is kept is not only the last.
        commit(&other, add_once(&Key::new("other")?, TransactionId::random())).await?;
        tokio::time::sleep(LOOKED_AT / 100).await;
    }
    ensure_eq!(commit(&driver, add).await?, first, "the outcome of a late repeat");
    ensure_eq!(counter(&driver, &key).await?, 1, "the counter");
    Ok(())
}

pub(super) fn add_once(key: &Key, id: TransactionId) -> Transaction {
    Transaction::new().add(key.clone(), 1, None).with_id(id)
}

async fn a_repeat_gets_the_first_outcome(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    let add = add_once(&key, TransactionId::random());
    let first = commit(&driver, add.clone()).await?;
    for n in 1..4 {
        ensure_eq!(commit(&driver, add.clone()).await?, first, "the outcome of repeat {n}");
    }
    ensure_eq!(counter(&driver, &key).await?, 1, "the counter");
    Ok(())
}

async fn a_repeat_is_blind_to_what_came_after(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    let add = add_once(&key, TransactionId::random());
    let first = commit(&driver, add.clone()).await?;
    put(&driver, &key, "1000").await?;
    ensure_eq!(commit(&driver, add.clone()).await?, first, "the outcome after another write");
    ensure_eq!(counter(&driver, &key).await?, 1000, "the counter");
    delete(&driver, &key).await?;
    ensure_eq!(commit(&driver, add).await?, first, "the outcome after a delete");
    ensure_eq!(counter(&driver, &key).await?, 0, "the deleted counter");
    Ok(())
}

async fn a_guarded_repeat_gets_the_first_outcome(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lock")?);
    let create = Transaction::new().absent(key.clone()).put(key, "mine", None).with_id(TransactionId::random());
    let first = commit(&driver, create.clone()).await?;
    ensure_eq!(commit(&driver, create).await?, first, "the outcome of taking the lock again");
    Ok(())
}

async fn a_repeat_through_another_handle_is_one(ctx: Context) -> CaseResult {
    let key = Key::new("hits")?;
    let add = add_once(&key, TransactionId::random());
    let first = commit(&ctx.driver(), add.clone()).await?;
    // As after a crash: the first handle is gone.
    ctx.driver().close().await?;
    let driver = ctx.another().await?;
    ensure_eq!(commit(&driver, add).await?, first, "the outcome through another handle");
    ensure_eq!(counter(&driver, &key).await?, 1, "the counter");
    Ok(())
}

async fn concurrent_repeats_apply_once(ctx: Context) -> CaseResult {
    let key = Key::new("hits")?;
    let handles = [ctx.driver(), ctx.another().await?, ctx.another().await?];
    for round in 1..=5 {
        let add = add_once(&key, TransactionId::random());
        let send = |driver: &Arc<dyn Driver>| {
            let (driver, add) = (driver.clone(), add.clone());
            async move { commit(&driver, add).await }
        };
        let outcomes = together(handles.iter().cycle().take(9).map(send)).await?;
        ensure!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "the outcomes differ: {outcomes:?}");
        ensure_eq!(counter(&ctx.driver(), &key).await?, round, "the counter after {round} transactions");
    }
    Ok(())
}

async fn ids_of_a_contended_key_are_remembered(ctx: Context) -> CaseResult {
    const ROUNDS: usize = 12;
    let key = Key::new("hits")?;
    let handles = [ctx.driver(), ctx.another().await?, ctx.another().await?];
    // First in turn, so that all have something to be remembered, then at once, so that all make room for it at once.
    let write = |driver: &Arc<dyn Driver>| {
        let (driver, add) = (driver.clone(), add_once(&key, TransactionId::random()));
        async move { Ok((commit(&driver, add.clone()).await?, driver, add)) }
    };
    let mut written = Vec::new();
    for _ in 0..ROUNDS {
        for handle in &handles {
            for _ in 0..5 {
                written.push(write(handle).await?);
            }
        }
        written.extend(together(handles.iter().map(write)).await?);
    }
    for (first, driver, add) in &written {
        ensure_eq!(commit(driver, add.clone()).await?, *first, "the outcome of the repeat");
    }
    ensure_eq!(counter(&ctx.driver(), &key).await?, i64::try_from(written.len()).unwrap_or(0), "the counter");
    Ok(())
}

async fn a_refusal_is_kept_too(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("lock")?);
    put(&driver, &key, "another's").await?;
    let create = Transaction::new().absent(key.clone()).put(key.clone(), "mine", None).with_id(TransactionId::random());
    refused(&driver, create.clone()).await?;
    delete(&driver, &key).await?;
    refused(&driver, create.clone()).await?;
    commit(&driver, create.with_id(TransactionId::random())).await?;
    Ok(())
}

async fn other_ids_are_other_transactions(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    // They differ in a bit each: no part of an id may be cut off.
    let id = TransactionId::random().0;
    for other in [id, id ^ 1, id ^ (1 << 53), id ^ (1 << 64), id ^ (1 << 127)] {
        commit(&driver, add_once(&key, TransactionId(other))).await?;
    }
    ensure_eq!(counter(&driver, &key).await?, 5, "the counter after five transactions");
    Ok(())
}

/// What differs in one thing from the transaction that puts "first" at `key`.
#[track_caller]
fn others(ctx: &Context, key: &Key) -> Result<Vec<(&'static str, Transaction)>, Failure> {
    let first = Transaction::new().put(key.clone(), "first", None);
    let mut others = vec![
        ("value", Transaction::new().put(key.clone(), "other", None)),
        ("key", Transaction::new().put(Key::new("other")?, "first", None)),
        ("guard", first.clone().present(key.clone())),
        ("version", first.version_is(key.clone(), Revision(1))),
        ("mutation", Transaction::new().delete(key.clone())),
    ];
    if ctx.capabilities().ttl.is_some() {
        others.push(("ttl", Transaction::new().put(key.clone(), "first", Some(ctx.ttl(LONG)))));
    }
    Ok(others)
}

async fn a_reused_id_is_a_conflict(ctx: Context) -> CaseResult {
    let (driver, key, id) = (ctx.driver(), Key::new("k")?, TransactionId::random());
    let first = Transaction::new().put(key.clone(), "first", None).with_id(id);
    let outcome = commit(&driver, first.clone()).await?;
    for (what, other) in others(&ctx, &key)? {
        let sent = driver.commit(&other.with_id(id)).await;
        let error = fails_with(sent, ErrorKind::Conflict, format!("another {what} under an id that was used"))?;
        ensure!(!error.maybe_applied(), "another {what} under an id that was used may have been applied: {error}");
        let entry = present(&driver, &key).await?;
        ensure_eq!((entry.version, entry.ttl), (outcome.revision, None), "version and ttl after another {what}");
        ensure_eq!(commit(&driver, first.clone()).await?, outcome, "the true repeat after another {what}");
    }
    ensure_eq!(names(&driver, &Range::all()).await?, ["k"], "the keys");
    Ok(())
}
