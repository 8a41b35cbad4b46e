//! NATS with JetStream, with the crate `async-nats`.

mod answers;
mod followed_log;
mod plain;
mod same_work;
mod stream;
mod taps;
mod work_queue;

use super::{Idle, Raw};
use crate::bench::PAYLOAD;
use crate::bench::problem::{Problem, Result};
use crate::bench::report::{Backend, ServerFacts};
use async_nats::{Client, ConnectOptions, ServerAddr};
use followed_log::FollowedLog;
use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream::{BoxStream, select_all};
use linchpin::Capabilities;
use plain::Plain;
use same_work::SameWork;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use stream::Stream;
use taps::Taps;
use url::form_urlencoded;
use work_queue::{Puller, WorkQueue};

/// What the adapter gives the server to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Server {
    servers: Vec<ServerAddr>,
    /// What is behind the URL's `?`, of which ours is only how to log in.
    query: Vec<(String, String)>,
    namespace: String,
}

impl Server {
    /// Nothing is sent yet.
    pub(crate) fn new(url: &str, namespace: &str) -> Result<Self> {
        let (servers, query) = url.split_once('?').unwrap_or((url, ""));
        let scheme = servers.split_once("://").map_or("nats", |(scheme, _)| scheme);
        let address = |server: &str| {
            let server = if server.contains("://") { server.to_owned() } else { format!("{scheme}://{server}") };
            server.parse().map_err(|_| Problem::invalid("the raw client does not accept this URL"))
        };
        let servers = servers.split(',').map(address).collect::<Result<_>>()?;
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(Self { servers, query, namespace: namespace.to_owned() })
    }

    /// A connection such as the adapter has.
    async fn connect(&self) -> Result<Client> {
        self.connect_with(ConnectOptions::new()).await
    }

    async fn connect_with(&self, options: ConnectOptions) -> Result<Client> {
        let timeouts = options.connection_timeout(Duration::from_secs(2));
        let mut options = self.login(timeouts.name("linchpin bench").request_timeout(Some(RESPONSE_TIMEOUT)));
        let setting = |name: &str| self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let unreadable = |_| Problem::invalid("a file that the URL names cannot be read");
        if let Some(file) = setting("credentials") {
            options = options.credentials_file(file).await.map_err(unreadable)?;
        }
        if let Some(file) = setting("nkey") {
            options = options.nkey(std::fs::read_to_string(file).map_err(unreadable)?.trim().to_owned());
        }
        if let Some(file) = setting("tls_ca") {
            options = options.require_tls(true).add_root_certificates(PathBuf::from(file));
        }
        if let Some((certificate, key)) = setting("tls_cert").zip(setting("tls_key")) {
            options = options.require_tls(true).add_client_certificate(certificate.into(), key.into());
        }
        if setting("tls_first").is_some_and(|is_first| is_first == "true") {
            options = options.require_tls(true).tls_first();
        }
        Ok(options.connect(&self.servers[..]).await?)
    }

    /// With the first server's user and password, or its token.
    fn login(&self, options: ConnectOptions) -> ConnectOptions {
        let Some(first) = self.servers.first() else { return options };
        match (first.username(), first.password()) {
            (Some(user), Some(password)) => options.user_and_password(unescaped(user), unescaped(password)),
            (Some(token), None) => options.token(unescaped(token)),
            (None, _) => options,
        }
    }

    /// A name of this run, for a stream.
    fn name(&self, name: &str) -> String {
        format!("bench_{}_{name}", self.namespace)
    }

    /// A subject of this run.
    fn subject(&self, name: &str) -> String {
        format!("bench.{}.{name}", self.namespace)
    }

    /// A subject that nobody ever listens to: a request to it is answered at once, after all that was sent before.
    fn nobody(&self) -> String {
        self.subject("nobody")
    }
}

