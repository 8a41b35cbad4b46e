//! The feed of changes: what the server's table of them says, read on from where it was read last.
//!
//! Nothing is believed but the tables. A doorbell and a heartbeat only say that reading is worth while.

use crate::arguments::{Arguments, column, number, ttl};
use crate::error::Failure;
use crate::hub::{Beat, Listener};
use async_trait::async_trait;
use linchpin_adapter::fanout::{Change, Watchers};
use linchpin_core::life::End;
use linchpin_core::{Entry, Key, MAX_TTL, Revision};
use parking_lot::Mutex;
use sqlx::postgres::{PgListener, PgRow};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

const CHANGES: &str = "SELECT * FROM linchpin.changes_after($1, $2)";
const LOOK: &str = "SELECT * FROM linchpin.look($1, $2, $3)";

/// So many bytes of values are read at once; of more each watcher reads its own.
const INLINE: i64 = 1024 * 1024;

/// What the watchers of a handle are told, in order.
#[derive(Default)]
pub(crate) struct Feed {
    pub(crate) watchers: Watchers,
    place: Mutex<Place>,
    /// When the next key ends, as far as is known.
    due: Mutex<Option<Instant>>,
    /// It is due earlier than the sweeper knows.
    pub(crate) sooner: Notify,
}

/// How far the changes were told.
#[derive(Default)]
struct Place {
    /// How many there were, and the revision then; none if that is not known.
    at: Option<(u64, u64)>,
    /// How many there are by the last heartbeat.
    beat: u64,
    /// How many there are by what the doorbells say, which may be wrong.
    rung: u64,
    /// How often somebody wrote past the functions.
    intrusions: Option<i64>,
}

impl Place {
    fn of(beat: &Beat) -> Self {
        let Beat { changes, revision, intrusions, .. } = *beat;
        Self { at: Some((changes, revision)), beat: changes, rung: changes, intrusions }
    }

    /// Takes a heartbeat; returns whether anything else than changes that are noted may have happened.
    fn take(&mut self, beat: &Beat) -> bool {
        let is_other = self.at.is_some_and(|(changes, revision)| {
            // The server lost data, has older ones, or somebody wrote to the table.
            beat.changes < changes
                || beat.changes == changes && beat.revision != revision
                || beat.intrusions != self.intrusions
        });
        if self.at.is_none() || is_other {
            *self = Self::of(beat);
        }
        self.beat = beat.changes;
        is_other
    }

    fn is_behind(&self) -> bool {
        self.at.is_some_and(|(changes, _)| self.beat > changes || self.rung > changes)
    }

    /// Goes on over what was read; returns whether nothing was missed.
    fn advance(&mut self, steps: &[Step]) -> bool {
        let Some(mut at) = self.at else { return true };
        for step in steps {
            if (step.before, step.was) != at {
                return false;
            }
            at = (step.number, step.revision);
        }
        self.at = Some(at);
        if steps.is_empty() {
            // A heartbeat is to be believed.
            self.rung = at.0;
            return self.beat <= at.0;
        }
        true
    }
}

/// What one call changed: how many changes there were before and after it, and the revisions.
struct Step {
    before: u64,
    was: u64,
    number: u64,
    revision: u64,
    changed: Vec<Changed>,
}

/// A key that was changed at this revision, and when it came to be; not at all if it is gone.
struct Changed {
    key: Key,
    created: Option<Revision>,
    version: Revision,
}

impl Step {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let keys: Vec<Vec<u8>> = column(row, 4)?;
        let (created, versions): (Vec<i64>, Vec<i64>) = (column(row, 5)?, column(row, 6)?);
        let changed =
            keys.into_iter().zip(created.into_iter().zip(versions)).filter_map(|(key, (created, version))| {
                // All that is stored was a key once.
                let key = Key::stored(String::from_utf8(key).ok()?).ok()?;
                let created = (created > 0).then(|| Revision(number(created)));
                Some(Changed { key, created, version: Revision(number(version)) })
            });
        let word = |index| column::<i64>(row, index).map(number);
        Ok(Self { number: word(0)?, revision: word(1)?, before: word(2)?, was: word(3)?, changed: changed.collect() })
    }
}

/// What stands at a key: its value may be too large to come along.
struct StoredKey {
    created: Revision,
    version: Revision,
    ttl: Option<Duration>,
    value: Option<Vec<u8>>,
}

impl Changed {
    /// What is to be told of it, as what stands there now says. A key that came again since, or is gone, is told by the
    /// change that did it.
    fn tell(&self, standing: &HashMap<Key, StoredKey>) -> Option<Change> {
        let key = self.key.clone();
        let Some(created) = self.created else { return Some(Change::Deleted(key, self.version)) };
        let found = standing.get(&self.key).filter(|found| found.created == created)?;
        let StoredKey { created, version, ttl, ref value } = *found;
        Some(match value {
            Some(value) => Change::Put(Entry { key, value: value.clone().into(), created, version, ttl }),
            None => Change::Written(key, version),
        })
    }
}

impl Feed {
    /// Begins anew: what is known of the server is long ago.
    pub(crate) fn start(&self) {
        *self.place.lock() = Place::default();
        self.ends_in(Duration::ZERO);
    }

    /// Takes the time at which the next key ends: what comes up from now on is noted again.
    pub(crate) fn due(&self) -> Option<Instant> {
        *self.due.lock()
    }

    pub(crate) fn forget_due(&self) {
        *self.due.lock() = None;
    }

