//! Who listens to what, and from when on.

use super::Listener;
use super::topics::Topic;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Who listens to what. Starts are few, channels may be many.
#[derive(Default)]
pub(super) struct Listeners {
    starts: HashMap<Topic, Vec<Entry>>,
    channels: HashMap<Topic, Vec<Entry>>,
    added: u64,
}

struct Entry {
    number: u64,
    listener: Weak<dyn Listener>,
    stage: Stage,
}

/// A listener gets nothing before the server has confirmed what it listens to: else it would hear what another topic
/// happens to bring, then not what comes until it is confirmed, and then all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// The server is being asked: its next confirmation counts.
    Asked,
    Live,
    /// The connection broke: the server's next confirmation ends the gap.
    Lost,
}

/// Names one listener.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) topic: Topic,
    number: u64,
}

impl Listeners {
    pub(super) fn add(&mut self, topic: Topic, listener: Weak<dyn Listener>) -> Ticket {
        self.added += 1;
        let number = self.added;
        self.of(&topic).entry(topic.clone()).or_default().push(Entry { number, listener, stage: Stage::Waiting });
        Ticket { topic, number }
    }

    pub(super) fn remove(&mut self, ticket: &Ticket) {
        if let Some(listening) = self.of(&ticket.topic).get_mut(&ticket.topic) {
            listening.retain(|entry| entry.number != ticket.number);
            if listening.is_empty() {
                self.of(&ticket.topic).remove(&ticket.topic);
            }
        }
    }

    /// The server is being asked for the topics of these.
    pub(super) fn ask(&mut self, tickets: &[&Ticket]) {
        self.advance(tickets, Stage::Asked);
    }

    /// The server sends what belongs to the topics of these.
    pub(super) fn go_live(&mut self, tickets: &[&Ticket]) {
        self.advance(tickets, Stage::Live);
    }

    fn advance(&mut self, tickets: &[&Ticket], stage: Stage) {
        for ticket in tickets {
            let listening = self.of(&ticket.topic).get_mut(&ticket.topic).into_iter().flatten();
            listening
                .filter(|entry| entry.number == ticket.number && matches!(entry.stage, Stage::Waiting | Stage::Asked))
                .for_each(|entry| entry.stage = stage);
        }
    }

    /// The server has confirmed a topic: those who asked for what it covers hear from now on. Returns those who may
    /// have missed something.
    pub(super) fn confirm(&mut self, via: &Topic) -> Vec<Arc<dyn Listener>> {
        let mut behind = Vec::new();
        let mut confirm = |entry: &mut Entry| match entry.stage {
            Stage::Asked => entry.stage = Stage::Live,
            Stage::Lost => {
                entry.stage = Stage::Live;
                behind.extend(entry.listener.upgrade());
            }
            Stage::Waiting | Stage::Live => {}
        };
        if via.is_start() {
            let topics = self.starts.iter_mut().chain(&mut self.channels);
            topics.filter(|(topic, _)| via.covers(topic)).flat_map(|(_, listening)| listening).for_each(confirm);
        } else {
            self.channels.get_mut(via).into_iter().flatten().for_each(&mut confirm);
        }
        once_each(behind)
    }

    /// The connection broke.
    pub(super) fn lose(&mut self) {
        let entries = self.starts.values_mut().chain(self.channels.values_mut()).flatten();
        entries.filter(|entry| entry.stage == Stage::Live).for_each(|entry| entry.stage = Stage::Lost);
    }

    /// Those who hear a channel.
    pub(super) fn on(&self, channel: &str) -> Vec<Arc<dyn Listener>> {
        let channel = Topic::Channel(channel.to_owned());
        let starts = self.starts.iter().filter(|(start, _)| start.covers(&channel)).map(|(_, listening)| listening);
        once_each(starts.chain(self.channels.get(&channel)).flatten().filter_map(Entry::live).collect())
    }

    pub(super) fn all(&self) -> Vec<Arc<dyn Listener>> {
        let entries = self.starts.values().chain(self.channels.values()).flatten();
        entries.filter_map(|entry| entry.listener.upgrade()).collect()
    }

    /// Whether somebody still listens to exactly this.
    pub(super) fn need(&mut self, topic: &Topic) -> bool {
        let map = self.of(topic);
        let Some(listening) = map.get_mut(topic) else { return false };
        listening.retain(|entry| entry.listener.strong_count() > 0);
        let needed = !listening.is_empty();
        if !needed {
            map.remove(topic);
        }
        needed
    }

    /// What somebody listens to.
    pub(super) fn needed(&mut self) -> Vec<Topic> {
        let topics: Vec<Topic> = self.starts.keys().chain(self.channels.keys()).cloned().collect();
        topics.into_iter().filter(|topic| self.need(topic)).collect()
    }

    /// How many topics are kept.
    #[cfg(test)]
    pub(super) fn topics(&self) -> usize {
        self.starts.len() + self.channels.len()
    }

    fn of(&mut self, topic: &Topic) -> &mut HashMap<Topic, Vec<Entry>> {
        if topic.is_start() { &mut self.starts } else { &mut self.channels }
    }
}

/// Who listens to several topics hears what is on them once.
fn once_each(mut listeners: Vec<Arc<dyn Listener>>) -> Vec<Arc<dyn Listener>> {
    let address = |listener: &Arc<dyn Listener>| Arc::as_ptr(listener).cast::<()>().addr();
    if listeners.len() > 1 {
        listeners.sort_by_key(address);
        listeners.dedup_by_key(|listener| address(listener));
    }
    listeners
}

impl Entry {
    fn live(&self) -> Option<Arc<dyn Listener>> {
        if self.stage == Stage::Live { self.listener.upgrade() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use linchpin_core::life::End;

    struct Nobody;

    impl Listener for Nobody {
        fn receive(&self, _: &str, _: Bytes) {}
        fn mark_gap(&self) {}
        fn end(&self, _: End) {}
    }

    #[test]
    fn a_listener_hears_nothing_before_what_it_asked_for_is_confirmed() {
        let [listener, other]: [Arc<dyn Listener>; 2] = [Arc::new(Nobody), Arc::new(Nobody)];
        let mut listeners = Listeners::default();
        let start = |text: &str| Topic::Start(text.to_owned());
        let channel = Topic::Channel("ab".to_owned());
        let (early, late) = (listeners.add(start("a"), Arc::downgrade(&listener)), channel.clone());
        let late = listeners.add(late, Arc::downgrade(&other));
        listeners.confirm(&channel);
        assert!(listeners.on("ab").is_empty(), "nobody asked the server yet");
        listeners.ask(&[&early]);
        listeners.confirm(&channel);
        assert!(listeners.on("ab").is_empty(), "another topic was confirmed");
        listeners.confirm(&start("a"));
        assert_eq!((listeners.on("ab").len(), listeners.all().len()), (1, 2));
        listeners.go_live(&[&late]);
        assert_eq!(listeners.on("ab").len(), 2);
        listeners.lose();
        assert!(listeners.on("ab").is_empty(), "nothing is live");
        assert_eq!(listeners.confirm(&channel).len(), 1, "one is behind");
        assert_eq!(
            (listeners.on("ab").len(), listeners.confirm(&start("a")).len(), listeners.on("ab").len()),
            (1, 1, 2)
        );
        let third = listeners.add(channel, Arc::downgrade(&listener));
        listeners.go_live(&[&third]);
        assert_eq!(listeners.on("ab").len(), 2, "who listens twice hears it once");
        for ticket in [early, late, third] {
            listeners.remove(&ticket);
        }
        assert!(listeners.needed().is_empty() && listeners.all().is_empty());
    }
}