fn unescaped(text: &str) -> String {
    let pair = format!("{}=", text.replace('+', "%2B"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

/// Asks JetStream for something.
async fn api<A: DeserializeOwned>(client: &Client, subject: &str, body: &Value) -> Result<A> {
    let answer = client.request(format!("$JS.API.{subject}"), body.to_string().into()).await?;
    let answer: Value = read(&answer.payload)?;
    let refused = answer.get("error").map(|error| Problem::new(format!("the raw client: JetStream: {error}")));
    let unreadable = |_| Problem::new("the raw client: an answer of JetStream that says nothing");
    refused.map_or_else(|| serde_json::from_value(answer).map_err(unreadable), Err)
}

/// Reads an answer of JetStream.
fn read<A: DeserializeOwned>(answer: &[u8]) -> Result<A> {
    #[derive(Deserialize)]
    struct Refused {
        error: Refusal,
    }
    #[derive(Deserialize)]
    struct Refusal {
        description: String,
    }
    // What was asked for is there, as nearly always, or else it says why not.
    serde_json::from_slice(answer).map_err(|_| match serde_json::from_slice(answer) {
        Ok(Refused { error }) => Problem::new(format!("the raw client: JetStream: {}", error.description)),
        Err(_) => Problem::new("the raw client: an answer of JetStream that says nothing"),
    })
}

/// Returns once the server has taken in all that was sent before.
async fn settle(client: &Client, nobody: String) -> Result<()> {
    match client.request(nobody, "".into()).await {
        Err(error) if error.kind() != async_nats::RequestErrorKind::NoResponders => Err(error.into()),
        _ => Ok(()),
    }
}

impl Raw for Server {
    type SameWork = SameWork;
    type Plain = Plain;
    type Taker = Puller;
    type Idle = IdleStream;
    type Counter = Taps;

    async fn same_work(&self) -> Result<SameWork> {
        SameWork::connect(self).await
    }

    async fn plain(&self) -> Result<Plain> {
        Plain::connect(self).await
    }

    async fn listen(&self) -> Result<BoxStream<'static, ()>> {
        let client = self.connect().await?;
        let adapters = client.subscribe(format!("linchpin.{}.m.>", self.namespace)).await?;
        let ours = client.subscribe(self.subject("m.>")).await?;
        settle(&client, self.nobody()).await?;
        Ok(select_all([adapters, ours]).map(drop).boxed())
    }

    async fn takers(&self, name: &str, count: usize) -> Result<Vec<Puller>> {
        let queue = WorkQueue::new(self, name).await?;
        try_join_all((0..count).map(|_| queue.puller())).await
    }

    async fn idle(&self) -> Result<IdleStream> {
        let stream = Stream::open(self, self.connect().await?, "idle").await?;
        let key = stream.subject("idle");
        stream.write(&key, async_nats::HeaderMap::new(), PAYLOAD).await?;
        let log = FollowedLog::new(self, self.connect().await?, "idle-log").await?;
        Ok(IdleStream { read: format!("$JS.API.DIRECT.GET.{}.{key}", stream.name), stream, log })
    }

    async fn counter(&self) -> Result<Option<Taps>> {
        Taps::open(self).await.map(Some)
    }

    async fn facts(&self, linchpin: &Capabilities, _: u64) -> Result<ServerFacts> {
        let stream = Stream::open(self, self.connect().await?, "facts").await?;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let told = |name: &str| (name.to_owned(), stream.config.get(name).map(text));
        // Neither who else is there nor its sync_interval is told to a client.
        let settings = BTreeMap::from([told("storage"), told("num_replicas"), ("sync_interval".to_owned(), None)]);
        Ok(ServerFacts {
            backend: Backend::Nats,
            version: linchpin.version.clone(),
            durability: linchpin.durability.why.clone(),
            settings,
            other_clients: None,
        })
    }

    async fn sweep(&self) -> Result<()> {
        #[derive(Deserialize)]
        struct Names {
            #[serde(default)]
            streams: Option<Vec<String>>,
        }
        let client = self.connect().await?;
        let mut unwanted = Vec::new();
        let mut offset = 0;
        loop {
            let page: Names = api(&client, "STREAM.NAMES", &json!({ "offset": offset })).await?;
            let names = page.streams.unwrap_or_default();
            if names.is_empty() {
                break;
            }
            offset += names.len();
            unwanted.extend(names.into_iter().filter(|name| name.contains(&self.namespace)));
        }
        for name in unwanted {
            let _: Value = api(&client, &format!("STREAM.DELETE.{name}"), &json!({})).await?;
        }
        Ok(())
    }
}

/// A stream with one message, to be read, and a log.
pub(crate) struct IdleStream {
    stream: Stream,
    read: String,
    log: FollowedLog,
}

impl Idle for IdleStream {
    const COMMITS: bool = true;

    async fn commit(&mut self) -> Result<()> {
        self.log.append(b"release").await
    }

    async fn round_trip(&mut self) -> Result<()> {
        let answer = self.stream.client.request(self.read.clone(), "".into()).await?;
        if answer.payload == PAYLOAD { Ok(()) } else { Err(Problem::new("the small value is gone")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_several_servers_and_how_to_log_in() {
        let server = Server::new("tls://a%2Bb:c@one,two:4223?tls_first=true&namespace=n", "x").expect("servers");
        let shown: Vec<_> = server.servers.iter().map(|server| (server.host(), server.tls_required())).collect();
        assert_eq!(shown, [("one", true), ("two", true)]);
        assert_eq!((unescaped("a%2Bb+c"), server.query.len()), ("a+b+c".to_owned(), 2));
    }

    #[test]
    fn an_answer_is_what_was_asked_for_or_says_why_not() {
        let ack: Result<stream::Ack> = read(br#"{"stream":"s","seq":7}"#);
        assert_eq!(ack.expect("an ack").sequence, 7);
        let refused: Result<stream::Ack> = read(br#"{"error":{"code":400,"description":"wrong last sequence: 3"}}"#);
        let failure = crate::exit::Failure::from(refused.map(drop).expect_err("a refusal"));
        assert!(failure.message.contains("wrong last sequence"), "{}", failure.message);
    }
}
