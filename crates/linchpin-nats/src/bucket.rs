//! The stream that holds a namespace's keys: making it, and reading it as of one revision.

use crate::clock::Clock;
use crate::codec::{Stored, Time, last, read_key};
use crate::connection::{Connection, refusal};
use crate::error::{Refusal, no_answer};
use crate::names::Names;
use futures::{StreamExt, TryStreamExt, stream};
use linchpin_adapter::backoff::Contention;
use linchpin_core::{Error, Result, Revision};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For how long the mark that a key ended stays: for watches that were away.
const MARKER_TTL: Duration = Duration::from_secs(30);
/// How many messages the server sends in answer to one read.
pub(crate) const READ_LIMIT: usize = 1000;
/// How many bytes of names are asked for in one read: no more than any server takes.
const READ_BYTES: usize = 256 * 1024;
/// How many requests are on their way at once where each message is one.
pub(crate) const AT_ONCE: usize = 128;

/// What tells the stream from one that somebody else made.
const DESCRIPTION: &str = "linchpin";

/// What the stream can do: an old server takes a configuration and ignores what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    /// Messages that end by themselves, and batches that are stored as a whole.
    pub(crate) is_modern: bool,
    pub(crate) replicas: usize,
}

/// A namespace's keys, as messages of a stream.
pub(crate) struct Bucket {
    pub(crate) connection: Arc<Connection>,
    pub(crate) names: Names,
    pub(crate) clock: Arc<Clock>,
    pub(crate) features: Features,
    /// Whether the one copy answers reads itself.
    reads_directly: AtomicBool,
}

/// What the server tells of a stream.
#[derive(Debug, Deserialize)]
struct Info {
    config: Config,
    state: State,
    ts: Option<String>,
    cluster: Option<Cluster>,
}

#[derive(Debug, Deserialize)]
struct Config {
    num_replicas: usize,
    #[serde(default)]
    first_seq: u64,
    #[serde(default)]
    allow_direct: bool,
    #[serde(default)]
    allow_atomic: bool,
    #[serde(default)]
    allow_msg_ttl: bool,
    #[serde(default)]
    subject_delete_marker_ttl: u64,
    #[serde(default)]
    description: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Config {
    fn is_as_wanted(&self, is_modern: bool) -> bool {
        let is_modern_itself = self.allow_atomic && self.allow_msg_ttl && self.subject_delete_marker_ttl > 0;
        let reads_directly = is_modern && self.num_replicas == 1;
        is_modern_itself == is_modern && self.allow_direct == reads_directly
    }
}

#[derive(Debug, Default, Deserialize)]
struct State {
    last_seq: u64,
    #[serde(default)]
    subjects: Option<HashMap<String, u64>>,
}

#[derive(Debug, Deserialize)]
struct Cluster {
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
struct Replica {
    name: String,
    current: bool,
    #[serde(default)]
    offline: bool,
}

impl Bucket {
    /// Opens the stream; makes it if it is not there.
    pub(crate) async fn open(
        connection: Arc<Connection>,
        names: Names,
        clock: Arc<Clock>,
        replicas: usize,
        is_modern: bool,
    ) -> Result<Self> {
        let features = Features { is_modern, replicas };
        let mut bucket = Self { connection, names, clock, features, reads_directly: AtomicBool::new(false) };
        let Config { num_replicas, .. } = bucket.provide().await?;
        // By its version the server can, and by the flags that it echoes it will.
        bucket.features.replicas = num_replicas;
        *bucket.reads_directly.get_mut() = bucket.features.is_modern && num_replicas == 1;
        Ok(bucket)
    }

    /// Sees to it that the stream is there and as it must be; tells how it is.
    async fn provide(&mut self) -> Result<Config> {
        let mut config = match self.look().await? {
            Some(config) => config,
            None => self.create().await?,
        };
        // One that an older server made, or that somebody gave more copies.
        if self.features.is_modern && !config.is_as_wanted(true) {
            config = self.update(config).await?;
        }
        self.features.is_modern = config.is_as_wanted(true);
        if self.features.is_modern {
            self.drop_anchor().await?;
        }
        Ok(config)
    }

    async fn look(&self) -> Result<Option<Config>> {
        let subject = format!("STREAM.INFO.{}", self.names.state);
        let answer: Result<Info, Refusal> = self.connection.api("connect", &subject, &json!({})).await?;
        match answer {
            Ok(info) => Ok(Some(info.config)),
            Err(refusal) if refusal.is_no_stream() => Ok(None),
            Err(refusal) => Err(refusal.into_error("connect")),
        }
    }

