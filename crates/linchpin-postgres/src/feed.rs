//! The feed of changes: what the server's table of them says, read on from where it was read last.
//!
//! Nothing is believed but the tables. A doorbell and a heartbeat only say that reading is worth while. What this handle
//! changed itself is told as soon as it is committed, where all that was changed before has been told.

use crate::arguments::{Arguments, column, number, ttl};
use crate::error::Failure;
use crate::hub::{Beat, Listener};
use async_trait::async_trait;
use bytes::Bytes;
use linchpin_adapter::fanout::Change;
use linchpin_adapter::feed::{self, Doorbell, Doorbells, WatchedTopics};
use linchpin_core::life::End;
use linchpin_core::{Entry, Key, Revision};
use parking_lot::Mutex;
use sqlx::postgres::{PgListener, PgRow};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

const CHANGES: &str = "SELECT * FROM linchpin.changes_after($1, $2)";
const LOOK: &str = "SELECT * FROM linchpin.look($1, $2, $3)";

/// After so many changes they are read, whatever they are about: long before any of them are forgotten, and not more than
/// one look finds.
const FAR: u64 = 512;

/// So many bytes of values are read at once; of more each watcher reads its own.
const INLINE: i64 = 1024 * 1024;

/// What the watchers of a handle are told: the feed's place is how many changes there were, and the revision then.
#[derive(Default)]
pub(crate) struct Feed {
    pub(crate) changes: feed::Feed<(u64, u64)>,
    pub(crate) watched: WatchedTopics,
    heard: Mutex<Heard>,
    /// Held by who tells changes: what was read and what was committed here.
    telling: Mutex<()>,
}

/// A change that this handle made: how many changes there had been before it and after it, and the revisions.
pub(crate) struct OwnChange {
    pub(crate) before: (u64, u64),
    pub(crate) after: (u64, u64),
    pub(crate) change: Change,
}

/// Where a handle's own changes are told: at the feed that serves its watchers, while there is one.
#[derive(Default)]
pub(crate) struct OwnChanges(Mutex<Weak<Feed>>);

impl OwnChanges {
    /// From now on this feed serves them.
    pub(crate) fn served_by(&self, feed: &Arc<Feed>) {
        *self.0.lock() = Arc::downgrade(feed);
    }

    pub(crate) fn tell(&self, own: OwnChange) {
        let feed = self.0.lock().upgrade();
        if let Some(feed) = feed {
            feed.tell_own(own);
        }
    }
}

/// What was heard of how far the changes go.
#[derive(Default)]
struct Heard {
    /// The last heartbeat: how many changes there were, and the revision then.
    beat: (u64, u64),
    /// How many there are by what those doorbells say that are of interest here, which may be wrong.
    rung: u64,
    doorbells: Doorbells,
    /// How often somebody wrote past the functions.
    intrusions: Option<i64>,
    /// Where the feed was when the server was asked for the next heartbeat.
    asked: Option<(u64, u64)>,
}

