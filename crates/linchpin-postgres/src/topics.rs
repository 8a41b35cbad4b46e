//! Which topics changes have, so that nobody looks at once for what he does not watch.
//!
//! `NOTIFY` wakes every session of the database that listens, to whatever channel ("async.c" of the server's source), so a
//! channel for each topic would spare the server little. All listen to one, and what it carries says who has to look.

use linchpin_adapter::feed::{topic, topic_of};
use linchpin_adapter::hub;
use linchpin_core::Range;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

/// So many are told one by one; of more it is said that all may be among them.
const MOST: usize = 64;

/// Some of the topics of changes, each as 16 bits of its hash: who shares them looks in vain now and then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topics {
    Some(BTreeSet<u16>),
    All,
}

impl Topics {
    /// The topic that changes of this key are told under: as `linchpin.doorbell` in SQL.
    pub(crate) fn of(key: &str) -> Self {
        Self::named(topic_of(key))
    }

    /// The topics of keys as they are stored.
    pub(crate) fn of_stored(keys: &[Vec<u8>]) -> Self {
        keys.iter().map(|key| str::from_utf8(key).map_or(Self::All, Self::of)).collect()
    }

    /// The topics that changes of a range are told under.
    pub(crate) fn of_range(range: &Range) -> Self {
        match topic(range) {
            hub::Topic::Channel(topic) => Self::named(&topic),
            hub::Topic::Start(_) => Self::All,
        }
    }

    fn named(topic: &str) -> Self {
        let hash = Sha256::digest(topic);
        Self::Some(BTreeSet::from([u16::from_be_bytes([hash[0], hash[1]])]))
    }

    pub(crate) fn and(self, others: Self) -> Self {
        match (self, others) {
            (Self::Some(mut some), Self::Some(others)) => {
                some.extend(others);
                if some.len() > MOST { Self::All } else { Self::Some(some) }
            }
            _ => Self::All,
        }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl FromIterator<Topics> for Topics {
    fn from_iter<I: IntoIterator<Item = Topics>>(topics: I) -> Self {
        topics.into_iter().fold(Self::default(), Self::and)
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Some(hashes) => hashes.iter().try_for_each(|hash| write!(f, "{hash:04x}")),
            Self::All => f.write_str("*"),
        }
    }
}

impl FromStr for Topics {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::All);
        }
        // What is no text of ours has no digits.
        let digits = text.as_bytes().chunks(4).map(|digits| str::from_utf8(digits).unwrap_or_default());
        Ok(Self::Some(digits.map(|digits| u16::from_str_radix(digits, 16)).collect::<Result<_, _>>()?))
    }
}

/// How many watch each topic.
#[derive(Debug, Default)]
pub(crate) struct Watched(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    each: HashMap<u16, usize>,
    /// How many watch all.
    all: usize,
}

impl Watched {
    pub(crate) fn add(&self, topics: &Topics) {
        let mut counts = self.0.lock();
        match topics {
            Topics::Some(hashes) => hashes.iter().for_each(|hash| *counts.each.entry(*hash).or_default() += 1),
            Topics::All => counts.all += 1,
        }
    }

    /// Takes back what was added.
    pub(crate) fn remove(&self, topics: &Topics) {
        let mut counts = self.0.lock();
        match topics {
            Topics::Some(hashes) => {
                for hash in hashes {
                    if let Some(count) = counts.each.get_mut(hash) {
                        *count -= 1;
                    }
                }
                counts.each.retain(|_, count| *count > 0);
            }
            Topics::All => counts.all -= 1,
        }
    }

    /// Whether somebody watches one of these.
    pub(crate) fn meets(&self, topics: &Topics) -> bool {
        let counts = self.0.lock();
        counts.all > 0
            || match topics {
                Topics::Some(hashes) => hashes.iter().any(|hash| counts.each.contains_key(hash)),
                Topics::All => !counts.each.is_empty(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::Key;

    /// What `linchpin.doorbell` says in SQL, too.
    #[test]
    fn a_key_has_the_topic_of_its_queue_or_its_own() {
        for (key, told) in [
            ("k", "8254"),
            ("lock/6:orders/0a7f", "a4b7"),
            ("lock/6:orders/", "a4b7"),
            ("user/config", "68db"),
            ("//a", "a2c2"),
            ("é\n/ /x", "f842"),
        ] {
            assert_eq!(Topics::of(key).to_string(), told, "{key:?}");
            assert_eq!(told.parse(), Ok(Topics::of(key)));
        }
        for wrong in ["x", "012x", "01234x", "é", "**"] {
            assert!(wrong.parse::<Topics>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn of_many_topics_it_is_said_that_all_may_be_among_them() {
        let of = |count: usize| (0..count).map(|n| Topics::of(&format!("k{n}"))).collect::<Topics>();
        assert_eq!(of(0).to_string(), "");
        let Topics::Some(hashes) = of(MOST) else { panic!("fewer than all") };
        assert_eq!((hashes.len(), of(MOST).to_string().len()), (MOST, 4 * MOST));
        assert_eq!(of(MOST).to_string().parse(), Ok(of(MOST)));
        assert_eq!((of(MOST + 1), of(MOST + 1).to_string()), (Topics::All, "*".to_owned()));
        assert_eq!("*".parse(), Ok(Topics::All));
    }

    #[test]
    fn who_watches_hears_of_what_he_watches() {
        let key = |name| Range::Key(Key::new(name).expect("valid"));
        let prefix = |prefix| Range::prefix(prefix).expect("valid");
        let watched = Watched::default();
        assert!(!watched.meets(&Topics::All));
        let ranges = [key("user/config"), prefix("lock/6:orders/"), prefix("lock/6:orders/0a")];
        for range in &ranges {
            watched.add(&Topics::of_range(range));
        }
        let meets = |key| watched.meets(&Topics::of(key));
        assert!(meets("user/config") && meets("lock/6:orders/0a7f") && watched.meets(&Topics::All));
        assert!(!meets("user/other") && !watched.meets(&Topics::default()));
        watched.remove(&Topics::of_range(&ranges[1]));
        assert!(meets("lock/6:orders/0a7f"), "another one watches there");
        watched.remove(&Topics::of_range(&ranges[2]));
        assert!(!meets("lock/6:orders/0a7f"));
        let all = Topics::of_range(&prefix("lock/"));
        watched.add(&all);
        assert!(meets("lock/6:orders/0a7f") && meets("k"));
        watched.remove(&all);
        assert!(meets("user/config") && !meets("k"));
    }
}
