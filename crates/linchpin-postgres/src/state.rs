//! State: reading keys, scanning and clearing. Reads at the same time share a round trip.

use crate::arguments::{Given, column, field, key, number, ttl};
use crate::commit::{Committing, Work};
use crate::connection::Pool;
use crate::error::Failure;
use crate::lane::{Asked, Lane, Traffic};
use crate::names::Names;
use crate::notices::Notices;
use async_trait::async_trait;
use linchpin_core::{Entry, Error, Key, Outcome, Page, Range, Result, Revision, ScanPage, Snapshot, Transaction};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::VecDeque;
use std::sync::Arc;

/// A namespace's keys, and the ways to them.
pub(crate) struct State {
    names: Arc<Names>,
    pool: Arc<Pool>,
    reads: Lane<Reading>,
    commits: Lane<Committing>,
    notices: Arc<Notices>,
}

/// The traffic of the lane for reads.
struct Reading(Arc<Names>);

/// What was found at keys as of one revision. One that has ended is there until it is removed.
struct Found {
    revision: Revision,
    entries: Vec<Option<Entry>>,
    ended: Vec<Key>,
}

const READ: &str = "\
    SELECT n.revision, asked.i, k.version, k.created, k.ends, greatest(linchpin.clock() + n.ahead, n.acted), k.value \
    FROM linchpin.namespaces AS n LEFT JOIN unnest($2::bytea[]) WITH ORDINALITY AS asked (key, i) ON true \
    LEFT JOIN LATERAL ( \
        SELECT * FROM linchpin.keys AS k WHERE k.namespace = n.id AND k.key = asked.key OFFSET 0 \
    ) AS k ON true WHERE n.name = $1";

const SCAN: &str = "\
    SELECT n.revision, k.key, k.version, k.created, k.ends, greatest(linchpin.clock() + n.ahead, n.acted), \
        CASE WHEN $6 THEN k.value ELSE ''::bytea END \
    FROM linchpin.namespaces AS n LEFT JOIN LATERAL ( \
        SELECT * FROM linchpin.keys AS k \
        WHERE k.namespace = n.id AND k.key >= $2 AND k.key < $3 AND k.key > $4 ORDER BY k.key LIMIT $5 \
    ) AS k ON true WHERE n.name = $1 ORDER BY k.key";

/// How many keys a call removes: everybody else waits for it.
const CLEARED: i32 = 512;

#[async_trait]
impl Traffic for Reading {
    type Question = Vec<Key>;
    type Answer = Option<Found>;

    const OPERATION: &'static str = "get";

    fn together(&self, waiting: &VecDeque<Asked<Vec<Key>, Option<Found>>>) -> usize {
        const KEYS: usize = 512;
        let mut keys = 0;
        let fits = |asked: &&Asked<Vec<Key>, _>| {
            keys += asked.question.len();
            keys <= KEYS
        };
        waiting.iter().take_while(fits).count()
    }

    fn may_repeat(&self, _: &Vec<Key>) -> bool {
        true
    }

    /// `None` for a namespace that is not there.
    async fn ask(
        &self,
        connection: &mut PgConnection,
        questions: &[&Vec<Key>],
    ) -> Result<Vec<Result<Option<Found>>>, Failure> {
        let keys: Vec<&Key> = questions.iter().flat_map(|keys| keys.iter()).collect();
        let bytes: Vec<_> = keys.iter().map(|key| key.as_str().as_bytes()).collect();
        let given = Given::default().with(&self.0.namespace).with(bytes).arguments()?;
        let rows = sqlx::query_with(READ, given).fetch_all(connection).await?;
        let Some(first) = rows.first() else { return Ok(questions.iter().map(|_| Ok(None)).collect()) };
        let revision = Revision(number(column(first, 0)?));
        let mut read: Vec<Option<(Entry, bool)>> = keys.iter().map(|_| None).collect();
        for row in &rows {
            let (Some(place), Some(_)) = (column::<Option<i64>>(row, 1)?, column::<Option<i64>>(row, 2)?) else {
                continue;
            };
            let index = usize::try_from(place - 1).unwrap_or(usize::MAX);
            if let (Some(key), Some(place)) = (keys.get(index), read.get_mut(index)) {
                *place = Some(entry(row, (*key).clone())?);
            }
        }
        let mut read = read.into_iter();
        let found = |keys: &&Vec<Key>| {
            let mut found = Found { revision, entries: Vec::with_capacity(keys.len()), ended: Vec::new() };
            for entry in read.by_ref().take(keys.len()) {
                let (entry, has_ended) = entry.unzip();
                if has_ended == Some(true) {
                    found.ended.extend(entry.as_ref().map(|entry: &Entry| entry.key.clone()));
                }
                found.entries.push(entry);
            }
            Ok(Some(found))
        };
        Ok(questions.iter().map(found).collect())
    }
}

/// What columns 2 to 6 hold, and whether it has ended.
fn entry(row: &PgRow, key: Key) -> Result<(Entry, bool), sqlx::Error> {
    let (version, created) = (Revision(number(column(row, 2)?)), Revision(number(column(row, 3)?)));
    let (ends, now): (Option<i64>, i64) = (column(row, 4)?, column(row, 5)?);
    let value: Vec<u8> = column(row, 6)?;
    let left = ends.map(|ends| ends - now);
    let ttl = left.and_then(ttl);
    Ok((Entry { key, value: value.into(), created, version, ttl }, left.is_some_and(|left| left <= 0)))
}

