//! State: reading keys, scanning and clearing. Reads at the same time share a round trip.

use crate::arguments::{Given, column, field, key, number, ttl};
use crate::commit::Committing;
use crate::connection::{Behind, Pool};
use crate::error::Failure;
use crate::forgetting::Forgetting;
use crate::lane::{Asked, Lane, Traffic};
use crate::names::Names;
use crate::notices::Notices;
use crate::seen::Seen;
use async_trait::async_trait;
use linchpin_core::{Entry, Error, Key, Outcome, Page, Range, Result, Revision, ScanPage, Snapshot, Transaction};
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A namespace's keys, and the ways to them.
pub(crate) struct State {
    names: Arc<Names>,
    pool: Arc<Pool>,
    reads: Lane<Reading>,
    commits: Lane<Committing>,
    notices: Arc<Notices>,
    seen: Arc<Seen>,
    forgetting: Forgetting,
    is_catching_up: Arc<AtomicBool>,
}

/// The traffic of the lane for reads.
struct Reading(Arc<Names>, Arc<Seen>);

/// What a namespace says of itself.
#[derive(Clone, Copy)]
struct Moment {
    revision: Revision,
    /// The time, in microseconds.
    now: i64,
    /// The server's clock has stepped back behind what was seen.
    is_behind: bool,
    /// If it steps back now, more time is lost than may be.
    is_unnoted: bool,
}

impl Moment {
    /// What columns 0 to 3 hold, and this one, the latest time that was noted.
    fn read(row: &PgRow, noted: usize) -> Result<Self, Failure> {
        // Less is how exactly clocks are read.
        const STEP: i64 = 1000;
        const UNNOTED: i64 = 500_000;
        if column(row, 1)? {
            return Err(Failure::Standby);
        }
        let (clock, now): (i64, i64) = (column(row, 2)?, column(row, 3)?);
        let is_unnoted = column::<i64>(row, noted)? < now - UNNOTED;
        Ok(Self { revision: Revision(number(column(row, 0)?)), now, is_behind: clock + STEP < now, is_unnoted })
    }
}

/// What was found at keys. One that has ended is there until it is removed.
struct Found {
    moment: Moment,
    entries: Vec<Option<Entry>>,
    ended: Vec<Key>,
}

/// Of a namespace: its revision, whether the server is a standby, the clock, the time, which is never before `$2`, its id, and
/// the latest time that was noted.
/// Its newest generation is the only one.
macro_rules! namespace {
    () => {
        "SELECT n.revision, n.standby, n.clock, greatest(n.clock, n.acted, $2::bigint) AS now, n.id, n.acted FROM ( \
            SELECT n.revision, pg_is_in_recovery() AS standby, linchpin.clock() + n.ahead AS clock, n.acted, n.id \
            FROM linchpin.namespaces AS n WHERE n.name = $1 ORDER BY n.generation DESC LIMIT 1 \
        ) AS n"
    };
}

const READ: &str = concat!(
    "SELECT n.revision, n.standby, n.clock, n.now, asked.i, k.version, k.created, k.ends, k.value, n.acted FROM (",
    namespace!(),
    ") AS n LEFT JOIN unnest($3::bytea[]) WITH ORDINALITY AS asked (key, i) ON true \
    LEFT JOIN LATERAL ( \
        SELECT * FROM linchpin.keys AS k WHERE k.namespace = n.id AND k.key = asked.key OFFSET 0 \
    ) AS k ON true"
);

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

