//! What the scripts tell of changes, and by that when a sweeper has what to do.

use crate::codec::Packed;
use bytes::Bytes;
use linchpin_adapter::fanout::Change;
use linchpin_adapter::feed::{self, Alarm};
use linchpin_adapter::hub::Listener;
use linchpin_core::life::End;
use linchpin_core::{Entry, Result};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How late a sweeper comes at least, and how much later at random: who was the last to look is the first to look again,
/// so that of many processes one looks. Others come where it does not.
const LATE: (Duration, Duration) = (Duration::ZERO, Duration::from_millis(5));
const OTHERS_LATE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(40));

/// How long after a beat, of whichever process, the next one comes.
const BEAT: (Duration, Duration) = (Duration::from_millis(900), Duration::from_millis(50));
const OTHERS_BEAT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(200));

/// How soon a beat is repeated until it is heard: without, what was lost since the connection broke is not known.
const UNHEARD: Duration = Duration::from_millis(200);

/// How often watchers read their ranges again at most, while the server drops keys.
const PAUSE: Duration = Duration::from_secs(5);

/// Where a beat begins to look for keys that are listed and not there.
pub(crate) const BEGINNING: &[u8] = b"-";

fn at_random((least, spread): (Duration, Duration)) -> Duration {
    least + spread.mul_f64(fastrand::f64())
}

/// What a sweeper has to do.
pub(crate) enum Duty {
    /// To look for keys that have ended.
    Sweep,
    /// And, from there on, for what is listed and not there.
    Beat(Vec<u8>),
}

/// What the scripts tell to the watchers of a handle: the feed's place is the epoch. A connection brings what was published
/// in order, or breaks; of what was never published the epoch tells.
pub(crate) struct Feed {
    pub(crate) changes: feed::Feed<u64>,
    /// By this number the scripts tell who looked.
    pub(crate) number: u64,
    /// When the next beat is.
    beats: Alarm,
    /// Where it looks on.
    look: Mutex<Vec<u8>>,
    /// This handle was the last to look.
    is_first: AtomicBool,
    dropped: Mutex<Evictions>,
    /// The greatest version that was told.
    newest: AtomicU64,
}

/// How many keys the server has dropped, as far as watchers have read their ranges since, and when they were told to.
#[derive(Default)]
struct Evictions {
    count: Option<u64>,
    told: Option<Instant>,
}

impl Default for Feed {
    fn default() -> Self {
        let (changes, beats, is_first, dropped, newest): (_, Alarm, _, _, _) = Default::default();
        // Also where nothing is heard of the first.
        beats.rings_in(BEAT.0);
        // Exact as a double.
        let number = fastrand::u64(..1 << 52);
        Self { changes, number, beats, look: Mutex::new(BEGINNING.to_vec()), is_first, dropped, newest }
    }
}

impl Feed {
    pub(crate) fn beat_now(&self) {
        self.beats.rings_in(Duration::ZERO);
    }

    /// What is to be done next, once it is.
    pub(crate) async fn duty(&self) -> Duty {
        let late = || at_random(if self.is_first.load(Ordering::Relaxed) { LATE } else { OTHERS_LATE });
        tokio::select! {
            biased;
            () = self.beats.ring(|| Duration::ZERO) => {}
            () = self.changes.alarm.ring(late) => return Duty::Sweep,
        }
        // Before asking: what comes up meanwhile is looked at again.
        self.changes.alarm.rings_next_in(None);
        self.beats.rings_in(if self.changes.place().is_some() { BEAT.0 } else { UNHEARD });
        Duty::Beat(self.look.lock().clone())
    }

    /// Somebody has looked.
    fn looked(&self, look: Look) {
        let is_first = look.by == self.number;
        self.is_first.store(is_first, Ordering::Relaxed);
        if !is_first {
            // Nobody else need look until then, but for what was read here since they looked: its answer may have come
            // before this. The answer to one's own look told it before.
            self.changes.alarm.was_seen_to(look.due, OTHERS_BEAT.0 + OTHERS_BEAT.1);
        }
        if let Some(Beat { on, dropped, .. }) = look.beat {
            self.beats.rings_next_in(Some(at_random(if is_first { BEAT } else { OTHERS_BEAT })));
            *self.look.lock() = on;
            self.dropped(dropped);
        }
    }

    /// So many keys has the server dropped since it was started. Where it drops the lists with what is listed nobody can
    /// tell what is gone: watchers read their ranges again, now and then.
    fn dropped(&self, count: u64) {
        let mut dropped = self.dropped.lock();
        let is_news = dropped.count.is_some_and(|known| known != count);
        if is_news && dropped.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        dropped.count = Some(count);
        if is_news {
            dropped.told = Some(Instant::now());
            self.changes.mark_gap();
        }
    }
}