impl Heard {
    fn of(beat: &Beat) -> Self {
        Self {
            beat: (beat.changes, beat.revision),
            rung: beat.changes,
            doorbells: Doorbells::starting(beat.changes),
            intrusions: beat.intrusions,
            asked: None,
        }
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
    /// What stands at those keys of the changes that somebody watches.
    async fn look(
        &self,
        server: &mut PgListener,
        namespace: &str,
        steps: &[Step],
    ) -> Result<HashMap<Key, StoredKey>, Failure> {
        let written = steps.iter().flat_map(|step| &step.changed).filter(|changed| changed.created.is_some());
        let keys: HashSet<_> =
            written.map(|changed| &changed.key).filter(|key| self.changes.watchers.wants(key)).collect();
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
                self.changes.alarm.rings_in(ttl);
            }
            standing.insert(key, StoredKey { created, version, ttl, value: column(row, 4)? });
        }
        Ok(standing)
    }

    /// Tells what was committed here, if nothing that came before it is still to be read.
    fn tell_own(&self, OwnChange { before, after, change }: OwnChange) {
        // What is read meanwhile tells it too.
        let Some(_telling) = self.telling.try_lock() else { return };
        if self.changes.place() != Some(before) {
            return;
        }
        let mut change = Some(change).filter(|change| self.changes.watchers.wants(change.key()));
        if let Some(Change::Put(entry)) = &mut change {
            // The caller's may be a part of something large.
            entry.value = Bytes::copy_from_slice(&entry.value);
            if let Some(ttl) = entry.ttl {
                self.changes.alarm.rings_in(ttl);
            }
        }
        self.changes.tell(&before, after, change);
        self.heard.lock().doorbells.read(after.0);
    }

    /// Goes on over what was read.
    fn advance(&self, steps: &[Step], standing: &HashMap<Key, StoredKey>) {
        let _telling = self.telling.lock();
        let at = self.changes.place().map_or(0, |(at, _)| at);
        // What was committed here meanwhile has been told.
        for step in steps.iter().filter(|step| step.number > at) {
            let changes = step.changed.iter().filter_map(|changed| changed.tell(standing));
            self.changes.tell(&(step.before, step.was), (step.number, step.revision), changes);
        }
        let Some(at) = self.changes.place() else { return };
        let mut heard = self.heard.lock();
        heard.doorbells.read(at.0);
        if steps.is_empty() {
            heard.rung = at.0;
            heard.doorbells = Doorbells::starting(at.0.max(heard.beat.0));
            // A heartbeat is to be believed: what it tells was forgotten.
            if heard.beat.0 > at.0 {
                self.changes.goes_on_at(heard.beat);
            }
        }
    }
}

#[async_trait]
impl Listener for Feed {
    fn receive(&self, text: &str) {
        let Ok(doorbell) = text.parse::<Doorbell>() else { return };
        let mut heard = self.heard.lock();
        heard.doorbells.hear(&doorbell);
        let is_far = self.changes.place().is_some_and(|(at, _)| doorbell.changes > at.saturating_add(FAR));
        if is_far || self.watched.meet(&doorbell.topics) {
            heard.rung = heard.rung.max(doorbell.changes);
        }
    }

    fn asks(&self) {
        self.heard.lock().asked = self.changes.place();
    }

    fn beat(&self, beat: &Beat) {
        let _telling = self.telling.lock();
        let mut heard = self.heard.lock();
        // The answer may be older than what was committed here since.
        let place = heard.asked.take().or_else(|| self.changes.place());
        let told = (beat.changes, beat.revision);
        // The server lost data, has older ones, or somebody wrote to the table.
        let is_other = place.is_some_and(|at| beat.changes < at.0 || beat.changes == at.0 && told != at);
        if is_other || place.is_some() && beat.intrusions != heard.intrusions {
            self.changes.lose();
        }
        if self.changes.place().is_none() {
            *heard = Heard::of(beat);
            self.changes.goes_on_at(told);
        }
        heard.beat = told;
        heard.doorbells = Doorbells::starting(beat.changes);
    }

    fn reads_at(&self) -> Option<Instant> {
        let heard = self.heard.lock();
        let (at, _) = self.changes.place()?;
        if heard.beat.0 > at || heard.rung > at { Some(Instant::now()) } else { heard.doorbells.look_at() }
    }

    async fn catch_up(&self, server: &mut PgListener, namespace: &str) -> Result<(), Failure> {
        let Some((start, _)) = self.changes.place() else { return Ok(()) };
        let given = Arguments::default().with(namespace).with(crate::arguments::stored(start)).arguments()?;
        let rows = sqlx::query_with(CHANGES, given).fetch_all(&mut *server).await?;
        let steps: Vec<_> = rows.iter().map(Step::read).collect::<Result<_, _>>()?;
        let standing = self.look(server, namespace, &steps).await?;
        self.advance(&steps, &standing);
        Ok(())
    }

    fn mark_gap(&self) {
        let _telling = self.telling.lock();
        self.heard.lock().asked = None;
        self.changes.lose();
    }