    pub(crate) fn ends_in(&self, time: Duration) {
        let at = Instant::now() + time.min(MAX_TTL);
        let mut due = self.due.lock();
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
            self.sooner.notify_one();
        }
    }

    /// What stands at those keys of the changes that somebody watches.
    async fn look(
        &self,
        server: &mut PgListener,
        namespace: &str,
        steps: &[Step],
    ) -> Result<HashMap<Key, StoredKey>, Failure> {
        let written = steps.iter().flat_map(|step| &step.changed).filter(|changed| changed.created.is_some());
        let keys: HashSet<_> = written.map(|changed| &changed.key).filter(|key| self.watchers.wants(key)).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let bytes: Vec<_> = keys.iter().map(|key| key.as_str().as_bytes()).collect();
        let given = Arguments::default().with(namespace).with(bytes).with(INLINE).arguments()?;
        let rows = sqlx::query_with(LOOK, given).fetch_all(server).await?;
        let mut standing = HashMap::with_capacity(rows.len());
        for row in &rows {
            let Some(key) = String::from_utf8(column(row, 0)?).ok().and_then(|key| Key::stored(key).ok()) else {
                continue;
            };
            let revision = |index| column::<i64>(row, index).map(|stored| Revision(number(stored)));
            let (version, created, ttl) = (revision(1)?, revision(2)?, ttl(column(row, 3)?));
            if let Some(ttl) = ttl {
                self.ends_in(ttl);
            }
            standing.insert(key, StoredKey { created, version, ttl, value: column(row, 4)? });
        }
        Ok(standing)
    }

    fn resync(&self) {
        tracing::debug!("changes may have been missed; watchers read their ranges again");
        self.watchers.mark_gap();
        self.ends_in(Duration::ZERO);
    }
}

#[async_trait]
impl Listener for Feed {
    fn receive(&self, text: &str) {
        if let Ok(changes) = text.parse() {
            let mut place = self.place.lock();
            place.rung = place.rung.max(changes);
        }
    }

    fn beat(&self, beat: &Beat) {
        let is_other = self.place.lock().take(beat);
        if is_other {
            self.resync();
        }
    }

    fn is_behind(&self) -> bool {
        self.place.lock().is_behind()
    }

    async fn catch_up(&self, server: &mut PgListener, namespace: &str) -> Result<bool, Failure> {
        let Some((start, _)) = self.place.lock().at else { return Ok(true) };
        let given = Arguments::default().with(namespace).with(crate::arguments::stored(start)).arguments()?;
        let rows = sqlx::query_with(CHANGES, given).fetch_all(&mut *server).await?;
        let steps: Vec<_> = rows.iter().map(Step::read).collect::<Result<_, _>>()?;
        let standing = self.look(server, namespace, &steps).await?;
        if !self.place.lock().advance(&steps) {
            return Ok(false);
        }
        for change in steps.iter().flat_map(|step| &step.changed).filter_map(|changed| changed.tell(&standing)) {
            self.watchers.dispatch(&change);
        }
        Ok(true)
    }

    fn mark_gap(&self) {
        *self.place.lock() = Place::default();
        self.resync();
    }

    fn end(&self, ended: End) {
        self.watchers.end(move || ended.error("watch"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn beat(changes: u64, revision: u64, intrusions: i64) -> Beat {
        Beat { secret: Secret::new(Vec::new()), changes, revision, intrusions: Some(intrusions) }
    }

    fn step((before, was): (u64, u64), (number, revision): (u64, u64)) -> Step {
        Step { before, was, number, revision, changed: Vec::new() }
    }

    #[test]
    fn what_was_missed_is_noticed() {
        let mut place = Place::default();
        assert!(!place.take(&beat(4, 40, 0)) && !place.is_behind());
        assert!(!place.take(&beat(7, 70, 0)) && place.is_behind(), "changes that are noted are read");
        assert!(place.advance(&[step((4, 40), (5, 50)), step((5, 50), (7, 70))]) && !place.is_behind());
        place.rung = 8;
        assert!(place.is_behind());
        assert!(place.advance(&[]) && !place.is_behind(), "a doorbell that is wrong costs a look");
        assert!(!place.advance(&[step((8, 80), (9, 90))]), "some were forgotten");
        assert!(!place.advance(&[step((7, 71), (9, 90))]), "the server has other data");
        assert!(!place.take(&beat(8, 80, 0)));
        assert!(!place.advance(&[]), "what a heartbeat tells is not there");

        for other in [beat(6, 70, 0), beat(7, 69, 0), beat(9, 90, 1)] {
            let mut place = Place::of(&beat(7, 70, 0));
            assert!(place.take(&other) && !place.is_behind());
            assert_eq!(place.at, Some((other.changes, other.revision)));
        }
    }

    #[test]
    fn what_stands_there_is_told() {
        let key = Key::new("k").expect("valid");
        let standing = |created| StoredKey {
            created: Revision(created),
            version: Revision(9),
            ttl: None,
            value: Some(b"v".to_vec()),
        };
        let found = HashMap::from([(key.clone(), standing(5))]);
        let changed = |created| Changed { key: key.clone(), created, version: Revision(7) };
        let put = changed(Some(Revision(5))).tell(&found).expect("it is there");
        assert!(matches!(put, Change::Put(entry) if entry.version == Revision(9) && entry.value == "v"));
        assert_eq!(changed(Some(Revision(4))).tell(&found), None, "it came again, which is told later");
        assert_eq!(changed(Some(Revision(5))).tell(&HashMap::new()), None, "it is gone, which is told later");
        assert_eq!(changed(None).tell(&found), Some(Change::Deleted(key.clone(), Revision(7))));
        let long = HashMap::from([(key.clone(), StoredKey { value: None, ..standing(5) })]);
        assert_eq!(changed(Some(Revision(5))).tell(&long), Some(Change::Written(key, Revision(9))));
    }
}