    /// Changes what linchpin needs, and nothing else that somebody has set.
    async fn update(&self, config: Config) -> Result<Config> {
        if config.description != DESCRIPTION {
            let problem =
                format!("there is a stream {} that linchpin did not make; rename one of the two", self.names.state);
            return Err(Error::invalid("connect", problem));
        }
        let mut wanted = config.rest;
        wanted.extend(self.config(config.num_replicas, config.first_seq));
        let updated: Result<Info, _> =
            self.connection.api("connect", &format!("STREAM.UPDATE.{}", self.names.state), &wanted).await?;
        Ok(updated.map_err(|refusal| refusal.into_error("connect"))?.config)
    }

    async fn create(&self) -> Result<Config> {
        // Microseconds since 1970: should the server lose its data, revisions grow on all the same.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let config = self.config(self.features.replicas, u64::try_from(now).unwrap_or(1));
        let created = self.connection.api("connect", &format!("STREAM.CREATE.{}", self.names.state), &config).await?;
        match created {
            Ok(Info { config, .. }) => Ok(config),
            // Another was quicker.
            Err(refusal) if refusal.is_other_stream() => {
                self.look().await?.ok_or_else(|| refusal.into_error("connect"))
            }
            Err(refusal) => Err(refusal.into_error("connect")),
        }
    }

    /// The error for a refusal. A stream that is gone, as after lost data, is made anew for the next attempt.
    pub(crate) async fn refused(&self, operation: &'static str, refusal: Refusal) -> Error {
        if refusal.is_no_stream()
            && let Ok(None) = self.look().await
            && self.create().await.is_ok()
            && self.features.is_modern
        {
            // Whoever reads next finds out if it is not there.
            let _ = self.drop_anchor().await;
        }
        refusal.into_error(operation)
    }

    /// Whether a server of a cluster has refused what it does not know of yet, or any more: they learn one after the other
    /// that there is a new stream, and one that was down learns it late. Pauses then, and not for long in all.
    pub(crate) async fn knows_later(&self, refusal: &Refusal, pauses: &mut Contention) -> bool {
        refusal.is_no_stream()
            && self.features.replicas > 1
            && matches!(self.look().await, Ok(Some(_)))
            && pauses.pause_or(|| no_answer("connect")).await.is_ok()
    }

    fn config(&self, replicas: usize, first: u64) -> Map<String, Value> {
        let mut config = json!({
            "name": &*self.names.state,
            "description": DESCRIPTION,
            "subjects": self.names.state_subjects(),
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": replicas,
            "max_msgs_per_subject": 1,
            "duplicate_window": nanos(crate::ids::ID_WINDOW),
            "allow_rollup_hdrs": true,
            "deny_delete": true,
        });
        if self.features.is_modern {
            config["first_seq"] = first.into();
            config["allow_atomic"] = true.into();
            config["allow_msg_ttl"] = true.into();
            config["subject_delete_marker_ttl"] = nanos(MARKER_TTL).into();
            // The only copy is the leader's. Of several any may answer, and may be behind.
            config["allow_direct"] = (replicas == 1).into();
        }
        config.as_object().cloned().unwrap_or_default()
    }

    /// Makes sure that there is a message that every read can find.
    async fn drop_anchor(&self) -> Result<()> {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
        let mut pauses = Contention::default();
        loop {
            match self.connection.store("connect", self.names.anchor(), headers.clone(), "linchpin".into()).await? {
                Ok(_) => return Ok(()),
                Err(refusal) if refusal.is_wrong_sequence() => return Ok(()),
                // The servers of a cluster learn one after the other that there is a new stream.
                Err(refusal) if refusal.is_no_stream() => pauses.pause().await,
                Err(refusal) => return Err(refusal.into_error("connect")),
            }
        }
    }

    async fn info(&self, operation: &'static str, filter: Option<(&str, usize)>) -> Result<Info> {
        let body = filter.map_or(json!({}), |(filter, offset)| json!({"subjects_filter": filter, "offset": offset}));
        let subject = format!("STREAM.INFO.{}", self.names.state);
        let mut pauses = later();
        let info = loop {
            let answer: Result<Info, _> =
                self.connection.api(operation, &subject, &body).await.map_err(Error::of_read)?;
            match answer {
                Ok(info) => break info,
                Err(refusal) if self.knows_later(&refusal, &mut pauses).await => {}
                Err(refusal) => return Err(self.refused(operation, refusal).await),
            }
        };
        if let Some(time) = info.ts.as_deref().and_then(Time::read) {
            self.clock.sample(time);
        }
        Ok(info)
    }

