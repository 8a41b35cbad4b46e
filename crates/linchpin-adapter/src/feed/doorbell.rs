//! What one channel tells of changes that stand in a table: how many there are, and which topics they have.

use super::Topics;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::Instant;

/// Where some changes were not told of for so long, whichever those are, nobody waits for their doorbells.
const LATE: Duration = Duration::from_millis(50);

/// A hint to look for changes, where a table has them: how many there are of the namespace with the last of these, how many
/// these are, and their topics. It may be lost or late: [`Doorbells`] notices that.
///
/// ```
/// use linchpin_adapter::feed::{Doorbell, Topics};
///
/// let doorbell = Doorbell { changes: 7, count: 2, topics: Topics::All };
/// assert_eq!(doorbell.to_string(), "7 2 *");
/// assert_eq!("7 2 *".parse(), Ok(doorbell.clone()));
/// // One who changes much rings once for all of it.
/// let another = Doorbell { changes: 9, count: 1, topics: Topics::default() };
/// assert_eq!(doorbell.and(another), Doorbell { changes: 9, count: 3, topics: Topics::All });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// How many changes there were with the last of these.
    pub changes: u64,
    /// How many these are.
    pub count: u64,
    /// What they may be of.
    pub topics: Topics,
}

impl Doorbell {
    /// Both as one. Others may have changed something in between, and ring for themselves.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            changes: self.changes.max(other.changes),
            count: self.count.saturating_add(other.count),
            topics: self.topics.and(other.topics),
        }
    }
}

impl fmt::Display for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.changes, self.count, self.topics)
    }
}

impl FromStr for Doorbell {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_default();
        Ok(Self { changes: word().parse()?, count: word().parse()?, topics: word().parse()? })
    }
}

/// Whether all changes were told of: one that was made by somebody who died before he rang shows when another one rings.
///
/// ```
/// use linchpin_adapter::feed::{Doorbell, Doorbells, Topics};
///
/// let mut doorbells = Doorbells::starting(5);
/// doorbells.hear(&Doorbell { changes: 6, count: 1, topics: Topics::All });
/// assert_eq!(doorbells.look_at(), None);
/// doorbells.hear(&Doorbell { changes: 8, count: 1, topics: Topics::All });
/// assert!(doorbells.look_at().is_some(), "nobody has told of the seventh");
/// doorbells.read(8);
/// assert_eq!(doorbells.look_at(), None);
/// ```
#[derive(Debug, Default)]
pub struct Doorbells {
    /// How many changes there were when the count began, by what was told since, and how many of them were told of.
    start: u64,
    changes: u64,
    told: u64,
    /// Since when some are missing.
    lacks: Option<Instant>,
}

impl Doorbells {
    /// Begins at so many changes: those before are known.
    #[must_use]
    pub fn starting(changes: u64) -> Self {
        Self { start: changes, changes, told: 0, lacks: None }
    }

    /// Takes note of one, in whatever order they come.
    pub fn hear(&mut self, doorbell: &Doorbell) {
        self.changes = self.changes.max(doorbell.changes);
        // Of what was changed before the start nothing is counted.
        let count = doorbell.count.min(doorbell.changes.saturating_sub(self.start));
        self.told = self.told.saturating_add(count);
        let is_complete = self.told >= self.changes - self.start;
        self.lacks = if is_complete { None } else { self.lacks.or_else(|| Some(Instant::now())) };
    }

    /// Goes on from so many changes, if that is all of which was told.
    pub fn read(&mut self, changes: u64) {
        if changes >= self.changes {
            *self = Self::starting(changes);
        }
    }

    /// When to look what nobody told, if there is something.
    pub fn look_at(&self) -> Option<Instant> {
        self.lacks.map(|since| since + LATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(hash: u16) -> Topics {
        Topics::of_key("k", |_| hash)
    }

    fn doorbell(changes: u64, count: u64) -> Doorbell {
        Doorbell { changes, count, topics: Topics::default() }
    }

    #[test]
    fn it_is_told_as_text() {
        let told = Doorbell { changes: 7, count: 2, topics: topics(1) };
        assert_eq!(told.to_string(), format!("7 2 {}", topics(1)));
        assert_eq!(told.to_string().parse(), Ok(told.clone()));
        assert_eq!("7 2 *".parse(), Ok(Doorbell { topics: Topics::All, ..told.clone() }));
        let both = told.and(Doorbell { changes: 5, count: 1, topics: topics(2) });
        assert_eq!(both, Doorbell { changes: 7, count: 3, topics: topics(1).and(topics(2)) });
        for wrong in ["", "7", "7 2 x", " 7 2 *", "-7 2 *", "7  2 *"] {
            assert!(wrong.parse::<Doorbell>().is_err(), "{wrong:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_missing_is_noticed_and_one_that_is_late_is_not() {
        let mut doorbells = Doorbells::starting(5);
        let now = Instant::now();
        doorbells.hear(&doorbell(7, 2));
        assert_eq!(doorbells.look_at(), None);
        // Those of others may come first.
        doorbells.hear(&doorbell(10, 2));
        assert_eq!(doorbells.look_at(), Some(now + LATE));
        tokio::time::advance(LATE / 2).await;
        doorbells.hear(&doorbell(12, 2));
        assert_eq!(doorbells.look_at(), Some(now + LATE), "it is late for as long as before");
        doorbells.hear(&doorbell(8, 1));
        assert_eq!(doorbells.look_at(), None);
        // Whoever changed the 14th did not ring.
        doorbells.hear(&doorbell(14, 1));
        doorbells.read(13);
        assert_eq!(doorbells.look_at(), Some(Instant::now() + LATE), "there is more to read");
        doorbells.read(14);
        assert_eq!(doorbells.look_at(), None);
        // What was read before is not counted when it comes late.
        doorbells.hear(&doorbell(13, 1));
        doorbells.hear(&doorbell(16, 1));
        assert!(doorbells.look_at().is_some());
        // Nobody of ours says this.
        doorbells.hear(&doorbell(u64::MAX, u64::MAX));
        doorbells.hear(&doorbell(0, u64::MAX));
        doorbells.read(u64::MAX);
        assert_eq!(doorbells.look_at(), None);
    }
}
