use super::*;
use linchpin_core::ErrorKind;
use std::collections::BTreeSet;
use tokio::sync::watch;

/// A server in memory: it sends a message once per subscription that matches, as Redis does.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    intake: Option<Arc<Intake>>,
    subscribed: BTreeSet<Topic>,
    /// How many connections there were.
    links: usize,
    refuses: Option<Topic>,
    /// It allows no start but that of everything.
    is_whole_only: bool,
    /// Nobody can connect.
    is_away: bool,
    broken: Option<watch::Sender<()>>,
}

impl Fake {
    fn send(&self, channel: &str) {
        let (intake, via) = {
            let state = self.0.lock();
            let name = Topic::Channel(channel.to_owned());
            let via: Vec<_> = state.subscribed.iter().filter(|topic| topic.covers(&name)).cloned().collect();
            (state.intake.clone(), via)
        };
        for via in via {
            intake.as_ref().expect("connected").message(&via, channel, &Bytes::from(channel.to_owned()));
        }
    }

    fn subscribed(&self) -> Vec<Topic> {
        self.0.lock().subscribed.iter().cloned().collect()
    }

    fn break_off(&self) {
        let mut state = self.0.lock();
        state.subscribed.clear();
        state.broken.take();
    }
}

struct FakeLink {
    fake: Fake,
    intake: Arc<Intake>,
    broken: watch::Receiver<()>,
}

impl Pusher for Fake {
    type Link = FakeLink;

    async fn connect(&self, intake: Arc<Intake>) -> Result<FakeLink> {
        let (sender, broken) = watch::channel(());
        let mut state = self.0.lock();
        if state.is_away {
            return Err(Error::new(ErrorKind::Unavailable, "connect", "away"));
        }
        state.links += 1;
        (state.intake, state.broken) = (Some(intake.clone()), Some(sender));
        Ok(FakeLink { fake: self.clone(), intake, broken })
    }

