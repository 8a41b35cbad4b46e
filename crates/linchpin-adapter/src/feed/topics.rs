//! Which topics changes have, where one channel tells all who listen, so that nobody looks at once for what he does not watch.

use super::{topic, topic_of};
use crate::hub;
use linchpin_core::Range;
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

/// So many are told one by one; of more it is said that all may be among them.
const MOST: usize = 128;

/// Some of the [topics](topic_of) of changes, each as 16 bits of a hash that the adapter chooses, as its server may have to
/// know it too: who shares them looks in vain now and then. As text it is four hexadecimal digits for each, or `*`.
///
/// ```
/// use linchpin_adapter::feed::{Topics, WatchedTopics};
/// use linchpin_core::{Key, Range};
///
/// # fn main() -> linchpin_core::Result<()> {
/// let hash = |topic: &str| topic.bytes().fold(0, |hash: u16, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
/// let watched = WatchedTopics::default();
/// let orders = Topics::of_range(&Range::prefix("lock/6:orders/")?, hash);
/// watched.add(&orders);
/// let told = Topics::of_key("lock/6:orders/0a7f", hash).and(Topics::of_key("user/config", hash));
/// assert_eq!(told.to_string().parse(), Ok(told.clone()));
/// assert!(watched.meet(&told) && !watched.meet(&Topics::of_key("user/config", hash)));
/// watched.remove(&orders); // the watch has ended
/// assert!(!watched.meet(&told));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// These hashes.
    Some(BTreeSet<u16>),
    /// More than are told one by one.
    All,
}

impl Topics {
    /// What changes of this key are told under: its topic, and its own name, for who watches nothing else there.
    pub fn of_key(name: &str, hash: impl Fn(&str) -> u16) -> Self {
        Self::Some(BTreeSet::from([topic_of(name), name].map(hash)))
    }

    /// The topics that changes of a range are told under; of one key it is its name.
    pub fn of_range(range: &Range, hash: impl Fn(&str) -> u16) -> Self {
        match (range, topic(range)) {
            (Range::Key(key), _) => Self::Some(BTreeSet::from([hash(key.as_str())])),
            (Range::Prefix(_), hub::Topic::Channel(topic)) => Self::Some(BTreeSet::from([hash(&topic)])),
            (Range::Prefix(_), hub::Topic::Start(_)) => Self::All,
        }
    }

    /// These and others.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
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
        let mut all = Self::default();
        for topics in topics {
            all = all.and(topics);
            // Nothing is added to all, so what comes after that need not be hashed.
            if all == Self::All {
                break;
            }
        }
        all
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

/// How many watch each topic in a process: see [`Topics`].
#[derive(Debug, Default)]
pub struct WatchedTopics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    each: HashMap<u16, usize>,
    /// How many watch all.
    all: usize,
}

impl WatchedTopics {
    /// One more watches these.
    pub fn add(&self, topics: &Topics) {
        let mut counts = self.0.lock();
        match topics {
            Topics::Some(hashes) => hashes.iter().for_each(|hash| *counts.each.entry(*hash).or_default() += 1),
            Topics::All => counts.all += 1,
        }
    }

    /// One watches these no more, which were added for it.
    pub fn remove(&self, topics: &Topics) {
        let mut counts = self.0.lock();
        match topics {
            Topics::Some(hashes) => {
                for hash in hashes {
                    if let Entry::Occupied(mut count) = counts.each.entry(*hash) {
                        *count.get_mut() -= 1;
                        if *count.get() == 0 {
                            count.remove();
                        }
                    }
                }
            }
            Topics::All => counts.all -= 1,
        }
    }

    /// Whether somebody watches one of these.
    pub fn meet(&self, topics: &Topics) -> bool {
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

    /// Another one for each name of these tests.
    fn hash(topic: &str) -> u16 {
        topic.bytes().fold(7, |hash: u16, byte| hash.wrapping_mul(257).wrapping_add(byte.into()))
    }

    #[test]
    fn a_key_has_the_topic_of_its_queue_and_its_own() {
        let of = |key| Topics::of_key(key, hash);
        let both = Topics::Some(BTreeSet::from(["lock/6:orders/", "lock/6:orders/0a7f"].map(hash)));
        assert_eq!(of("lock/6:orders/0a7f"), both);
        assert_ne!(of("user/config"), of("user/other"));
        assert_eq!(of("k").to_string(), format!("{:04x}", hash("k")));
        for wrong in ["x", "012x", "01234x", "é", "**"] {
            assert!(wrong.parse::<Topics>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn of_many_topics_it_is_said_that_all_may_be_among_them() {
        let of = |count: usize| (0..count).map(|n| Topics::of_key(&format!("k{n}"), hash)).collect::<Topics>();
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
        let watched = WatchedTopics::default();
        assert!(!watched.meet(&Topics::All));
        let ranges = [key("user/config"), prefix("lock/6:orders/"), prefix("lock/6:orders/0a")];
        for range in &ranges {
            watched.add(&Topics::of_range(range, hash));
        }
        let meets = |key| watched.meet(&Topics::of_key(key, hash));
        assert!(meets("user/config") && meets("lock/6:orders/0a7f") && watched.meet(&Topics::All));
        assert!(!meets("user/other") && !watched.meet(&Topics::default()));
        watched.remove(&Topics::of_range(&ranges[1], hash));
        assert!(meets("lock/6:orders/0a7f"), "another one watches there");
        watched.remove(&Topics::of_range(&ranges[2], hash));
        assert!(!meets("lock/6:orders/0a7f"));
        let all = Topics::of_range(&prefix("lock/"), hash);
        watched.add(&all);
        assert!(meets("lock/6:orders/0a7f") && meets("k"));
        watched.remove(&all);
        assert!(meets("user/config") && !meets("k"));
        watched.add(&Topics::of_range(&key("lock/6:orders/0a7f"), hash));
        assert!(meets("lock/6:orders/0a7f") && !meets("lock/6:orders/0b"), "who watches one place hears of no other");
    }
}
