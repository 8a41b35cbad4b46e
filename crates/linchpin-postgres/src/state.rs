//! State: reading keys, scanning and clearing.

use crate::arguments::{Arguments, column, field, key, number};
use crate::commit::CommitTraffic;
use crate::connection::{Holder, Pool};
use crate::error::Failure;
use crate::feed::OwnChanges;
use crate::forgetting::{Cleaner, Leftover};
use crate::lane::Lane;
use crate::names::{Names, topics};
use crate::notices::Notices;
use crate::reading::{Found, Moment, PAGE, Read, Reads, entry, namespace};
use crate::seen::LatestTime;
use linchpin_adapter::feed::Doorbell;
use linchpin_core::{Entry, Error, Key, Outcome, Page, Range, Result, ScanPage, Snapshot, Transaction};
use sqlx::postgres::PgRow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A namespace's keys, and the ways to them.
pub(crate) struct State {
    names: Arc<Names>,
    pool: Arc<Pool>,
    reads: Lane<Reads>,
    commits: Lane<CommitTraffic>,
    notices: Arc<Notices>,
    seen: Arc<LatestTime>,
    pub(crate) own: Arc<OwnChanges>,
    forgetting: Arc<Cleaner>,
    is_catching_up: Arc<AtomicBool>,
}

const SCAN: &str = concat!(
    "SELECT n.revision, n.standby, n.clock, n.now, k.key, k.version, k.created, k.ends, \
        CASE WHEN $7 THEN k.value ELSE ''::bytea END, k.found, n.acted FROM (",
    namespace!(),
    ") AS n LEFT JOIN LATERAL ( \
        SELECT k.*, count(*) OVER () AS found, sum(length(k.value)) OVER (ORDER BY k.key) - length(k.value) AS before FROM ( \
            SELECT * FROM linchpin.keys AS k \
            WHERE k.namespace = n.id AND k.key >= $3 AND k.key < $4 AND k.key > $5 ORDER BY k.key LIMIT $6 \
        ) AS k \
    ) AS k ON k.before < $8 OR NOT $7 ORDER BY k.key"
);

/// How many keys a call removes: everybody else waits for it.
const CLEARED: i32 = 512;

impl State {
    pub(crate) fn new(names: Arc<Names>, pool: Arc<Pool>, notices: Arc<Notices>, forgetting: Arc<Cleaner>) -> Self {
        let (seen, own) = (Arc::<LatestTime>::default(), Arc::<OwnChanges>::default());
        let committing =
            CommitTraffic { names: names.clone(), notices: notices.clone(), seen: seen.clone(), own: own.clone() };
        let commits = Lane::new(pool.clone(), committing);
        let reads = Lane::new(pool.clone(), Reads(names.clone(), seen.clone()));
        Self { names, pool, reads, commits, notices, seen, own, forgetting, is_catching_up: Arc::default() }
    }