    fn end(&self, ended: End) {
        self.changes.end(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::topic_hash;
    use crate::secret::Secret;
    use linchpin_adapter::feed::Topics;

    fn beat(changes: u64, revision: u64, intrusions: i64) -> Beat {
        Beat { secret: Secret::new(Vec::new()), changes, revision, intrusions: Some(intrusions) }
    }

    fn step((before, was): (u64, u64), (number, revision): (u64, u64)) -> Step {
        Step { before, was, number, revision, changed: Vec::new() }
    }

    /// Whether the feed is at this place, and reads on or not.
    #[track_caller]
    fn stands(feed: &Feed, at: (u64, u64), is_behind: bool) {
        let is_due = feed.reads_at().is_some_and(|at| at <= Instant::now());
        assert_eq!((feed.changes.place(), is_due), (Some(at), is_behind));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_missed_is_noticed() {
        let feed = Feed::default();
        let advance = |steps: &[Step]| feed.advance(steps, &HashMap::new());
        feed.beat(&beat(4, 40, 0));
        stands(&feed, (4, 40), false);
        feed.beat(&beat(7, 70, 0));
        stands(&feed, (4, 40), true);
        advance(&[step((4, 40), (5, 50)), step((5, 50), (7, 70))]);
        stands(&feed, (7, 70), false);
        let topics = Topics::of_key("k", topic_hash);
        feed.watched.add(&topics);
        feed.receive("8 1 ");
        feed.receive("what nobody of ours says");
        stands(&feed, (7, 70), false);
        feed.receive(&Doorbell { changes: 8, count: 1, topics }.to_string());
        stands(&feed, (7, 70), true);
        advance(&[]);
        stands(&feed, (7, 70), false);
        advance(&[step((8, 80), (9, 90))]);
        stands(&feed, (9, 90), false);
        feed.beat(&beat(11, 110, 0));
        advance(&[]);
        stands(&feed, (11, 110), false);

        // Somebody did not ring, and another one did.
        feed.receive("12 1 ");
        tokio::time::advance(Duration::from_secs(1)).await;
        stands(&feed, (11, 110), false);
        feed.receive("14 1 ");
        stands(&feed, (11, 110), false);
        tokio::time::advance(Duration::from_secs(1)).await;
        stands(&feed, (11, 110), true);
        advance(&[step((11, 110), (14, 140))]);
        stands(&feed, (14, 140), false);

        // What nobody watches is read as well, before it is forgotten.
        feed.receive("526 512 ");
        stands(&feed, (14, 140), false);
        feed.receive("527 1 ");
        stands(&feed, (14, 140), true);

        // The server has other data, or somebody wrote past the functions.
        for other in [beat(6, 70, 0), beat(7, 69, 0), beat(9, 90, 1)] {
            let feed = Feed::default();
            feed.beat(&beat(7, 70, 0));
            feed.beat(&other);
            stands(&feed, (other.changes, other.revision), false);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_committed_here_is_told_once_and_only_in_its_order() {
        let (feed, own) = (Arc::<Feed>::default(), OwnChanges::default());
        let key = Key::new("k").expect("valid");
        let commit = |before: (u64, u64), after: (u64, u64)| {
            own.tell(OwnChange { before, after, change: Change::Deleted(key.clone(), Revision(after.1)) });
        };
        commit((6, 60), (7, 70));
        own.served_by(&feed);
        commit((6, 60), (7, 70));
        assert_eq!(feed.changes.place(), None, "it is not known where the changes are");
        feed.beat(&beat(7, 70, 0));
        feed.watched.add(&Topics::All);

        // The server was asked, for a heartbeat and for changes, before this was committed here.
        feed.asks();
        commit((7, 70), (8, 80));
        stands(&feed, (8, 80), false);
        feed.receive("8 1 *");
        feed.beat(&beat(7, 70, 0));
        feed.advance(&[step((7, 70), (8, 80))], &HashMap::new());
        stands(&feed, (8, 80), false);

        // Another one committed before, which is to be read.
        commit((9, 90), (10, 100));
        stands(&feed, (8, 80), false);
        feed.receive("10 1 *");
        stands(&feed, (8, 80), true);
        feed.advance(&[step((8, 80), (9, 90)), step((9, 90), (10, 100))], &HashMap::new());
        commit((9, 90), (10, 100));
        stands(&feed, (10, 100), false);

        // Data of the same length, and others.
        feed.asks();
        feed.beat(&beat(10, 99, 0));
        stands(&feed, (10, 99), false);
        commit((10, 100), (11, 110));
        stands(&feed, (10, 99), false);
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
