//! One watcher: what it knows, and what it is told.

use super::queue::{Change, Next, Queue};
use super::watchers::Scan;
use crate::backoff::Backoff;
use linchpin_core::Key;
use linchpin_core::WatchEvent;
use linchpin_core::{Entry, Page, Range, Revision, ScanPage};
use linchpin_core::{Error, Result};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub(super) struct Watch {
    range: Range,
    scan: Scan,
    queue: Arc<Queue>,
    /// The version last told, of every key that the watcher believes to exist.
    known: HashMap<Key, Revision>,
    /// The revision that it has read its range at: what is not known was absent then.
    floor: Revision,
    ready: VecDeque<WatchEvent>,
    /// What it has read of the entries that were present when it began, until it has read all.
    beginning: Option<PartialRead>,
}

/// A range as far as it is read.
#[derive(Default)]
struct PartialRead {
    found: Vec<Entry>,
    /// The revision of the first page.
    read_at: Option<Revision>,
    after: Option<Key>,
    is_whole: bool,
}

impl Watch {
    /// Begins to watch: reads the first page.
    pub(super) async fn begin(range: Range, scan: Scan, queue: Arc<Queue>) -> Result<Self> {
        let (known, floor, ready) = Default::default();
        let mut watch = Self { range, scan, queue, known, floor, ready, beginning: None };
        let mut reading = PartialRead::default();
        watch.read_page(&mut reading).await?;
        watch.beginning = Some(reading);
        Ok(watch)
    }

    pub(super) async fn next(&mut self) -> Result<WatchEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if let Some(reading) = self.beginning.take() {
                self.read_rest(reading).await?;
                continue;
            }
            match self.queue.next().await {
                Next::Change(change) => self.take(change).await?,
                Next::End(error) => return Err(error),
                Next::Resync => self.resync().await?,
            }
        }
    }

    /// Reads what is left of the entries that are present, and tells them.
    async fn read_rest(&mut self, mut reading: PartialRead) -> Result<()> {
        let mut backoff = Backoff::default();
        while !reading.is_whole {
            if let Err(error) = self.read_page(&mut reading).await {
                self.wait_out(error, &mut backoff).await?;
            }
        }
        let revision = self.tell_difference(reading);
        self.ready.push_back(WatchEvent::Synced { revision });
        Ok(())
    }

    /// Reads the range again until it succeeds: while the backend is away there is nothing to tell.
    async fn resync(&mut self) -> Result<()> {
        let mut backoff = Backoff::default();
        loop {
            // The flag falls before the range is read: what changes while it is read is queued.
            self.queue.state.lock().resync = false;
            let mut reading = PartialRead::default();
            let error = loop {
                match self.read_page(&mut reading).await {
                    Err(error) => break error,
                    Ok(()) if reading.is_whole => {
                        self.tell_difference(reading);
                        return Ok(());
                    }
                    Ok(()) => {}
                }
            };
            self.queue.state.lock().lose();
            self.wait_out(error, &mut backoff).await?;
        }
    }

    /// Pauses after a failure that may pass; the watch ends with any other, and when its handle ends.
    async fn wait_out(&self, error: Error, backoff: &mut Backoff) -> Result<()> {
        if !error.is_transient() {
            return Err(error);
        }
        if let Some(error) = self.queue.state.lock().ended.as_ref().map(|error| error()) {
            return Err(error);
        }
        backoff.pause().await;
        Ok(())
    }

    /// Tells a change, unless the watcher was told as much or more already.
    async fn take(&mut self, change: Change) -> Result<()> {
        let version = change.version();
        let known = self.known.get(change.key()).copied();
        if version <= known.unwrap_or(self.floor) {
            return Ok(());
        }
        match change {
            Change::Put(entry) => self.tell(entry),
            Change::Written(key, written) => match (self.scan)(Range::Key(key), Page::first()).await {
                // One that is gone by now, or came again, is told by a change of its own.
                Ok(page) => {
                    page.entries
                        .into_iter()
                        .filter(|entry| entry.created <= written)
                        .for_each(|entry| self.tell(entry));
                }
                Err(error) if error.is_transient() => self.queue.state.lock().lose(),
                Err(error) => return Err(error),
            },
            Change::Deleted(key, version) => {
                if self.known.remove(&key).is_some() {
                    self.ready.push_back(WatchEvent::Deleted { key, version });
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, entry: Entry) {
        self.known.insert(entry.key.clone(), entry.version);
        self.ready.push_back(WatchEvent::Put(entry));
    }

    /// Reads the next page of the range. Keys that came to be after the first page was read are left to their changes,
    /// which are queued: so nobody is told of a key before those that are older.
    async fn read_page(&self, reading: &mut PartialRead) -> Result<()> {
        let page = Page { after: reading.after.clone(), ..Page::first() };
        let ScanPage { revision, entries, more } = (self.scan)(self.range.clone(), page).await?;
        let read_at = *reading.read_at.get_or_insert(revision);
        reading.after = entries.last().map(|entry| entry.key.clone()).or(reading.after.take());
        reading.found.extend(entries.into_iter().filter(|entry| entry.created <= read_at));
        reading.is_whole = !more;
        Ok(())
    }

    /// Tells how what was read differs from what the watcher knows, newer or older: first what is gone, then what was
    /// written, by the order in which the keys came to be.
    fn tell_difference(&mut self, PartialRead { mut found, read_at, .. }: PartialRead) -> Revision {
        self.floor = read_at.unwrap_or_default();
        let known = found.iter().map(|entry| (entry.key.clone(), entry.version)).collect();
        let known = std::mem::replace(&mut self.known, known);
        let gone = known.iter().filter(|(key, _)| !self.known.contains_key(*key));
        let gone = gone.map(|(key, told)| WatchEvent::Deleted {
            key: key.clone(),
            // It went after it was told of last, also where that was after the first page was read.
            version: self.floor.max(Revision(told.0 + 1)),
        });
        self.ready.extend(gone);
        found.retain(|entry| known.get(&entry.key).is_none_or(|known| *known != entry.version));
        found.sort_by_key(|entry| entry.created);
        self.ready.extend(found.into_iter().map(WatchEvent::Put));
        self.floor
    }
}
