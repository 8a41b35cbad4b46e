//! The doorbell: what a notification tells of changes, in one or several parts, and the lane it is rung on.

use crate::names::{LONGEST, from_text, to_text};
use linchpin_core::fanout::Change;
use linchpin_core::{Entry, Key, Revision};
use std::time::Duration;

/// A value up to this length travels with its change; watchers read a longer one themselves.
const INLINE: usize = 4096;

/// What one notification tells: how many revisions there were before and after it, and each change with the TTL that its
/// key got. Of several that tell of the same revisions all but the last have no more after than before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) changes: Vec<(Change, Option<Duration>)>,
}

impl Told {
    /// The texts of notifications that tell this.
    pub(crate) fn write(&self) -> Vec<String> {
        let Self { before, after, changes } = self;
        let mut texts = Vec::new();
        let unfinished = format!("{before} {before}");
        let last = format!("{before} {after}");
        let longest = LONGEST - unfinished.len().max(last.len());
        let mut text = String::new();
        for (change, ttl) in changes {
            let part = write_change(change, *ttl);
            if !text.is_empty() && text.len() + part.len() > longest {
                texts.push(format!("{unfinished}{text}"));
                text.clear();
            }
            text.push_str(&part);
        }
        texts.push(format!("{last}{text}"));
        texts
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let number = |words: &mut std::str::Split<'_, char>| words.next()?.parse::<u64>().ok();
        let (before, after) = (number(&mut words)?, number(&mut words)?);
        let mut changes = Vec::new();
        while let Some(kind) = words.next() {
            let key = Key::stored(String::from_utf8(from_text(words.next()?)?).ok()?).ok()?;
            let version = Revision(number(&mut words)?);
            let ttl = |words: &mut _| number(words).map(|ttl| (ttl > 0).then(|| Duration::from_micros(ttl)));
            changes.push(match kind {
                "d" => (Change::Deleted(key, version), None),
                "b" => (Change::Written(key, version), ttl(&mut words)?),
                "p" => {
                    let ttl = ttl(&mut words)?;
                    let created = Revision(number(&mut words)?);
                    let value = from_text(words.next()?)?.into();
                    (Change::Put(Entry { key, value, created, version, ttl }), ttl)
                }
                _ => return None,
            });
        }
        Some(Self { before, after, changes })
    }
}

fn write_change(change: &Change, ttl: Option<Duration>) -> String {
    let micros = ttl.map_or(0, |ttl| ttl.as_micros());
    let key = to_text(change.key().as_str().as_bytes());
    let version = change.version().0;
    match change {
        Change::Deleted(..) => format!(" d {key} {version}"),
        Change::Put(entry) if entry.value.len() <= INLINE => {
            format!(" p {key} {version} {micros} {} {}", entry.created.0, to_text(&entry.value))
        }
        Change::Put(_) | Change::Written(..) => format!(" b {key} {version} {micros}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(name: String, value: Vec<u8>) -> (Change, Option<Duration>) {
        let ttl = Some(Duration::from_micros(1500));
        let key = Key::new(name).expect("valid");
        (Change::Put(Entry { key, value: value.into(), created: Revision(17), version: Revision(20), ttl }), ttl)
    }

    #[test]
    fn what_is_told_is_read_and_nothing_that_is_cut_short() {
        let key = |name: &str| Key::new(name).expect("valid");
        let told = Told {
            before: 12,
            after: 14,
            changes: vec![
                put("a b".to_owned(), vec![0, 255]),
                put("empty".to_owned(), Vec::new()),
                (Change::Written(key("b"), Revision(20)), None),
                (Change::Deleted(key("é"), Revision(21)), None),
            ],
        };
        let texts = told.write();
        assert_eq!(texts.len(), 1);
        assert_eq!(Told::read(&texts[0]), Some(told));
        for wrong in ["", "1", "x 2", "1 2 p", "1 2 d !! 3", "1 2 d YQ==", "1 2 z YQ== 3"] {
            assert_eq!(Told::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn much_is_told_in_parts_that_fit() {
        let long = "k".repeat(512);
        let changes: Vec<_> = (0..50).map(|n| put(format!("{n:02}{}", &long[2..]), vec![7; 40 * n])).collect();
        let large = put("large".to_owned(), vec![7; INLINE + 1]);
        let told = Told { before: 1, after: 51, changes: changes.iter().cloned().chain([large]).collect() };
        let texts = told.write();
        assert!(texts.iter().all(|text| text.len() <= LONGEST));
        let parts: Vec<_> = texts.iter().map(|text| Told::read(text).expect("readable")).collect();
        let (last, others) = parts.split_last().expect("some");
        assert!(others.iter().all(|part| (part.before, part.after) == (1, 1)));
        assert_eq!((last.before, last.after), (1, 51));
        let read: Vec<_> = parts.iter().flat_map(|part| part.changes.clone()).collect();
        assert_eq!(read[..50], changes);
        assert!(matches!(&read[50].0, Change::Written(key, Revision(20)) if key.as_str() == "large"));
    }
}
