//! What the scripts tell of changes, and by that when a sweeper has what to do.

use crate::codec::Packed;
use bytes::Bytes;
use linchpin_adapter::fanout::{Change, Watchers};
use linchpin_adapter::hub::Listener;
use linchpin_core::life::End;
use linchpin_core::{Entry, MAX_TTL, Result};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

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

/// What the scripts tell to the watchers of a handle.
pub(crate) struct Feed {
    pub(crate) watchers: Watchers,
    /// By this number the scripts tell who looked.
    pub(crate) number: u64,
    count: Mutex<Count>,
    times: Mutex<Times>,
    dropped: Mutex<Dropped>,
    /// Something is due earlier than the sweeper knows.
    pub(crate) sooner: Notify,
}

/// How many revisions there were when it was told last.
#[derive(Clone, Copy, Default)]
struct Count {
    known: Option<u64>,
    /// Something may have been missed, of which the watchers are to be told once it is known how many there are: who
    /// reads before that would not notice what is lost between.
    gap: bool,
}

/// When the sweeper has what to do.
struct Times {
    /// When the next key ends, as far as is known: every TTL that is granted is told.
    due: Option<Instant>,
    /// When the next beat is, and where it looks on.
    beat: Instant,
    look: Vec<u8>,
    /// This handle was the last to look.
    is_first: bool,
}

/// How many keys the server has dropped, as far as watchers have read their ranges since, and when they were told to.
#[derive(Default)]
struct Dropped {
    count: Option<u64>,
    told: Option<Instant>,
}

impl Default for Feed {
    fn default() -> Self {
        let (watchers, count, dropped, sooner) = Default::default();
        let times = Times { due: None, beat: Instant::now() + BEAT.0, look: BEGINNING.to_vec(), is_first: false };
        // Exact as a double.
        let number = fastrand::u64(..1 << 52);
        Self { watchers, number, count, times: Mutex::new(times), dropped, sooner }
    }
}

impl Feed {
    pub(crate) fn ends_in(&self, time: Duration) {
        let at = Instant::now() + time.min(MAX_TTL);
        let mut times = self.times.lock();
        if times.due.is_none_or(|due| at < due) {
            times.due = Some(at);
            self.sooner.notify_one();
        }
    }

    pub(crate) fn beat_now(&self) {
        self.times.lock().beat = Instant::now();
        self.ends_in(Duration::ZERO);
        self.sooner.notify_one();
    }

    /// When to look next, unless something is heard until then.
    pub(crate) fn next_look(&self) -> Instant {
        let times = self.times.lock();
        let late = at_random(if times.is_first { LATE } else { OTHERS_LATE });
        times.due.map_or(times.beat, |due| times.beat.min(due + late))
    }

    /// What is to be done now, unless somebody else has done it.
    pub(crate) fn duty(&self) -> Option<Duty> {
        let mut times = self.times.lock();
        let now = Instant::now();
        let is_beat = times.beat <= now;
        if !is_beat && times.due.is_none_or(|due| due > now) {
            return None;
        }
        // Before asking: what comes up meanwhile is looked at again.
        times.due = None;
        if !is_beat {
            return Some(Duty::Sweep);
        }
        let is_heard = self.count.lock().known.is_some();
        times.beat = now + if is_heard { BEAT.0 } else { UNHEARD };
        Some(Duty::Beat(times.look.clone()))
    }

    /// Somebody has looked.
    fn looked(&self, look: Look) {
        let mut times = self.times.lock();
        times.is_first = look.by == self.number;
        if !times.is_first {
            // Nobody else need look until then. The answer to one's own look told it before.
            let due = look.due.map(|due| Instant::now() + due.min(MAX_TTL));
            if due.is_some_and(|due| times.due.is_none_or(|known| due < known)) {
                self.sooner.notify_one();
            }
            times.due = due;
        }
        if let Some((on, dropped)) = look.beat {
            times.beat = Instant::now() + at_random(if times.is_first { BEAT } else { OTHERS_BEAT });
            times.look = on;
            drop(times);
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
            self.watchers.mark_gap();
        }
    }
}

impl Listener for Feed {
    fn receive(&self, _: &str, told: Bytes) {
        // Whoever connects asks there whether he may publish.
        if told.is_empty() {
            return;
        }
        let Announcement { before, after, changes, look } = match Announcement::read(&told) {
            Ok(told) => told,
            Err(error) => {
                tracing::warn!(%error, "a change could not be read; watchers read their ranges again");
                return self.mark_gap();
            }
        };
        for ttl in changes.iter().filter_map(|(_, ttl)| *ttl) {
            self.ends_in(ttl);
        }
        if let Some(look) = look {
            self.looked(look);
        }
        // A script that failed half way, or a server that lost its data, or came back with older ones.
        let count = std::mem::replace(&mut *self.count.lock(), Count { known: Some(after), gap: false });
        if count.gap || count.known.is_some_and(|known| known != before) {
            self.watchers.mark_gap();
            self.ends_in(Duration::ZERO);
        }
        for (change, _) in changes {
            self.watchers.dispatch(&change);
        }
    }

    fn mark_gap(&self) {
        *self.count.lock() = Count { known: None, gap: true };
        self.beat_now();
    }

    fn end(&self, ended: End) {
        self.watchers.end(move || ended.error("watch"));
    }
}

/// What one script tells: how many revisions there were before and after it, each change with the TTL that its key
/// got, and of one that looked for what has ended when it is to be looked again.
struct Announcement {
    before: u64,
    after: u64,
    changes: Vec<(Change, Option<Duration>)>,
    look: Option<Look>,
}

/// A look for keys that have ended.
struct Look {
    /// Until the next one ends.
    due: Option<Duration>,
    by: u64,
    /// Of a beat where the next one looks on, and how many keys the server has dropped.
    beat: Option<(Vec<u8>, u64)>,
}

impl Announcement {
    /// Reads what `changed` and `done` of the prelude pack.
    fn read(told: &[u8]) -> Result<Self> {
        let mut told = Packed::new("watch", Bytes::copy_from_slice(told));
        let (before, after) = (told.number()?, told.number()?);
        let (mut changes, mut look) = (Vec::new(), None);
        while !told.is_empty() {
            let kind = told.kind()?;
            if matches!(kind, b'l' | b'n') {
                let beat = if kind == b'l' { Some((told.bytes()?.to_vec(), told.number()?)) } else { None };
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
        Ok(Self { before, after, changes, look })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::{Key, Revision};

    #[test]
    fn what_the_scripts_tell_is_read_and_nothing_that_is_cut_short() {
        let number = |number: f64| number.to_le_bytes().to_vec();
        let text = |text: &str| [&u32::try_from(text.len()).expect("short").to_le_bytes(), text.as_bytes()].concat();
        let parts = [
            [number(12.0), number(14.0)].concat(),
            [b"p".to_vec(), number(20.0), text("a"), number(1500.0), number(17.0), text("x:y")].concat(),
            [b"b".to_vec(), number(20.0), text("b"), number(0.0)].concat(),
            [b"d".to_vec(), number(21.0), text("c:d")].concat(),
            [b"l".to_vec(), text("(c"), number(3.0), number(-1.0), number(7.0)].concat(),
        ];
        let told = parts.concat();
        let Announcement { before, after, changes, look } = Announcement::read(&told).expect("readable");
        let Look { due, by, beat } = look.expect("told");
        assert_eq!((before, after, due, by, beat), (12, 14, None, 7, Some((b"(c".to_vec(), 3))));
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
