//! Which topics of changes a doorbell is about, so that nobody reads a change that he does not watch.
//!
//! `NOTIFY` wakes every session of the database that listens, to whatever channel ("async.c" of the server's source), so a
//! channel for each topic would spare the server little. All listen to one, and what it carries says who has to look.

use linchpin_adapter::feed::{topic, topic_of};
use linchpin_adapter::hub;
use linchpin_core::Range;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Some of the topics of changes, each as one of 64 bits: who shares a bit looks in vain now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topics(u64);

impl Topics {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);

    /// The topic that changes of this key are told under: as `linchpin.doorbell` in SQL.
    pub(crate) fn of(key: &str) -> Self {
        Self::named(topic_of(key))
    }

    /// The topics of keys as they are stored.
    pub(crate) fn of_stored(keys: &[Vec<u8>]) -> Self {
        keys.iter().map(|key| str::from_utf8(key).map_or(Self::ALL, Self::of)).collect()
    }

    /// The topics that changes of a range are told under.
    pub(crate) fn of_range(range: &Range) -> Self {
        match topic(range) {
            hub::Topic::Channel(topic) => Self::named(&topic),
            hub::Topic::Start(_) => Self::ALL,
        }
    }

    fn named(topic: &str) -> Self {
        Self(1 << (Sha256::digest(topic)[0] % 64))
    }

    pub(crate) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    fn bits(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |bit| self.0 >> bit & 1 == 1)
    }
}

impl FromIterator<Topics> for Topics {
    fn from_iter<I: IntoIterator<Item = Topics>>(topics: I) -> Self {
        topics.into_iter().fold(Self::NONE, Self::and)
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a doorbell says: how many changes there were before those that it is about and after them, and their topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doorbell {
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) topics: Topics,
}

impl Doorbell {
    /// Both as one, if nobody else changed anything in between: his may not have been told.
    pub(crate) fn and(self, next: Self) -> Option<Self> {
        let is_next = self.after == next.before;
        is_next.then(|| Self { before: self.before, after: next.after, topics: self.topics.and(next.topics) })
    }
}

impl fmt::Display for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.before, self.after, self.topics)
    }
}

impl FromStr for Doorbell {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_default();
        Ok(Self { before: word().parse()?, after: word().parse()?, topics: Topics(u64::from_str_radix(word(), 16)?) })
    }
}

/// How many watch each topic.
#[derive(Debug)]
pub(crate) struct Watched([AtomicUsize; 64]);

impl Default for Watched {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicUsize::new(0)))
    }
}

impl Watched {
    pub(crate) fn add(&self, topics: Topics) {
        for bit in topics.bits() {
            self.0[bit].fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(crate) fn remove(&self, topics: Topics) {
        for bit in topics.bits() {
            self.0[bit].fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Whether somebody watches one of these.
    pub(crate) fn meets(&self, topics: Topics) -> bool {
        topics.bits().any(|bit| self.0[bit].load(Ordering::SeqCst) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::Key;

    /// What `linchpin.doorbell` says in SQL, too.
    #[test]
    fn a_doorbell_says_which_topic_a_key_has() {
        for (key, told) in [
            ("k", "5 7 0000000000000004"),
            ("lock/6:orders/0a7f", "5 7 0000001000000000"),
            ("lock/6:orders/", "5 7 0000001000000000"),
            ("user/config", "5 7 0000010000000000"),
            ("//a", "5 7 0000000400000000"),
            ("é\n/ /x", "5 7 0100000000000000"),
        ] {
            let doorbell = Doorbell { before: 5, after: 7, topics: Topics::of(key) };
            assert_eq!(doorbell.to_string(), told, "{key:?}");
            assert_eq!(told.parse(), Ok(doorbell));
        }
        for wrong in ["", "7", "5 7", "5 7 ", "5 7 x", " 5 7 1", "-5 7 1", "5  7 1"] {
            assert!(wrong.parse::<Doorbell>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_others_changed_in_between_is_not_told_as_ones_own() {
        let told = |before, after, key| Doorbell { before, after, topics: Topics::of(key) };
        let both = ["k", "user/config"].map(Topics::of).into_iter().collect();
        let one = Doorbell { before: 5, after: 8, topics: both };
        assert_eq!(told(5, 7, "k").and(told(7, 8, "user/config")), Some(one));
        assert_eq!(told(5, 7, "k").and(told(8, 9, "user/config")), None);
        assert_eq!(told(7, 8, "k").and(told(5, 7, "user/config")), None);
    }

    #[test]
    fn who_watches_hears_of_what_he_watches() {
        let key = |name| Range::Key(Key::new(name).expect("valid"));
        let prefix = |prefix| Range::prefix(prefix).expect("valid");
        let watched = Watched::default();
        let ranges = [key("user/config"), prefix("lock/6:orders/"), prefix("lock/6:orders/0a")];
        for range in &ranges {
            watched.add(Topics::of_range(range));
        }
        assert!(watched.meets(Topics::of("user/config")) && watched.meets(Topics::of("lock/6:orders/0a7f")));
        assert!(!watched.meets(Topics::of("user/other")) && !watched.meets(Topics::NONE));
        watched.remove(Topics::of_range(&ranges[1]));
        assert!(watched.meets(Topics::of("lock/6:orders/0a7f")), "another one watches there");
        watched.remove(Topics::of_range(&ranges[2]));
        assert!(!watched.meets(Topics::of("lock/6:orders/0a7f")));
        watched.add(Topics::of_range(&prefix("lock/")));
        assert!(watched.meets(Topics::of("lock/6:orders/0a7f")) && watched.meets(Topics::of("k")));
    }
}
