//! Each guard, each result and each refusal, one by one.

use super::super::prelude::*;
use crate::calls::{commit, counter, delete, present, put, refused};
use crate::lease::Lease;
use crate::waiting::LONG;
use linchpin_core::{Entry, TransactionId};

cases! { Transactions "transactions";
    every_guard_counts [] ALL_OR_NOTHING
        "All mutations are applied if every guard holds";
    what_stands_under_a_prefix_is_told_as_it_is_read [PrefixGuards, MultiKey, Ttl] FIRST_FAILING_GUARD_IS_TOLD
        "What stood there is an entry as a read tells it";
    the_key_in_the_way_is_named [MultiKey] OVERSIZE_VALUE_IS_TOLD_BY_ITS_KEY
        "An error has the key that it was about";
    an_id_belongs_to_its_namespace [TransactionIds] OTHER_IDS_ARE_OTHER_TRANSACTIONS
        "Everything lies in one namespace: ids too";
    a_repeat_has_every_result [TransactionIds, Ttl] REPEAT_GETS_THE_FIRST_OUTCOME
        "A repeat gets the first outcome with its TTLs";
    a_repeated_prefix_refusal_tells [TransactionIds, PrefixGuards, MultiKey] REFUSED_REPEAT_TELLS_WHAT_STILL_STANDS
        "A repeated refusal tells what stood there";
}

async fn every_guard_counts(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    put(&driver, &key, "1").await?;
    let many = ctx.capabilities().limits.transaction_operations - 2;
    let t = (0..many).fold(Transaction::new(), |t, _| t.present(key.clone())).absent(key.clone()).put(
        key.clone(),
        "2",
        None,
    );
    ensure_eq!(refused(&driver, t).await?.guard, many, "the guard that did not hold");
    ensure_eq!(present(&driver, &key).await?.value, "1", "the value");
    Ok(())
}

async fn what_stands_under_a_prefix_is_told_as_it_is_read(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("l/a")?);
    put(&driver, &key, "1").await?;
    Lease::put(&ctx, &driver, &key, ctx.ttl(LONG)).await?;
    let found = refused(&driver, Transaction::new().prefix_absent(Key::new("l/")?)).await?.found;
    let stands = present(&driver, &key).await?;
    ensure_eq!(found.as_ref().map(|f| f.ttl.is_some()), Some(true), "whether a ttl is told of what stood there");
    ensure_eq!(found.map(|f| Entry { ttl: stands.ttl, ..f }), Some(stands), "what stood there");
    Ok(())
}

async fn the_key_in_the_way_is_named(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    put(&driver, &Key::new("text")?, "no counter").await?;
    let t =
        Transaction::new().put(Key::new("a")?, "1", None).add(Key::new("text")?, 1, None).add(Key::new("z")?, 1, None);
    let error = fails_with(driver.commit(&t).await, ErrorKind::Conflict, "adding to text")?;
    ensure_eq!(error.subject(), Some("text"), "the key that the error names");
    Ok(())
}

async fn an_id_belongs_to_its_namespace(ctx: Context) -> CaseResult {
    let (driver, elsewhere, key) = (ctx.driver(), ctx.elsewhere().await?, Key::new("hits")?);
    let t = Transaction::new().add(key.clone(), 1, None).with_id(TransactionId::random());
    for handle in [&driver, &elsewhere] {
        commit(handle, t.clone()).await?;
        ensure_eq!(counter(handle, &key).await?, 1, "the counter of each namespace");
    }
    Ok(())
}

async fn a_repeat_has_every_result(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    put(&driver, &key, "0").await?;
    let t = Transaction::new().put(key.clone(), "1", Some(ctx.ttl(LONG))).with_id(TransactionId::random());
    let first = commit(&driver, t.clone()).await?;
    ensure_eq!(commit(&driver, t).await?, first, "the repeat of a put with a ttl");
    let t = Transaction::new().delete(key.clone()).with_id(TransactionId::random());
    let first = commit(&driver, t.clone()).await?;
    ensure_eq!(commit(&driver, t).await?, first, "the repeat of a delete");
    Ok(())
}

async fn a_repeated_prefix_refusal_tells(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("l/a")?);
    put(&driver, &key, "1").await?;
    let t = Transaction::new()
        .prefix_absent(Key::new("l/")?)
        .put(Key::new("l/b")?, "2", None)
        .with_id(TransactionId::random());
    let first = refused(&driver, t.clone()).await?;
    ensure_eq!(refused(&driver, t.clone()).await?, first, "the repeated refusal");
    delete(&driver, &key).await?;
    ensure_eq!(refused(&driver, t).await?.found, None, "what stood there, gone since");
    Ok(())
}