    /// Why the stream works but not as it should.
    pub(crate) async fn degraded(&self) -> Result<Vec<String>> {
        let info = self.info("health", None).await?;
        let Some(Cluster { leader, replicas }) = info.cluster else { return Ok(Vec::new()) };
        let mut reasons = Vec::new();
        if leader.is_none_or(|leader| leader.is_empty()) {
            reasons.push("the cluster has no leader for the namespace's stream".to_owned());
        }
        let behind = replicas.iter().filter(|replica| !replica.current || replica.offline);
        reasons.extend(behind.map(|replica| format!("the replica on {:?} is offline or behind", replica.name)));
        Ok(reasons)
    }

    /// The newest messages of these subjects, each asked for once, and the revision that they were read at.
    pub(crate) async fn read(&self, operation: &'static str, subjects: &[String]) -> Result<(Found, Revision)> {
        if subjects.is_empty() {
            return Ok((Found::new(), self.revision(operation).await?));
        }
        if self.reads_directly()
            && subjects.len() < READ_LIMIT
            && subjects.iter().map(String::len).sum::<usize>() < READ_BYTES
            && let Some((found, revision)) = self.read_matching(operation, subjects).await?
        {
            return Ok((found.into_iter().map(|message| (message.subject.clone(), message)).collect(), revision));
        }
        self.read_each(operation, subjects).await
    }

    pub(crate) fn reads_directly(&self) -> bool {
        self.reads_directly.load(Ordering::Relaxed)
    }

    /// The newest messages of all subjects that match, as of one revision; `None` if they are too many for one answer.
    /// Only where the one copy answers.
    pub(crate) async fn read_matching(
        &self,
        operation: &'static str,
        filters: &[String],
    ) -> Result<Option<(Vec<Stored>, Revision)>> {
        match self.read_directly(operation, filters).await? {
            // Where nothing is found nothing tells the revision.
            Read::Nothing => {
                let filters: Vec<_> = filters.iter().cloned().chain([self.names.anchor()]).collect();
                match self.read_directly(operation, &filters).await? {
                    Read::All(mut found, revision) => {
                        found.retain(|message| message.subject != self.names.anchor());
                        Ok(Some((found, revision)))
                    }
                    // A message went while it was read: then each is read by itself.
                    Read::Nothing | Read::TooMany => Ok(None),
                }
            }
            Read::All(found, revision) => Ok(Some((found, revision))),
            Read::TooMany => Ok(None),
        }
    }

    async fn read_directly(&self, operation: &'static str, filters: &[String]) -> Result<Read> {
        let body = json!({ "multi_last": filters }).to_string();
        let subject = format!("$JS.API.DIRECT.GET.{}", self.names.state);
        let gathered = self.connection.gather(operation, subject, body.into()).await;
        let mut answers = gathered.map_err(Error::of_read)?;
        let end = answers.pop().ok_or_else(|| Error::unreadable(operation, "no answer"))?;
        match end.status.map(|status| status.as_u16()) {
            Some(204) => {}
            Some(404) => return Ok(Read::Nothing),
            Some(413) => return Ok(Read::TooMany),
            Some(503) => return self.without_direct_reads(operation).await,
            _ => return Err(Error::unreadable(operation, "a direct read")),
        }
        let headers = end.headers.unwrap_or_default();
        let number = |name: &str| last(&headers, name).and_then(|text| text.parse().ok());
        let (pending, revision): (Option<u64>, _) = (number("Nats-Num-Pending"), number("Nats-UpTo-Sequence"));
        // More bytes than the server sends in one answer.
        if pending.is_some_and(|pending| pending > 0) {
            return Ok(Read::TooMany);
        }
        let revision = Revision(revision.ok_or_else(|| Error::unreadable(operation, "no revision"))?);
        let found = answers.into_iter().map(|answer| Stored::of_direct(operation, answer));
        let found: Vec<Stored> = found.collect::<Result<_>>()?;
        if !is_whole(&found, &headers) {
            return Ok(Read::TooMany);
        }
        for message in &found {
            self.clock.sample(message.time);
        }
        Ok(Read::All(found, revision))
    }

    /// Nobody answers direct reads: somebody has turned them off, as for more copies, or the stream is gone.
    async fn without_direct_reads(&self, operation: &'static str) -> Result<Read> {
        if self.look().await?.is_some_and(|config| !config.allow_direct) {
            self.reads_directly.store(false, Ordering::Relaxed);
            return Ok(Read::TooMany);
        }
        Err(self.refused(operation, Refusal::nobody()).await)
    }