/// So many bytes of values make a page: it is to arrive in time, also over a slow line.
const PAGE: i64 = 1024 * 1024;

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
        let given = Given::default().with(&self.0.namespace).with(self.1.latest()).with(bytes).arguments()?;
        let rows = sqlx::query_with(READ, given).fetch_all(connection).await?;
        let Some(first) = rows.first() else { return Ok(questions.iter().map(|_| Ok(None)).collect()) };
        let moment = Moment::read(first, 9)?;
        let mut read: Vec<Option<(Entry, bool)>> = keys.iter().map(|_| None).collect();
        for row in &rows {
            let (Some(place), Some(_)) = (column::<Option<i64>>(row, 4)?, column::<Option<i64>>(row, 5)?) else {
                continue;
            };
            let index = usize::try_from(place - 1).unwrap_or(usize::MAX);
            if let (Some(key), Some(place)) = (keys.get(index), read.get_mut(index)) {
                *place = Some(entry(row, (*key).clone(), moment.now)?);
            }
        }
        let mut read = read.into_iter();
        let found = |keys: &&Vec<Key>| {
            let mut found = Found { moment, entries: Vec::with_capacity(keys.len()), ended: Vec::new() };
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

/// What columns 5 to 8 hold, and whether it has ended.
fn entry(row: &PgRow, key: Key, now: i64) -> Result<(Entry, bool), sqlx::Error> {
    let (version, created) = (Revision(number(column(row, 5)?)), Revision(number(column(row, 6)?)));
    let (ends, value): (Option<i64>, Vec<u8>) = (column(row, 7)?, column(row, 8)?);
    let left = ends.map(|ends| ends - now);
    let ttl = left.and_then(ttl);
    Ok((Entry { key, value: value.into(), created, version, ttl }, left.is_some_and(|left| left <= 0)))
}

impl State {
    pub(crate) fn new(names: Arc<Names>, pool: Arc<Pool>, notices: Arc<Notices>) -> Self {
        let seen = Arc::<Seen>::default();
        let committing = Committing { names: names.clone(), notices: notices.clone(), seen: seen.clone() };
        let commits = Lane::new(pool.clone(), committing);
        let reads = Lane::new(pool.clone(), Reading(names.clone(), seen.clone()));
        let forgetting = Forgetting::default();
        forgetting.later(&pool);
        Self { names, pool, reads, commits, notices, seen, forgetting, is_catching_up: Arc::default() }
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
            self.forgetting.later(&self.pool);
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
        let given = Given::default().with(&self.names.namespace).with(self.seen.latest()).with(start);
        let given = given.with(end_of(start)).with(after).with(limit).with(page.values).with(PAGE).arguments()?;
        let rows = self.pool.ask(Behind::Nobody, SCAN, given).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let moment = Moment::read(first, 10)?;
        let (mut entries, mut ended) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            let Some(name) = column::<Option<Vec<u8>>>(row, 4)? else { continue };
            // All that is stored was a key once.
            let Ok(key) = key("scan", name) else { continue };
            let (entry, has_ended) = entry(row, key, moment.now)?;
            if has_ended { ended.push(entry.key) } else { entries.push(entry) }
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
        let given = Given::default().with(&self.names.namespace).with(moment.now).of("get");
        self.pool.life.spawn(async move {
            if let (Some(pool), Ok(given)) = (pool.upgrade(), given) {
                let went_on = pool.rows_behind(Behind::Nobody, "get", "SELECT linchpin.go_on($1, $2)", given).await;
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
        let given = || Given::default().with(&self.names.namespace).with(&ended).with(moment.now).of(operation);
        match self.pool.row_behind(Behind::Namespace, operation, REMOVE, given()?).await {
            Ok(row) => return self.removed(operation, &row).map(|_| false).map_err(Error::of_read),
            Err(error) if !error.is_transient() => return Err(error.of_read()),
            Err(error) => tracing::debug!(%error, "keys that have ended cannot be removed yet"),
        }
        let rows = self.pool.rows_behind(Behind::Nobody, operation, ENDED, given()?).await.map_err(Error::of_read)?;
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
        const CLEAR: &str = "SELECT * FROM linchpin.clear_keys($1, $2, $3)";
        loop {
            let given = Given::default().with(&self.names.namespace).with(start.as_bytes()).with(CLEARED);
            let row = self.pool.row_behind(Behind::Namespace, "clear", CLEAR, given.of("clear")?).await?;
            if self.removed("clear", &row)? < usize::try_from(CLEARED).unwrap_or(0) {
                return Ok(());
            }
        }
    }

    /// Removes keys that have ended. Returns the microseconds until the next one ends, if one does.
    pub(crate) async fn sweep(&self) -> Result<Option<u64>> {
        const SWEEP: &str = "SELECT * FROM linchpin.sweep($1, $2, $3)";
        let given = Given::default().with(&self.names.namespace).with(CLEARED).with(self.seen.latest()).of("watch")?;
        let row = self.pool.row_behind(Behind::Namespace, "watch", SWEEP, given).await.map_err(Error::of_read)?;
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
        if after != before {
            self.notices.ring(number(after));
        }
        Ok(field::<Vec<Vec<u8>>>(operation, row, 3)?.len())
    }

    /// Makes the namespace be there: it was erased, or the server lost its data.
    async fn hold(&self, operation: &'static str) -> Result<()> {
        let given = Given::default().with(&self.names.namespace).of(operation)?;
        let held = self.pool.row_behind(Behind::Namespace, operation, "SELECT (linchpin.hold($1)).id", given).await;
        held.map(drop).map_err(Error::of_read)
    }
}

/// What comes after all that starts with this. Keys are UTF-8, in which the byte 0xFF never occurs.
fn end_of(start: &[u8]) -> Vec<u8> {
    [start, &[0xFF]].concat()
}