impl Listener for Feed {
    fn receive(&self, _: &str, told: Bytes) {
        // Whoever connects asks there whether he may publish.
        if told.is_empty() {
            return;
        }
        let Announcement { epoch, changes, look } = match Announcement::read(&told) {
            Ok(told) => told,
            Err(error) => {
                tracing::warn!(%error, "a change could not be read; watchers read their ranges again");
                self.changes.lose();
                // Not at once: the answer may be as unreadable.
                return self.beats.rings_in(UNHEARD);
            }
        };
        for ttl in changes.iter().filter_map(|(_, ttl)| *ttl) {
            self.changes.alarm.rings_in(ttl);
        }
        if let Some(newest) = changes.iter().map(|(change, _)| change.version().0).max() {
            self.newest.fetch_max(newest, Ordering::Relaxed);
        }
        let mut next = epoch;
        if let Some(beat) = look.as_ref().and_then(|look| look.beat.as_ref()) {
            next = beat.next;
            // Data came back that are older than what was told, in one epoch.
            if beat.revision < self.newest.swap(beat.revision, Ordering::Relaxed) {
                self.changes.lose();
            }
        }
        if let Some(look) = look {
            self.looked(look);
        }
        // A script that failed half way, or a server that lost its data or came back with older ones, leaves a gap.
        self.changes.tell(&epoch, next, changes.into_iter().map(|(change, _)| change));
    }

    fn mark_gap(&self) {
        self.changes.lose();
        self.beat_now();
    }

    fn end(&self, ended: End) {
        self.changes.end(ended);
    }
}

/// What one script tells: each change with the TTL that its key got, or of one that looked for what has ended when it is to
/// be looked again.
struct Announcement {
    epoch: u64,
    changes: Vec<(Change, Option<Duration>)>,
    look: Option<Look>,
}

/// A look for keys that have ended.
struct Look {
    /// Until the next one ends.
    due: Option<Duration>,
    by: u64,
    beat: Option<Beat>,
}

/// A beat ends one epoch and begins the next.
#[derive(Debug, PartialEq)]
struct Beat {
    /// Where the next one looks on.
    on: Vec<u8>,
    /// How many keys the server has dropped.
    dropped: u64,
    /// The epoch that it begins.
    next: u64,
    /// The last revision.
    revision: u64,
}

impl Announcement {
    /// Reads what `changed` of the prelude and sweep.lua pack.
    fn read(told: &[u8]) -> Result<Self> {
        let mut told = Packed::new("watch", Bytes::copy_from_slice(told));
        let epoch = told.number()?;
        let (mut changes, mut look) = (Vec::new(), None);
        while !told.is_empty() {
            let kind = told.kind()?;
            if matches!(kind, b'l' | b'n') {
                let beat = match kind {
                    b'l' => {
                        let on = told.bytes()?.to_vec();
                        let (dropped, next, revision) = (told.number()?, told.number()?, told.number()?);
                        Some(Beat { on, dropped, next, revision })
                    }
                    _ => None,
                };
                let (due, by) = (told.wait()?, told.number()?);
                look = Some(Look { due, by, beat });
                continue;
            }
            let (version, key) = (told.revision()?, told.key()?);
            changes.push(match kind {
                b'd' => (Change::Deleted(key, version), None),
                b'b' => (Change::Written(key, version), told.ttl()?),
                _ => {
                    let (ttl, created, value) = (told.ttl()?, told.revision()?, told.bytes()?);
                    (Change::Put(Entry { key, value, created, version, ttl }), ttl)
                }
            });
        }
        Ok(Self { epoch, changes, look })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::{Key, Revision};

    /// Somebody looked, then a key was written and read here, and its reading came before what the look told.
    #[test]
    fn what_was_read_is_still_due_when_an_older_look_of_others_is_heard() {
        let (feed, number) = (Feed { number: 7, ..Feed::default() }, |number: f64| number.to_le_bytes().to_vec());
        feed.changes.alarm.rings_in(Duration::from_secs(1));
        let due = feed.changes.alarm.due();
        let look = [number(12.0), b"n".to_vec(), number(-1.0), number(8.0)].concat();
        feed.receive("log", look.into());
        assert!(due.is_some() && feed.changes.alarm.due() == due);
    }

    #[test]
    fn what_the_scripts_tell_is_read_and_nothing_that_is_cut_short() {
        let number = |number: f64| number.to_le_bytes().to_vec();
        let text = |text: &str| [&u32::try_from(text.len()).expect("short").to_le_bytes(), text.as_bytes()].concat();
        let parts = [
            number(12.0),
            [b"p".to_vec(), number(20.0), text("a"), number(1500.0), number(17.0), text("x:y")].concat(),
            [b"b".to_vec(), number(20.0), text("b"), number(0.0)].concat(),
            [b"d".to_vec(), number(21.0), text("c:d")].concat(),
            [b"l".to_vec(), text("(c"), number(3.0), number(13.0), number(21.0), number(-1.0), number(7.0)].concat(),
        ];
        let told = parts.concat();
        let Announcement { epoch, changes, look } = Announcement::read(&told).expect("readable");
        let Look { due, by, beat } = look.expect("told");
        let expected = Beat { on: b"(c".to_vec(), dropped: 3, next: 13, revision: 21 };
        assert_eq!((epoch, due, by, beat), (12, None, 7, Some(expected)));
        let key = |name: &str| Key::new(name).expect("valid");
        let ttl = Some(Duration::from_micros(1500));
        let entry = Entry { key: key("a"), value: "x:y".into(), created: Revision(17), version: Revision(20), ttl };
        let expected = [
            (Change::Put(entry), ttl),
            (Change::Written(key("b"), Revision(20)), None),
            (Change::Deleted(key("c:d"), Revision(21)), None),
        ];
        assert_eq!(changes, expected);
        let ends: Vec<_> = (1..parts.len()).map(|whole| parts[..whole].concat().len()).collect();
        for cut in (0..told.len()).filter(|cut| !ends.contains(cut)) {
            assert!(Announcement::read(&told[..cut]).is_err(), "{cut}");
        }
    }
}
