//! What is listened to, and which subscriptions at the server carry it.

use std::collections::BTreeMap;

/// A channel, or all channels that start with a text; by their names within the namespace.
///
/// ```
/// use linchpin_adapter::hub::Topic;
///
/// let (news, sport) = (Topic::Start("news:".to_owned()), Topic::Channel("news:sport".to_owned()));
/// assert!(news.is_start() && news.covers(&sport) && !sport.covers(&news));
/// // Where a server has one set of channels for all namespaces.
/// assert_eq!(Topic::within("orders/", sport), Topic::Channel("orders/news:sport".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// All channels that start with this text.
    Start(String),
    /// This channel.
    Channel(String),
}

impl Topic {
    /// The same, of the channels that start with `prefix`.
    pub fn within(prefix: &str, topic: Self) -> Self {
        match topic {
            Self::Start(start) => Self::Start([prefix, &start].concat()),
            Self::Channel(name) => Self::Channel([prefix, &name].concat()),
        }
    }

    /// Whether it is many channels.
    pub fn is_start(&self) -> bool {
        matches!(self, Self::Start(_))
    }

    /// Whether everything of the other is of this one too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Start(start), Self::Start(name) | Self::Channel(name)) => name.starts_with(start.as_str()),
            (Self::Channel(_), _) => self == other,
        }
    }
}

/// Those that no other one covers.
pub(super) fn outermost(mut topics: Vec<Topic>) -> Vec<Topic> {
    // Starts come before channels, and a text before those that start with it.
    topics.sort_unstable();
    let mut kept = Carriers::default();
    topics.retain(|topic| {
        let kept_already = kept.cover(topic);
        if !kept_already {
            kept.confirm(topic.clone());
        }
        !kept_already
    });
    topics
}

/// The subscriptions that the server has confirmed, by the order in which it did.
#[derive(Debug, Default)]
pub(super) struct Carriers {
    starts: BTreeMap<String, u64>,
    channels: BTreeMap<String, u64>,
    confirmed: u64,
}

impl Carriers {
    fn of(&mut self, topic: &Topic) -> &mut BTreeMap<String, u64> {
        if topic.is_start() { &mut self.starts } else { &mut self.channels }
    }

    fn confirmed_as(&self, topic: &Topic) -> Option<u64> {
        match topic {
            Topic::Start(start) => self.starts.get(start).copied(),
            Topic::Channel(name) => self.channels.get(name).copied(),
        }
    }

    pub(super) fn confirm(&mut self, topic: Topic) {
        self.confirmed += 1;
        let confirmed = self.confirmed;
        let map = self.of(&topic);
        let (Topic::Start(name) | Topic::Channel(name)) = topic;
        map.insert(name, confirmed);
    }

    pub(super) fn contains(&self, topic: &Topic) -> bool {
        self.confirmed_as(topic).is_some()
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, topic: &Topic) -> bool {
        let (Topic::Start(name) | Topic::Channel(name)) = topic;
        self.of(topic).remove(name).is_some()
    }

    /// Whether what belongs to a topic is sent already.
    pub(super) fn cover(&self, topic: &Topic) -> bool {
        let (Topic::Start(name) | Topic::Channel(name)) = topic;
        self.contains(topic) || self.starts_of(name).next().is_some()
    }

    /// The wider ones that cover a topic.
    pub(super) fn over(&self, topic: &Topic) -> Vec<Topic> {
        let (Topic::Start(name) | Topic::Channel(name)) = topic;
        let wider = self.starts.range(..name.clone()).filter(|(start, _)| name.starts_with(start.as_str()));
        wider.map(|(start, _)| Topic::Start(start.clone())).collect()
    }

    /// The others that a topic covers.
    pub(super) fn under(&self, topic: &Topic) -> Vec<Topic> {
        let Topic::Start(start) = topic else { return Vec::new() };
        let below = |map: &BTreeMap<String, u64>| {
            let names =
                map.keys().skip_while(|name| **name < *start).take_while(|name| name.starts_with(start.as_str()));
            names.cloned().collect::<Vec<_>>()
        };
        let starts = below(&self.starts).into_iter().map(Topic::Start).filter(|other| other != topic);
        starts.chain(below(&self.channels).into_iter().map(Topic::Channel)).collect()
    }

    /// Whether the copy of a message that was sent for this subscription is the one that counts: that of the
    /// one confirmed last, of those that match the channel.
    pub(super) fn is_sent_for(&self, via: &Topic, channel: &str) -> bool {
        let Some(confirmed) = self.confirmed_as(via) else { return false };
        let exact = self.channels.get(channel);
        self.starts_of(channel).chain(exact).all(|other| *other <= confirmed)
    }

    /// When the subscriptions to starts of this name were confirmed.
    fn starts_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a u64> {
        self.starts.range(..=name.to_owned()).filter(|(start, _)| name.starts_with(start.as_str())).map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str) -> Topic {
        Topic::Start(text.to_owned())
    }

    fn channel(name: &str) -> Topic {
        Topic::Channel(name.to_owned())
    }

    #[test]
    fn only_the_outermost_are_asked_for() {
        let topics =
            vec![channel("ab"), start("abc"), start("b"), channel("x"), start("ab"), channel("abd"), start("c")];
        assert_eq!(outermost(topics), [start("ab"), start("b"), start("c"), channel("x")]);
        assert_eq!(outermost(vec![start("a"), start(""), channel("z")]), [start("")]);
    }

    #[test]
    fn the_copy_that_counts_is_that_of_the_subscription_confirmed_last() {
        let mut carriers = Carriers::default();
        carriers.confirm(start("ab"));
        carriers.confirm(channel("ax"));
        assert!(carriers.is_sent_for(&start("ab"), "abc") && carriers.is_sent_for(&channel("ax"), "ax"));
        // A wider one takes over.
        carriers.confirm(start("a"));
        assert!(!carriers.is_sent_for(&start("ab"), "abc") && carriers.is_sent_for(&start("a"), "abc"));
        assert!(!carriers.is_sent_for(&channel("ax"), "ax") && carriers.is_sent_for(&start("a"), "ax"));
        assert_eq!(carriers.under(&start("a")), [start("ab"), channel("ax")]);
        assert!(carriers.cover(&start("abc")) && carriers.cover(&channel("a")) && !carriers.cover(&start("")));
        // A narrower one takes over again.
        assert!(carriers.remove(&start("ab")) && !carriers.remove(&start("ab")));
        carriers.confirm(start("ab"));
        assert!(carriers.is_sent_for(&start("ab"), "abc") && !carriers.is_sent_for(&start("a"), "abc"));
        assert!(carriers.is_sent_for(&start("a"), "ay"));
        carriers.remove(&start("a"));
        assert!(!carriers.is_sent_for(&start("a"), "ay"), "nobody asked for it");
    }
}