    fn heartbeat(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
}

impl Link for FakeLink {
    async fn ended(&self) {
        // An error says that the server has dropped its end.
        let _ = self.broken.clone().changed().await;
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn subscribe(&mut self, mut topics: Vec<Topic>) -> Result<Vec<Topic>> {
        if self.fake.0.lock().is_whole_only && topics.iter().any(Topic::is_start) {
            topics.retain(|topic| !topic.is_start());
            topics.push(start(""));
        }
        for topic in &topics {
            if self.fake.0.lock().refuses.as_ref() == Some(topic) {
                return Err(Error::new(ErrorKind::Unauthorized, "subscribe", "not this one"));
            }
            self.fake.0.lock().subscribed.insert(topic.clone());
            self.intake.confirm(topic.clone());
        }
        Ok(topics)
    }

    async fn unsubscribe(&mut self, topics: Vec<Topic>) -> Result<()> {
        for topic in &topics {
            self.fake.0.lock().subscribed.remove(topic);
        }
        Ok(())
    }
}

/// Notes what it hears: a channel, `gap` or `end`.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Ear {
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Listener for Ear {
    fn receive(&self, channel: &str, payload: Bytes) {
        assert_eq!(payload, channel);
        self.0.lock().push(channel.to_owned());
    }

    fn mark_gap(&self) {
        self.0.lock().push("gap".to_owned());
    }

    fn end(&self, _: End) {
        self.0.lock().push("end".to_owned());
    }
}

fn start(text: &str) -> Topic {
    Topic::Start(text.to_owned())
}

fn channel(name: &str) -> Topic {
    Topic::Channel(name.to_owned())
}

fn hub() -> (Fake, Life, Arc<Hub<Fake>>) {
    let (fake, life) = (Fake::default(), Life::in_runtime());
    let hub = Arc::new(Hub::new(fake.clone(), life.clone()));
    (fake, life, hub)
}

async fn listen(hub: &Arc<Hub<Fake>>, topic: Topic) -> (Arc<Ear>, Listening<Fake>) {
    let ear = Arc::<Ear>::default();
    let listening = hub.listen("subscribe", topic, ear.clone()).await.expect("listens");
    (ear, listening)
}

/// Waits until the server carries just these.
async fn carries(fake: &Fake, topics: &[Topic]) {
    until(|| fake.subscribed() == topics).await;
}

/// Waits until something is so: not for ever.
async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.expect("it comes to that");
}

#[tokio::test(start_paused = true)]
async fn overlapping_topics_are_asked_for_once_and_heard_once() {
    let (fake, _life, hub) = hub();
    let (narrow, narrow_held) = listen(&hub, start("ab")).await;
    let (one, _one_held) = listen(&hub, channel("abc")).await;
    let (wide, wide_held) = listen(&hub, start("a")).await;
    carries(&fake, &[start("a")]).await;
    fake.send("abc");
    fake.send("ax");
    assert_eq!(
        (narrow.heard(), one.heard(), wide.heard()),
        (vec!["abc".into()], vec!["abc".into()], vec!["abc".into(), "ax".into()])
    );
    // The wide one gone, what it carried for others goes on.
    drop(wide_held);
    carries(&fake, &[start("ab")]).await;
    fake.send("abc");
    fake.send("ax");
    assert_eq!((narrow.heard(), one.heard(), wide.heard()), (vec!["abc".into()], vec!["abc".into()], vec![]));
    drop(narrow_held);
    carries(&fake, &[channel("abc")]).await;
    assert_eq!(fake.0.lock().links, 1);
}

#[tokio::test(start_paused = true)]
async fn what_had_to_be_wider_than_was_asked_for_ends_with_the_last_who_needs_it() {
    let (fake, _life, hub) = hub();
    fake.0.lock().is_whole_only = true;
    let (ear, _held) = listen(&hub, channel("c")).await;
    let (_, first) = listen(&hub, start("ab")).await;
    let (_, second) = listen(&hub, start("x")).await;
    carries(&fake, &[start("")]).await;
    drop(first);
    let (_, _third) = listen(&hub, channel("d")).await;
    carries(&fake, &[start("")]).await;
    drop(second);
    carries(&fake, &[channel("c"), channel("d")]).await;
    fake.send("c");
    assert_eq!(ear.heard(), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_is_rebuilt_and_its_gap_told() {
    let (fake, life, hub) = hub();
    let (ear, _held) = listen(&hub, start("a")).await;
    fake.send("a1");
    fake.break_off();
    carries(&fake, &[start("a")]).await;
    fake.send("a2");
    assert_eq!(ear.heard(), ["a1", "gap", "a2"]);
    assert!(!hub.is_broken() && fake.0.lock().links == 2);
    life.close();
    hub.end(End::Closed);
    assert_eq!(ear.heard(), ["end"]);
    let late = hub.listen("watch", start("b"), Arc::<Ear>::default()).await;
    assert_eq!(late.expect_err("it has ended").kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_refused_takes_no_other_with_it() {
    let (fake, _life, hub) = hub();
    fake.0.lock().refuses = Some(channel("no"));
    let (_first, _first_held) = listen(&hub, channel("first")).await;
    let ear = Arc::<Ear>::default();
    let (refused, allowed) = tokio::join!(
        hub.listen("subscribe", channel("no"), Arc::<Ear>::default()),
        hub.listen("subscribe", channel("yes"), ear.clone()),
    );
    assert_eq!(refused.expect_err("refused").kind(), ErrorKind::Unauthorized);
    let _held = allowed.expect("allowed");
    fake.send("yes");
    assert_eq!(ear.heard(), ["yes"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_given_up_ends_no_gap() {
    let (fake, _life, hub) = hub();
    let (ear, _held) = listen(&hub, start("a")).await;
    let old = fake.0.lock().intake.clone().expect("connected");
    fake.0.lock().is_away = true;
    fake.break_off();
    until(|| hub.is_broken()).await;
    // What its reader still finds in its buffer.
    old.confirm(start("a"));
    old.message(&start("a"), "a1", &Bytes::from("a1"));
    assert_eq!(ear.heard(), Vec::<String>::new());
    fake.0.lock().is_away = false;
    carries(&fake, &[start("a")]).await;
    fake.send("a2");
    assert_eq!(ear.heard(), ["gap", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn who_gave_up_during_an_outage_leaves_nothing_and_who_waits_is_served_after_it() {
    let (fake, _life, hub) = hub();
    let (_ear, _held) = listen(&hub, start("a")).await;
    fake.0.lock().is_away = true;
    fake.break_off();
    until(|| hub.is_broken()).await;
    let listening = |name: String| hub.listen("subscribe", channel(&name), Arc::<Ear>::default());
    let given_up = futures::future::join_all((0..100).map(|number| listening(format!("c{number}")))).await;
    assert!(given_up.iter().all(|listening| listening.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout)));
    drop(given_up);
    assert_eq!(hub.listeners.lock().needed(), [start("a")]);
    assert_eq!(hub.listeners.lock().topics(), 1, "topics that are kept");
    let back = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        fake.0.lock().is_away = false;
    };
    let (late, ()) = tokio::join!(listening("late".to_owned()), back);
    let _late = late.expect("it listens once the server is back");
    carries(&fake, &[start("a"), channel("late")]).await;
}