    pub(crate) async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        let waiting = Instant::now();
        loop {
            let Some(found) = self.reads.ask(keys.to_vec()).await.map_err(Error::of_read)? else {
                self.hold("get").await?;
                continue;
            };
            let Found { moment, mut entries, ended } = found;
            self.heed(moment, entries.iter().flatten());
            if ended.is_empty() || self.are_gone("get", &ended, moment, waiting).await? {
                for entry in &mut entries {
                    entry.take_if(|entry| ended.contains(&entry.key));
                }
                return Ok(Snapshot { revision: moment.revision, entries });
            }
        }
    }

    pub(crate) async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        if transaction.id.is_some() {
            self.forgetting.later(Leftover::Outcome);
        }
        self.commits.ask(transaction.clone()).await
    }

    pub(crate) async fn scan(&self, range: &Range, page: &Page) -> Result<ScanPage> {
        let start = match range {
            Range::Key(key) => {
                let Snapshot { revision, entries } = self.get(std::slice::from_ref(key)).await?;
                let later = |entry: &Entry| page.after.as_ref().is_none_or(|after| entry.key > *after);
                let entries = entries.into_iter().flatten().filter(later).collect();
                return Ok(ScanPage { revision, entries, more: false });
            }
            Range::Prefix(start) => start.as_bytes(),
        };
        let waiting = Instant::now();
        let mut after = page.after.clone();
        loop {
            let read = self.page(start, after.as_ref(), page).await;
            let Some((moment, mut entries, ended, more)) = read.map_err(|failure| failure.told("scan").of_read())?
            else {
                self.hold("scan").await?;
                continue;
            };
            self.heed(moment, &entries);
            if !ended.is_empty() && !self.are_gone("scan", &ended, moment, waiting).await? {
                continue;
            }
            if more && entries.is_empty() {
                // Nothing to go on from: what has ended does not make a page.
                after = ended.into_iter().next_back();
                continue;
            }
            entries.truncate(page.limit);
            return Ok(ScanPage { revision: moment.revision, entries, more });
        }
    }

    /// A page, with one entry more if there is one, and the keys in it that have ended. `None` for a namespace that is not
    /// there.
    async fn page(
        &self,
        start: &[u8],
        after: Option<&Key>,
        page: &Page,
    ) -> Result<Option<(Moment, Vec<Entry>, Vec<Key>, bool)>, Failure> {
        let after = after.map_or(&[][..], |after| after.as_str().as_bytes());
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX - 1) + 1;
        let given = Arguments::default().with(&self.names.namespace).with(self.seen.latest()).with(start);
        let given = given.with(end_of(start)).with(after).with(limit).with(page.values).with(PAGE).arguments()?;
        let rows = self.pool.ask(Holder::Nobody, SCAN, given).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let moment = Moment::read(first, 10)?;
        let (mut entries, mut ended) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            let Some(name) = column::<Option<Vec<u8>>>(row, 4)? else { continue };
            // All that is stored was a key once.
            let Ok(key) = key("scan", name) else { continue };
            match entry(row, key, column(row, 8)?, moment.now)? {
                Read::End(entry) => ended.push(entry.key),
                Read::There(entry) => entries.push(entry),
                Read::Nothing | Read::Unfit => {}
            }
        }
        // Some were more than fit, or one more than was asked for.
        let told = (entries.len() + ended.len()).min(page.limit);
        let found = column::<Option<i64>>(first, 9)?.map_or(0, number);
        let more = usize::try_from(found).unwrap_or(usize::MAX) > told;
        Ok(Some((moment, entries, ended, more)))
    }

    /// Takes note of the time, at the server too where somebody sees it pass, and lets it go on where the clock has stepped
    /// back.
    fn heed<'a>(&self, moment: Moment, entries: impl IntoIterator<Item = &'a Entry>) {
        self.seen.note(moment.now);
        let is_needed = moment.is_behind || moment.is_unnoted && entries.into_iter().any(|entry| entry.ttl.is_some());
        if !is_needed || self.is_catching_up.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pool, is_catching_up) = (Arc::downgrade(&self.pool), self.is_catching_up.clone());
        let given = Arguments::default().with(&self.names.namespace).with(moment.now).of("get");
        self.pool.life.spawn(async move {
            if let (Some(pool), Ok(given)) = (pool.upgrade(), given) {
                let went_on = pool.rows_behind(Holder::Nobody, "get", "SELECT linchpin.go_on($1, $2)", given).await;
                if let Err(error) = went_on {
                    tracing::debug!(%error, "the time could not be noted");
                }
            }
            is_catching_up.store(false, Ordering::Release);
        });
    }

    /// Whether these keys, which have ended, are to be left out of an answer: as a writer has held the namespace for a while
    /// and does not write to them. If not, they were removed, and are to be looked at again: it has its own revision that
    /// they are gone.
    async fn are_gone(&self, operation: &'static str, ended: &[Key], moment: Moment, since: Instant) -> Result<bool> {
        const REMOVE: &str = "SELECT * FROM linchpin.remove_ended($1, $2, $3)";
        const ENDED: &str = "SELECT linchpin.ended($1, $2, $3)";
        const AGAIN: Duration = Duration::from_millis(20);
        let ended: BTreeSet<_> = ended.iter().map(|key| key.as_str().as_bytes()).collect();
        let ended: Vec<_> = ended.into_iter().collect();
        let given = |time| Arguments::default().with(&self.names.namespace).with(&ended).with(time).of(operation);
        match self.pool.row_behind(Holder::Namespace, operation, REMOVE, given(self.seen.next())?).await {
            Ok(row) => return self.removed(operation, &row).map(|_| false).map_err(Error::of_read),
            Err(error) if !error.is_transient() => return Err(error.of_read()),
            Err(error) => tracing::debug!(%error, "keys that have ended cannot be removed yet"),
        }
        let rows = self
            .pool
            .rows_behind(Holder::Nobody, operation, ENDED, given(moment.now)?)
            .await
            .map_err(Error::of_read)?;
        if rows.len() == ended.len() {
            return Ok(true);
        }
        let limit = self.pool.response_timeout();
        if since.elapsed() > limit {
            return Err(Error::timeout(operation, limit).of_read());
        }
        tokio::time::sleep(AGAIN).await;
        Ok(false)
    }

    /// Removes the keys that start with this.
    pub(crate) async fn clear(&self, start: &str) -> Result<()> {
        const CLEAR: &str = "SELECT * FROM linchpin.clear_keys($1, $2, $3, $4)";
        loop {
            let given = Arguments::default().with(&self.names.namespace).with(start.as_bytes()).with(CLEARED);
            let given = given.with(self.seen.next());
            let row = self.pool.row_behind(Holder::Namespace, "clear", CLEAR, given.of("clear")?).await?;
            if self.removed("clear", &row)? < usize::try_from(CLEARED).unwrap_or(0) {
                return Ok(());
            }
        }
    }

    /// Removes keys that have ended. Returns the microseconds until the next one ends, if one does.
    pub(crate) async fn sweep(&self) -> Result<Option<u64>> {
        const SWEEP: &str = "SELECT * FROM linchpin.sweep($1, $2, $3)";
        let given =
            Arguments::default().with(&self.names.namespace).with(CLEARED).with(self.seen.next()).of("watch")?;
        let row = self.pool.row_behind(Holder::Namespace, "watch", SWEEP, given).await.map_err(Error::of_read)?;
        self.seen.note(field("watch", &row, 5)?);
        self.removed("watch", &row)?;
        Ok(field::<Option<i64>>("watch", &row, 4)?.map(number))
    }

    /// Ends the lanes, once what is on its way was answered.
    pub(crate) async fn close(&self, limit: Duration) {
        tokio::join!(self.reads.close(limit), self.commits.close(limit));
    }

    /// Tells the watchers that a statement removed keys; returns how many.
    fn removed(&self, operation: &'static str, row: &PgRow) -> Result<usize> {
        let (before, after): (i64, i64) = (field(operation, row, 0)?, field(operation, row, 1)?);
        let removed: Vec<Vec<u8>> = field(operation, row, 3)?;
        if after != before {
            self.notices.ring(Doorbell {
                changes: number(after),
                count: number(after - before),
                topics: topics(&removed),
            });
        }
        Ok(removed.len())
    }

    /// Makes the namespace be there: it was erased, or the server lost its data.
    async fn hold(&self, operation: &'static str) -> Result<()> {
        let given = Arguments::default().with(&self.names.namespace).of(operation)?;
        let held = self.pool.row_behind(Holder::Namespace, operation, "SELECT (linchpin.hold($1)).id", given).await;
        held.map(drop).map_err(Error::of_read)
    }
}

/// What comes after all that starts with this. Keys are UTF-8, in which the byte 0xFF never occurs.
fn end_of(start: &[u8]) -> Vec<u8> {
    [start, &[0xFF]].concat()
}