    /// Reads message by message, until nothing was written meanwhile, or twice in a row the same was found: so all of
    /// that stood in between.
    async fn read_each(&self, operation: &'static str, subjects: &[String]) -> Result<(Found, Revision)> {
        let mut revision = self.revision(operation).await?;
        let mut found = self.collect(operation, subjects).await?;
        // Short ones: who reads is in no writer's way, and waits for a moment in which nobody writes.
        let mut pauses = Contention::up_to(Duration::from_millis(1));
        // A single one needs no second look.
        while subjects.len() > 1 {
            let now = self.revision(operation).await?;
            if now == revision {
                break;
            }
            let again = self.collect(operation, subjects).await?;
            let is_same = |(subject, message): (&String, &Stored)| {
                found.get(subject).is_some_and(|before| before.sequence == message.sequence)
            };
            let settled = again.len() == found.len() && again.iter().all(is_same);
            (found, revision) = (again, now);
            if settled {
                break;
            }
            pauses.pause().await;
        }
        let newest = found.values().map(|message| read_key(message).1).max().unwrap_or_default();
        Ok((found, revision.max(newest)))
    }

    async fn collect(&self, operation: &'static str, subjects: &[String]) -> Result<Found> {
        // A list: the compiler does not see through a stream of borrowing closures.
        let reads: Vec<_> = subjects
            .iter()
            .map(|subject| async move {
                let message = self.read_one(operation, &json!({ "last_by_subj": subject })).await?;
                Ok(message.map(|message| (subject.clone(), message)))
            })
            .collect();
        stream::iter(reads).buffer_unordered(AT_ONCE).try_filter_map(async |found| Ok(found)).try_collect().await
    }

    /// Reads one message from the leader.
    async fn read_one(&self, operation: &'static str, which: &Value) -> Result<Option<Stored>> {
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.names.state);
        let mut pauses = later();
        loop {
            let answer = self.connection.request(operation, subject.clone(), None, which.to_string().into()).await;
            let Some(answer) = answer.map_err(Error::of_read)? else {
                return Err(self.refused(operation, Refusal::nobody()).await);
            };
            match refusal(&answer.payload) {
                None => return Stored::of_answer(operation, &answer.payload).map(Some),
                Some(refusal) if refusal.is_no_message() => return Ok(None),
                Some(refusal) if self.knows_later(&refusal, &mut pauses).await => {}
                Some(refusal) => return Err(self.refused(operation, refusal).await),
            }
        }
    }

    /// The message of a revision, if it is still there.
    pub(crate) async fn read_at(&self, operation: &'static str, sequence: u64) -> Result<Option<Stored>> {
        self.read_one(operation, &json!({ "seq": sequence })).await
    }

    /// The first message that matches, from a place on.
    pub(crate) async fn read_next(&self, operation: &'static str, from: u64, filter: &str) -> Result<Option<Stored>> {
        self.read_one(operation, &json!({ "seq": from, "next_by_subj": filter })).await
    }

    /// The stream's revision.
    pub(crate) async fn revision(&self, operation: &'static str) -> Result<Revision> {
        Ok(Revision(self.info(operation, None).await?.state.last_seq))
    }

    /// The subjects that match, and the revision that they were listed at.
    pub(crate) async fn list(&self, operation: &'static str, filter: &str) -> Result<(BTreeSet<String>, Revision)> {
        let (mut subjects, mut revision) = (BTreeSet::new(), None);
        loop {
            let State { last_seq, subjects: page } = self.info(operation, Some((filter, subjects.len()))).await?.state;
            revision.get_or_insert(Revision(last_seq));
            let before = subjects.len();
            subjects.extend(page.unwrap_or_default().into_keys());
            // The server tells so many at once.
            if subjects.len() - before < 100_000 {
                return Ok((subjects, revision.unwrap_or_default()));
            }
        }
    }
}

/// Whether the client has dropped none of the answers: each says which was before it.
fn is_whole(found: &[Stored], end: &async_nats::HeaderMap) -> bool {
    let before = |headers| last(headers, "Nats-Last-Sequence").and_then(|text| text.parse::<u64>().ok());
    let chain = found.iter().map(|message| before(&message.headers)).chain([before(end)]);
    let expected = [0].into_iter().chain(found.iter().map(|message| message.sequence));
    chain.zip(expected).all(|(before, expected)| before == Some(expected))
}

/// Messages by their subjects.
pub(crate) type Found = HashMap<String, Stored>;

/// The pauses until the servers of a cluster all know of a stream: of a second in all.
fn later() -> Contention {
    Contention::default().at_most(40)
}

/// What a direct read found.
enum Read {
    All(Vec<Stored>, Revision),
    Nothing,
    TooMany,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
