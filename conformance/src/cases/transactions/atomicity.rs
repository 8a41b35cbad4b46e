//! All or nothing, over several keys.

use super::super::prelude::*;
use crate::calls::{commit, names, present, put, read, refused, scan};
use crate::failure::here;
use crate::waiting::{Meanwhile, together};
use linchpin_core::{MutationResult, Range};

cases! { Transactions "transactions";
    all_or_nothing [MultiKey] ALL_OR_NOTHING
        "All mutations are applied if all guards hold, and none otherwise";
    a_failed_add_undoes_the_rest [MultiKey] FAILED_ADD_UNDOES_THE_REST
        "Overflow, or a value that is no counter, fails the whole transaction with `Conflict`";
    one_result_per_mutation_in_order [MultiKey] ONE_RESULT_PER_MUTATION_IN_ORDER
        "`Committed` has one result per mutation, in their order";
    all_writes_have_the_same_revision [MultiKey] ALL_WRITES_HAVE_THE_SAME_REVISION
        "The outcome carries the revision: that of its writes";
    guards_see_what_was_before [] GUARDS_SEE_WHAT_WAS_BEFORE
        "The guards are checked, then the mutations are applied";
    transfers_keep_the_sum [MultiKey] TRANSFERS_KEEP_THE_SUM
        "Transactions are linearizable: transfers between accounts never make or lose anything, whenever one looks";
    a_fenced_write_is_refused [MultiKey] FENCED_WRITE_IS_REFUSED
        "`created` is the fencing token of whoever created it: a write guarded by a lock that was lost is refused";
    moving_a_key_is_seen_whole [MultiKey] TRANSFERS_KEEP_THE_SUM
        "All or nothing, linearizable: a value moved from key to key is always at exactly one of them";
}

async fn all_or_nothing(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let [a, b, c, guard] = [Key::new("a")?, Key::new("b")?, Key::new("c")?, Key::new("guard")?];
    put(&driver, &c, "kept").await?;
    let change = |t: Transaction| t.put(a.clone(), "1", None).add(b.clone(), 1, None).delete(c.clone());
    refused(&driver, change(Transaction::new().present(guard.clone()))).await?;
    ensure_eq!(names(&driver, &Range::all()).await?, ["c"], "the keys after a refusal");
    commit(&driver, change(Transaction::new().absent(guard))).await?;
    ensure_eq!(names(&driver, &Range::all()).await?, ["a", "b"], "the keys after the commit");
    Ok(())
}

async fn a_failed_add_undoes_the_rest(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let [first, text, last] = [Key::new("first")?, Key::new("text")?, Key::new("last")?];
    let version = put(&driver, &text, "no number").await?;
    let puts = |t: Transaction| t.put(last.clone(), "1", None);
    let transaction = puts(Transaction::new().put(first, "1", None).add(text.clone(), 1, None));
    fails_with(driver.commit(&transaction).await, ErrorKind::Conflict, "adding to text")?;
    ensure_eq!(names(&driver, &Range::all()).await?, ["text"], "the keys after the conflict");
    ensure_eq!(present(&driver, &text).await?.version, version, "the version of the text");
    Ok(())
}

async fn one_result_per_mutation_in_order(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let [old, gone, count, new] = [Key::new("old")?, Key::new("gone")?, Key::new("count")?, Key::new("new")?];
    let created = put(&driver, &old, "1").await?;
    let transaction =
        Transaction::new().add(count, 5, None).delete(gone).put(old.clone(), "2", None).put(new, "1", None);
    let done = commit(&driver, transaction).await?;
    let expected = [
        MutationResult::Added { value: 5 },
        MutationResult::Deleted { existed: false },
        MutationResult::Put { created, ttl: None },
        MutationResult::Put { created: done.revision, ttl: None },
    ];
    ensure_eq!(done.results, expected, "the results");
    Ok(())
}

async fn all_writes_have_the_same_revision(ctx: Context) -> CaseResult {
    let driver = ctx.driver();
    let [a, b, c] = [Key::new("a")?, Key::new("b")?, Key::new("c")?];
    let writes = Transaction::new().put(a, "1", None).put(b, "2", None).add(c, 3, None);
    let revision = commit(&driver, writes).await?.revision;
    for entry in scan(&driver, &Range::all()).await? {
        ensure_eq!((entry.created, entry.version), (revision, revision), "created and version of {:?}", entry.key);
    }
    Ok(())
}

