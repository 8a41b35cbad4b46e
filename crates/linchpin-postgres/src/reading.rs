//! Reads keys: reads at the same time share a round trip.

use crate::arguments::{Arguments, column, number, ttl};
use crate::error::Failure;
use crate::lane::{PendingQuestion, Reply, Traffic};
use crate::names::Names;
use crate::seen::LatestTime;
use async_trait::async_trait;
use linchpin_core::{Entry, Key, Revision};
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The traffic of the lane for reads.
pub(crate) struct Reads(pub(crate) Arc<Names>, pub(crate) Arc<LatestTime>);

/// What a namespace says of itself.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) revision: Revision,
    /// The time, in microseconds.
    pub(crate) now: i64,
    /// The server's clock has stepped back behind what was seen.
    pub(crate) is_behind: bool,
    /// If it steps back now, more time is lost than may be.
    pub(crate) is_unnoted: bool,
}

impl Moment {
    /// What columns 0 to 3 hold, and this one, the latest time that was noted.
    pub(crate) fn read(row: &PgRow, noted: usize) -> Result<Self, Failure> {
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
pub(crate) struct Found {
    pub(crate) moment: Moment,
    pub(crate) entries: Vec<Option<Entry>>,
    pub(crate) ended: Vec<Key>,
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
pub(crate) use namespace;

/// So many bytes of values make a page, and the answers to those who ask together: it is to arrive in time, also over a slow
/// line.
pub(crate) const PAGE: i64 = 1024 * 1024;

/// Of the first `$4` keys all values, of those after them what fits into `$5` bytes.
const READ: &str = concat!(
    "SELECT n.revision, n.standby, n.clock, n.now, asked.i, k.version, k.created, k.ends, \
        CASE WHEN asked.i <= $4 OR sum(length(k.value)) OVER (ORDER BY asked.i) <= $5 THEN k.value END, n.acted FROM (",
    namespace!(),
    ") AS n LEFT JOIN unnest($3::bytea[]) WITH ORDINALITY AS asked (key, i) ON true \
    LEFT JOIN LATERAL ( \
        SELECT * FROM linchpin.keys AS k WHERE k.namespace = n.id AND k.key = asked.key OFFSET 0 \
    ) AS k ON true"
);

#[async_trait]
impl Traffic for Reads {
    type Question = Vec<Key>;
    type Answer = Option<Found>;

    const OPERATION: &'static str = "get";

    fn together(&self, waiting: &VecDeque<PendingQuestion<Vec<Key>, Option<Found>>>) -> usize {
        const KEYS: usize = 512;
        let mut keys = 0;
        let fits = |asked: &&PendingQuestion<Vec<Key>, _>| {
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
    ) -> Result<Vec<Reply<Option<Found>>>, Failure> {
        let (keys, place_of) = distinct(questions);
        let bytes: Vec<_> = keys.iter().map(|key| key.as_str().as_bytes()).collect();
        let first = questions.first().map_or(0, |keys| i64::try_from(keys.len()).unwrap_or(i64::MAX));
        let given =
            Arguments::default().with(&self.0.namespace).with(self.1.latest()).with(bytes).with(first).with(PAGE);
        let rows = sqlx::query_with(READ, given.arguments()?).fetch_all(connection).await?;
        let Some(first) = rows.first() else {
            return Ok(questions.iter().map(|_| Reply::Answer(Ok(None))).collect());
        };
        let moment = Moment::read(first, 9)?;
        let mut read = vec![Read::Nothing; keys.len()];
        for row in &rows {
            let (Some(place), Some(_)) = (column::<Option<i64>>(row, 4)?, column::<Option<i64>>(row, 5)?) else {
                continue;
            };
            let index = usize::try_from(place - 1).unwrap_or(usize::MAX);
            if let (Some(key), Some(place)) = (keys.get(index), read.get_mut(index)) {
                let value: Option<Vec<u8>> = column(row, 8)?;
                *place = match value {
                    Some(value) => entry(row, (*key).clone(), value, moment.now)?,
                    None => Read::Unfit,
                };
            }
        }
        let answer = |keys: &&Vec<Key>| {
            let found = Found::of(moment, keys.iter().filter_map(|key| read.get(*place_of.get(key)?)));
            found.map_or(Reply::Again, |found| Reply::Answer(Ok(Some(found))))
        };
        Ok(questions.iter().map(answer).collect())
    }
}

/// The keys of all questions, each once, those of the first question first; and where each is.
fn distinct<'a>(questions: &[&'a Vec<Key>]) -> (Vec<&'a Key>, HashMap<&'a Key, usize>) {
    let (mut keys, mut place_of) = (Vec::new(), HashMap::new());
    for key in questions.iter().flat_map(|keys| keys.iter()) {
        place_of.entry(key).or_insert_with(|| {
            keys.push(key);
            keys.len() - 1
        });
    }
    (keys, place_of)
}

/// What was read of a key.
#[derive(Clone)]
pub(crate) enum Read {
    Nothing,
    There(Entry),
    End(Entry),
    /// Its value did not fit into the answer.
    Unfit,
}

impl Found {
    /// `None` if something did not fit into the answer.
    fn of<'a>(moment: Moment, read: impl Iterator<Item = &'a Read>) -> Option<Self> {
        let mut found = Self { moment, entries: Vec::new(), ended: Vec::new() };
        for read in read {
            let entry = match read {
                Read::Nothing => None,
                Read::There(entry) => Some(entry.clone()),
                Read::End(entry) => {
                    found.ended.push(entry.key.clone());
                    Some(entry.clone())
                }
                Read::Unfit => return None,
            };
            found.entries.push(entry);
        }
        Some(found)
    }
}

/// What columns 5 to 7 hold of a key with this value.
pub(crate) fn entry(row: &PgRow, key: Key, value: Vec<u8>, now: i64) -> Result<Read, sqlx::Error> {
    let (version, created) = (Revision(number(column(row, 5)?)), Revision(number(column(row, 6)?)));
    let left = column::<Option<i64>>(row, 7)?.map(|ends| ends - now);
    let entry = Entry { key, value: value.into(), created, version, ttl: left.and_then(ttl) };
    Ok(if left.is_some_and(|left| left <= 0) { Read::End(entry) } else { Read::There(entry) })
}
