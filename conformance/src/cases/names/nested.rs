//! A namespace within a namespace: what tenants have that share a connection.

use super::super::prelude::*;
use crate::calls::{names, present, put, read};
use crate::failure::here;
use crate::readers::Listener;
use crate::stream_calls::{append, claim, settle_own, take_nothing, take_one, text};
use linchpin_core::layers::{Layers, NamespaceLayer};
use linchpin_core::{Action, Namespace, Range, TransactionId};

cases! { Names "names";
    a_nested_namespace_is_a_namespace [] NESTED_NAMESPACE_IS_A_NAMESPACE
        "A nested namespace is one of its own: what has the same name in it, around it and beside it is never mixed up";
    a_nested_namespace_has_transaction_ids_of_its_own [TransactionIds] NESTED_NAMESPACE_IS_A_NAMESPACE
        "A transaction id is one in its own namespace, and another around it and beside it";
}

/// A namespace, and what it is called here.
type Space = (&'static str, Arc<dyn Driver>);

/// The case's own namespace, and two within it whose names a careless layer would confuse.
fn spaces(ctx: &Context) -> Result<[Space; 3], Failure> {
    let inner: Arc<dyn Driver> = Arc::new(NamespaceLayer::new(ctx.driver(), &Namespace::new("a")?));
    let beside = Layers::default().namespace(Namespace::new("a2")?).wrap(ctx.driver());
    Ok([("around", ctx.driver()), ("inner", inner), ("beside", beside)])
}

async fn a_nested_namespace_is_a_namespace(ctx: Context) -> CaseResult {
    let spaces = spaces(&ctx)?;
    keys_are_apart(&spaces).await?;
    if ctx.capabilities().messages.is_some() {
        channels_are_apart(&spaces).await?;
    }
    if ctx.capabilities().streams.is_some() {
        streams_are_apart(&spaces).await?;
    }
    for (_, driver) in &spaces {
        errors_say_what_the_caller_said(driver).await?;
    }
    Ok(())
}

async fn a_nested_namespace_has_transaction_ids_of_its_own(ctx: Context) -> CaseResult {
    let (spaces, key, id) = (spaces(&ctx)?, Key::new("k")?, TransactionId(7));
    for (name, driver) in &spaces {
        driver.commit(&Transaction::new().put(key.clone(), *name, None).with_id(id)).await?;
    }
    for (name, driver) in &spaces {
        ensure_eq!(present(driver, &key).await?.value, *name, "the value {name}");
    }
    Ok(())
}

async fn keys_are_apart(spaces: &[Space; 3]) -> CaseResult {
    let key = Key::new("k")?;
    for (name, driver) in spaces {
        ensure_eq!(read(driver, &key).await?, None, "the key {name}, before it was written there");
        put(driver, &key, *name).await?;
    }
    for (name, driver) in spaces {
        ensure_eq!(present(driver, &key).await?.value, *name, "the value {name}");
    }
    let [(_, around), (_, inner), (_, beside)] = spaces;
    ensure_eq!(names(inner, &Range::all()).await?, ["k"], "the keys of a nested namespace");
    ensure_eq!(names(beside, &Range::all()).await?, ["k"], "the keys of the one beside it");
    inner.clear("").await?;
    ensure_eq!(read(inner, &key).await?, None, "the key of a nested namespace that was cleared");
    ensure_eq!(present(around, &key).await?.value, "around", "the value around one that was cleared");
    around.clear("k").await?;
    ensure_eq!(read(around, &key).await?, None, "the key that was cleared around the nested ones");
    ensure_eq!(present(beside, &key).await?.value, "beside", "the value beside one that was cleared");
    Ok(())
}

async fn channels_are_apart(spaces: &[Space; 3]) -> CaseResult {
    let mut listeners = Vec::new();
    for (name, driver) in spaces {
        // Around the nested ones `*` would be theirs too.
        let pattern = if *name == "around" { "c" } else { "*" };
        listeners.push(Listener::open(driver, pattern).await?);
    }
    for round in 0..2 {
        for (name, driver) in spaces {
            driver.publish(&Channel::new("c")?, format!("{name} {round}").into()).await?;
        }
    }
    for ((name, _), listener) in spaces.iter().zip(&mut listeners) {
        for round in 0..2 {
            let told = listener.text().await?;
            ensure_eq!(told, ("c".to_owned(), format!("{name} {round}")), "what a subscriber {name} is told");
        }
    }
    Ok(())
}

async fn streams_are_apart(spaces: &[Space; 3]) -> CaseResult {
    for (name, driver) in spaces {
        append(driver, "s", &[*name]).await?;
    }
    for (name, driver) in spaces {
        let delivery = take_one(driver, claim("s", "g", "m")?).await?;
        ensure_eq!(text(&delivery), *name, "the record {name}");
        ensure_eq!(delivery.receipt.stream.as_str(), "s", "the stream of its receipt");
        settle_own(driver, &delivery, Action::Ack).await?;
        take_nothing(driver, &claim("s", "g", "m")?, "the other records are the others'").await?;
    }
    Ok(())
}

#[track_caller]
fn errors_say_what_the_caller_said(driver: &Arc<dyn Driver>) -> impl Future<Output = CaseResult> {
    here(async move {
        let key = Key::new("order:7")?;
        put(driver, &key, "no number").await?;
        let added = driver.commit(&Transaction::new().add(key, 1, None)).await;
        let error = fails_with(added, ErrorKind::Conflict, "adding to text")?;
        ensure_eq!(error.subject(), Some("order:7"), "the key that the error names");
        ensure!(!error.to_string().contains("ns/"), "the error shows the layer's prefix: {error}");
        Ok(())
    })
}