async fn guards_see_what_was_before(ctx: Context) -> CaseResult {
    let (driver, key) = (ctx.driver(), Key::new("k")?);
    let created = commit(&driver, Transaction::new().absent(key.clone()).put(key.clone(), "1", None)).await?;
    let removed = Transaction::new().version_is(key.clone(), created.revision).delete(key.clone()).present(key.clone());
    commit(&driver, removed).await?;
    ensure_eq!(read(&driver, &key).await?, None, "the key");
    Ok(())
}

const ACCOUNTS: usize = 4;
const EACH: i64 = 100;

async fn transfers_keep_the_sum(ctx: Context) -> CaseResult {
    let accounts: Arc<[Key]> = (0..ACCOUNTS).map(|n| Key::new(format!("account-{n}"))).collect::<Result<_, _>>()?;
    let open = accounts.iter().fold(Transaction::new(), |t, key| t.put(key.clone(), EACH.to_string(), None));
    commit(&ctx.driver(), open).await?;
    let mut tellers = Vec::new();
    for _ in 0..4 {
        tellers.push(transfers(ctx.another().await?, accounts.clone()));
    }
    let made: u32 = together(tellers).await?.into_iter().sum();
    ensure!(made > 0, "no transfer was ever committed");
    sum_is_kept(&ctx.driver(), &accounts).await
}

/// Moves money by reading two accounts and writing both back if neither has changed; how often it did.
#[track_caller]
fn transfers(driver: Arc<dyn Driver>, accounts: Arc<[Key]>) -> impl Future<Output = Result<u32, Failure>> {
    here(async move {
        let mut made = 0;
        for _ in 0..25 {
            let from = fastrand::usize(..ACCOUNTS);
            let to = (from + fastrand::usize(1..ACCOUNTS)) % ACCOUNTS;
            let (from, to) = (present(&driver, &accounts[from]).await?, present(&driver, &accounts[to]).await?);
            let balance = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
            let (Some(from_has), Some(to_has)) = (balance(&from.value), balance(&to.value)) else {
                return Err(Failure::new(format!("an account holds no number: {from:?} or {to:?}")));
            };
            let transfer = Transaction::new()
                .version_is(from.key.clone(), from.version)
                .version_is(to.key.clone(), to.version)
                .put(from.key, (from_has - 7).to_string(), None)
                .put(to.key, (to_has + 7).to_string(), None);
            made += u32::from(driver.commit(&transfer).await?.is_committed());
            sum_is_kept(&driver, &accounts).await?;
        }
        Ok(made)
    })
}

#[track_caller]
fn sum_is_kept(driver: &Arc<dyn Driver>, accounts: &[Key]) -> impl Future<Output = CaseResult> {
    here(async move {
        let snapshot = driver.get(accounts).await?;
        let texts = snapshot.entries.iter().flatten().map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
        let balances: Vec<i64> = texts.filter_map(|text| text.parse().ok()).collect();
        ensure_eq!(balances.iter().sum::<i64>(), EACH * 4, "the sum of {balances:?}");
        Ok(())
    })
}

async fn a_fenced_write_is_refused(ctx: Context) -> CaseResult {
    let (old, new) = (ctx.driver(), ctx.another().await?);
    let (lock, data) = (Key::new("lock")?, Key::new("data")?);
    let token = put(&old, &lock, "old holder").await?;
    let write =
        |token, text: &'static str| Transaction::new().version_is(lock.clone(), token).put(data.clone(), text, None);
    commit(&old, write(token, "by the old holder")).await?;
    commit(&new, Transaction::new().delete(lock.clone())).await?;
    let new_token = put(&new, &lock, "new holder").await?;
    ensure!(new_token > token, "the new holder's token {new_token} is not greater than {token}");
    commit(&new, write(new_token, "by the new holder")).await?;
    refused(&old, write(token, "by the old holder again")).await?;
    ensure_eq!(present(&old, &data).await?.value, "by the new holder", "the data");
    Ok(())
}

async fn moving_a_key_is_seen_whole(ctx: Context) -> CaseResult {
    let (driver, reader) = (ctx.driver(), ctx.another().await?);
    let keys = [Key::new("here")?, Key::new("there")?];
    put(&driver, &keys[0], "1").await?;
    let [mut from, mut to] = keys.clone();
    let mut moves = Meanwhile::start(async move {
        loop {
            let transaction = Transaction::new().present(from.clone()).delete(from.clone()).add(to.clone(), 1, None);
            commit(&driver, transaction).await?;
            (from, to) = (to, from);
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..150 {
        moves.go_on().await?;
        let snapshot = reader.get(&keys).await?;
        ensure_eq!(snapshot.entries.iter().flatten().count(), 1, "the keys at which the value is");
        ensure_eq!(scan(&reader, &Range::all()).await?.len(), 1, "the keys in a page");
    }
    Ok(())
}
