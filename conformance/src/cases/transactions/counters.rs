//! Counters.

use super::super::prelude::*;
use crate::calls::{add, commit, counter, present, put, read, value};
use crate::failure::here;
use crate::waiting::together;
use bytes::Bytes;
use std::collections::HashSet;

cases! { Transactions "transactions";
    an_absent_counter_counts_as_zero [] ABSENT_COUNTER_COUNTS_AS_ZERO
        "`Add`: an absent key counts as 0";
    a_counter_is_decimal_text [] COUNTER_IS_DECIMAL_TEXT
        "`Add` adds to the signed 64-bit counter that the key holds as decimal text";
    counters_go_below_zero [] COUNTER_IS_DECIMAL_TEXT
        "`Add` adds to a signed counter";
    counters_are_exact [] COUNTER_IS_DECIMAL_TEXT
        "`Add` adds to a 64-bit counter, exact over its whole range";
    overflow_is_a_conflict [] OVERFLOW_IS_A_CONFLICT
        "Overflow fails the whole transaction with `Conflict`";
    what_is_no_counter_is_a_conflict [] OVERFLOW_IS_A_CONFLICT
        "A value that is no counter fails the whole transaction with `Conflict`";
    another_way_to_write_a_number_is_no_counter [] ANOTHER_WAY_TO_WRITE_A_NUMBER_IS_NO_COUNTER
        "A counter's text is the number as `Add` writes it: no plus, no leading zero, no `-0`, no other digits";
    concurrent_adds_all_count [] CONCURRENT_ADDS_ALL_COUNT
        "Transactions are linearizable: every `Add` counts, and each sees a result of its own";
    an_add_is_a_write [] ADD_IS_A_WRITE
        "An `Add` was written at the transaction's revision";
}

async fn an_absent_counter_counts_as_zero(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    for delta in [1, -1, 0, i64::MAX, i64::MIN] {
        let key = Key::new(format!("add {delta}"))?;
        ensure_eq!(add(&driver, &key, delta).await?, delta, "0 + {delta}");
        ensure_eq!(counter(&driver, &key).await?, delta, "the stored counter");
    }
    Ok(())
}

async fn a_counter_is_decimal_text(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("hits")?);
    add(&driver, &key, 41).await?;
    ensure_eq!(value(&driver, &key).await?, Some(Bytes::from_static(b"41")), "the stored text");
    put(&driver, &key, "-7").await?;
    ensure_eq!(add(&driver, &key, 10).await?, 3, "-7 + 10");
    ensure_eq!(value(&driver, &key).await?, Some(Bytes::from_static(b"3")), "the stored text");
    Ok(())
}

async fn counters_go_below_zero(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    for (delta, expected) in [(5, 5), (-8, -3), (-1, -4), (4, 0), (0, 0)] {
        ensure_eq!(add(&driver, &key, delta).await?, expected, "the counter after adding {delta}");
    }
    Ok(())
}

async fn counters_are_exact(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    // Neither a double nor a signed 32-bit number holds these.
    for start in [(1 << 53) + 1, i64::from(i32::MAX), 4_611_686_018_427_387_905, -9_007_199_254_740_993] {
        put(&driver, &key, start.to_string()).await?;
        ensure_eq!(add(&driver, &key, 1).await?, start + 1, "{start} + 1");
        ensure_eq!(add(&driver, &key, -3).await?, start - 2, "{start} + 1 - 3");
        ensure_eq!(counter(&driver, &key).await?, start - 2, "the stored counter");
    }
    put(&driver, &key, (i64::MAX - 1).to_string()).await?;
    ensure_eq!(add(&driver, &key, 1).await?, i64::MAX, "the greatest counter");
    ensure_eq!(add(&driver, &key, i64::MIN).await?, -1, "the greatest counter and the least");
    ensure_eq!(add(&driver, &key, i64::MIN + 1).await?, i64::MIN, "the least counter");
    Ok(())
}

async fn overflow_is_a_conflict(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    for (start, delta) in [(i64::MAX, 1), (i64::MIN, -1), (1, i64::MAX), (-2, i64::MIN), (i64::MAX, i64::MAX)] {
        put(&driver, &key, start.to_string()).await?;
        let before = present(&driver, &key).await?;
        let overflow = Transaction::new().add(key.clone(), delta, None);
        fails_with(driver.commit(&overflow).await, ErrorKind::Conflict, format!("{start} + {delta}"))?;
        ensure_eq!(present(&driver, &key).await?, before, "the counter after {start} + {delta}");
    }
    Ok(())
}

async fn what_is_no_counter_is_a_conflict(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let texts = ["", "abc", "1.5", " 1", "1 ", "1\n", "--1", "-", "0x10", "1e3", "9223372036854775808", "\0"];
    for text in texts {
        is_no_counter(&driver, &key, text).await?;
    }
    Ok(())
}

/// Adding to this text must be a conflict that leaves it as it was.
#[track_caller]
fn is_no_counter(driver: &Arc<dyn Driver>, key: &Key, text: &'static str) -> impl Future<Output = CaseResult> {
    here(async move {
        put(driver, key, text).await?;
        let before = present(driver, key).await?;
        let add = Transaction::new().add(key.clone(), 1, None);
        fails_with(driver.commit(&add).await, ErrorKind::Conflict, format!("adding to {text:?}"))?;
        ensure_eq!(present(driver, key).await?, before, "the value {text:?}");
        Ok(())
    })
}

async fn another_way_to_write_a_number_is_no_counter(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let texts = [
        "+1",
        "+0",
        "01",
        "00",
        "-0",
        "-01",
        "007",
        "1_000",
        "1,000",
        "\t1",
        "\u{661}",
        "\u{ff11}",
        "000000000000000000001",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999999999999999999999",
    ];
    for text in texts {
        is_no_counter(&driver, &key, text).await?;
    }
    for number in ["0", "-1", "10", "9223372036854775806", "-9223372036854775808"] {
        put(&driver, &key, number).await?;
        add(&driver, &key, 1).await?;
    }
    Ok(())
}

async fn concurrent_adds_all_count(ctx: Context) -> CaseResult {
    let key = Key::new("hits")?;
    let mut adders = Vec::new();
    for _ in 0..6 {
        let (driver, key) = (ctx.another().await?, key.clone());
        adders.push(async move {
            let mut results = Vec::new();
            for _ in 0..30 {
                results.push(add(&driver, &key, 1).await?);
            }
            Ok(results)
        });
    }
    let results: HashSet<i64> = together(adders).await?.concat().into_iter().collect();
    ensure_eq!(results.len(), 180, "the distinct results of 180 adds");
    ensure_eq!(counter(&ctx.driver(), &key).await?, 180, "the counter");
    Ok(())
}

async fn an_add_is_a_write(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    ensure_eq!(read(&driver, &key).await?, None, "the counter before");
    let add = Transaction::new().add(key.clone(), 1, None);
    let first = commit(&driver, add.clone()).await?.revision;
    let second = commit(&driver, add).await?.revision;
    let entry = present(&driver, &key).await?;
    ensure!(second > first, "the second add has revision {second}, the first had {first}");
    ensure_eq!((entry.created, entry.version), (first, second), "created and version");
    Ok(())
}