impl State {
    pub(crate) fn new(
        names: Arc<Names>,
        pool: Arc<Pool>,
        reads: Arc<crate::connection::Connector>,
        notices: Arc<Notices>,
    ) -> Self {
        let committing = Committing { names: names.clone(), notices: notices.clone() };
        let commits = Lane::new(reads.clone(), committing);
        let reads = Lane::new(reads, Reading(names.clone()));
        Self { names, pool, reads, commits, notices }
    }

    pub(crate) async fn get(&self, keys: &[Key]) -> Result<Snapshot> {
        loop {
            let Some(found) = self.reads.ask(keys.to_vec()).await.map_err(Error::of_read)? else {
                self.hold("get").await?;
                continue;
            };
            if found.ended.is_empty() {
                return Ok(Snapshot { revision: found.revision, entries: found.entries });
            }
            // Whoever was told that it is gone must never see it again, wherever the clock goes.
            self.remove("get", found.ended).await?;
        }
    }

    pub(crate) async fn commit(&self, transaction: &Transaction) -> Result<Outcome> {
        self.commits.ask(Work::Commit(transaction.clone())).await
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
        let after = page.after.as_ref().map_or(&[][..], |after| after.as_str().as_bytes());
        loop {
            let limit = i64::try_from(page.limit).unwrap_or(i64::MAX - 1) + 1;
            let given = Given::default().with(&self.names.namespace).with(start).with(end_of(start)).with(after);
            let given = given.with(limit).with(page.values).of("scan")?;
            let rows = self.pool.rows("scan", SCAN, given).await.map_err(Error::of_read)?;
            let Some(first) = rows.first() else {
                self.hold("scan").await?;
                continue;
            };
            let revision = Revision(number(field("scan", first, 0)?));
            let (mut entries, mut ended) = (Vec::with_capacity(rows.len()), Vec::new());
            for row in rows.iter().filter(|row| row.try_get_raw(1).is_ok_and(|key| !sqlx::ValueRef::is_null(&key))) {
                let key = key("scan", field("scan", row, 1)?)?;
                let (entry, has_ended) = entry(row, key).map_err(|error| Failure::from(error).told("scan"))?;
                if has_ended { ended.push(entry.key) } else { entries.push(entry) }
            }
            if !ended.is_empty() {
                self.remove("scan", ended).await?;
                continue;
            }
            let more = entries.len() > page.limit;
            entries.truncate(page.limit);
            return Ok(ScanPage { revision, entries, more });
        }
    }

    /// Removes the keys that start with this.
    pub(crate) async fn clear(&self, start: &str) -> Result<()> {
        const CLEAR: &str = "SELECT * FROM linchpin.clear_keys($1, $2, $3)";
        loop {
            let given = Given::default().with(&self.names.namespace).with(start.as_bytes()).with(CLEARED);
            let row = self.pool.row("clear", CLEAR, given.of("clear")?).await?;
            if self.removed("clear", &row)? < usize::try_from(CLEARED).unwrap_or(0) {
                return Ok(());
            }
        }
    }

    /// Removes keys that have ended. Returns the microseconds until the next one ends, if one does.
    pub(crate) async fn sweep(&self) -> Result<Option<u64>> {
        const SWEEP: &str = "SELECT * FROM linchpin.sweep($1, $2)";
        let given = Given::default().with(&self.names.namespace).with(CLEARED).of("watch")?;
        let row = self.pool.row("watch", SWEEP, given).await.map_err(Error::of_read)?;
        self.removed("watch", &row)?;
        Ok(field::<Option<i64>>("watch", &row, 4)?.map(number))
    }

    /// Ends the lanes, once what is on its way was answered.
    pub(crate) async fn close(&self, limit: std::time::Duration) {
        tokio::join!(self.reads.close(limit), self.commits.close(limit));
    }

    /// Tells the watchers that a statement removed keys; returns how many.
    fn removed(&self, operation: &'static str, row: &PgRow) -> Result<usize> {
        let (before, after): (i64, i64) = (field(operation, row, 0)?, field(operation, row, 1)?);
        if after != before {
            self.notices.ring(number(after));
        }
        Ok(field::<Vec<Vec<u8>>>(operation, row, 3)?.len())
    }

    /// Removes these keys if they have ended, as whoever asks found.
    async fn remove(&self, operation: &'static str, keys: Vec<Key>) -> Result<()> {
        let removed = self.commits.ask(Work::Remove(keys)).await;
        removed.map(drop).map_err(|error| error.with_operation(operation).of_read())
    }

    /// Makes the namespace be there: it was erased, or the server lost its data.
    async fn hold(&self, operation: &'static str) -> Result<()> {
        let given = Given::default().with(&self.names.namespace).of(operation)?;
        let held = self.pool.row(operation, "SELECT (linchpin.hold($1)).id", given).await;
        held.map(drop).map_err(Error::of_read)
    }
}

/// What comes after all that starts with this. Keys are UTF-8, in which the byte 0xFF never occurs.
fn end_of(start: &[u8]) -> Vec<u8> {
    [start, &[0xFF]].concat()
}
