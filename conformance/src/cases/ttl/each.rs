//! Each key has a TTL of its own.

use super::super::prelude::*;
use crate::calls::{commit, delete, numbered, present, put};
use crate::lease::Lease;
use crate::waiting::LONG;
use tokio::time::sleep;

cases! { Ttl "ttl";
    a_key_made_again_has_no_old_ttl [Ttl] KEY_WITHOUT_TTL_LIVES_FOR_EVER
        "A key without a TTL lives for ever, though one before it had one";
    a_counter_made_again_has_its_ttl [Ttl] PUT_WITH_TTL_REPLACES_IT
        "A counter that an add makes again lives for its TTL";
    each_key_has_its_own_ttl [Ttl, MultiKey] PUT_WITH_TTL_REPLACES_IT
        "Each put of a transaction has its TTL";
    each_extend_has_its_own_ttl [Ttl, MultiKey] EXTEND_LENGTHENS_IT
        "Each extend of a transaction has its TTL";
}

async fn a_key_made_again_has_no_old_ttl(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let keys = ["deleted", "cleared"].map(Key::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut end = None;
    for key in &keys {
        end = Some(Lease::put(&ctx, &driver, key, ctx.ttl(Duration::from_millis(400))).await?.end);
    }
    delete(&driver, &keys[0]).await?;
    driver.clear("cleared").await?;
    for key in &keys {
        put(&driver, key, "for ever").await?;
    }
    if let Some(end) = end {
        end.has_passed().await;
    }
    sleep(Duration::from_millis(100)).await;
    for key in &keys {
        present(&driver, key).await?;
    }
    Ok(())
}

async fn a_counter_made_again_has_its_ttl(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    for _ in 0..2 {
        commit(&driver, Transaction::new().add(key.clone(), 1, Some(ctx.ttl(LONG)))).await?;
        ensure!(present(&driver, &key).await?.ttl.is_some(), "a counter made again lives for ever");
        delete(&driver, &key).await?;
    }
    Ok(())
}

async fn each_key_has_its_own_ttl(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let asked = [Some(LONG), None, Some(LONG * 3), Some(LONG * 2)].map(|ttl| ttl.map(|ttl| ctx.ttl(ttl)));
    let keys = numbered("k", asked.len())?;
    for order in [[0, 1, 2, 3], [1, 3, 0, 2]] {
        let t = order.iter().fold(Transaction::new(), |t, n| t.put(keys[*n].clone(), "1", asked[*n]));
        commit(&driver, t).await?;
        for (n, entry) in driver.get(&keys).await?.entries.into_iter().enumerate() {
            let left = entry.and_then(|e| e.ttl);
            let right = match asked[n] {
                None => left.is_none(),
                Some(a) => left.is_some_and(|l| l <= a && l + LONG / 2 > a),
            };
            ensure!(right, "key {n} was to live {:?}, and has {left:?} left", asked[n]);
        }
    }
    Ok(())
}

async fn each_extend_has_its_own_ttl(ctx: Context) -> CaseResult {
    let (driver, keys) = (ctx.driver(), numbered("k", 3)?);
    let version =
        commit(&driver, keys.iter().fold(Transaction::new(), |t, k| t.put(k.clone(), "1", Some(ctx.ttl(LONG)))))
            .await?
            .revision;
    let asked = [3, 2, 4].map(|n| ctx.ttl(LONG * n));
    commit(&driver, keys.iter().zip(asked).fold(Transaction::new(), |t, (k, a)| t.extend(k.clone(), version, a)))
        .await?;
    for (entry, asked) in driver.get(&keys).await?.entries.into_iter().zip(asked) {
        let left = entry.and_then(|e| e.ttl);
        ensure!(
            left.is_some_and(|l| l <= asked && l + LONG / 2 > asked),
            "extended to {asked:?}, and has {left:?} left"
        );
    }
    Ok(())
}
