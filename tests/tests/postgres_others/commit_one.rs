//! `commit_one.sql` decides as `commit.sql` does: random transactions of the usual kind, each in one namespace as it is,
//! and in another in a form that only the general function takes.

use super::{SOON, ask, calls, key, server};
use linchpin::{
    Condition, Driver, Entry, Guard, Mutation, MutationResult, Namespace, Outcome, Page, Range, Result, Revision,
    Transaction, TransactionId,
};
use linchpin_postgres::{PostgresConfig, PostgresCoordination};
use linchpin_tests::servers::PostgresServer;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const STEPS: usize = 1500;
const NAMES: [&str; 4] = ["a", "b", "q/1", "q/2"];
const PREFIXES: [&str; 3] = ["q/", "a", "none/"];
const LONG: Duration = Duration::from_secs(1000);
const SHORT: Duration = Duration::from_millis(1);

/// A namespace, with the transactions that were sent with ids.
struct Side {
    driver: Arc<dyn Driver>,
    general: bool,
    sent: Vec<Transaction>,
}

/// A step, before it is known which revisions the keys have.
struct Step {
    guard: Option<(usize, Asked)>,
    mutation: Mutation,
    id: Option<Identity>,
}

#[derive(Clone, Copy)]
enum Asked {
    Absent,
    Present,
    /// The version that stands there, or another.
    Version(bool),
    PrefixAbsent,
}

#[derive(Clone, Copy)]
enum Identity {
    New(TransactionId),
    /// An earlier one, as it was sent.
    Repeated(usize),
    /// The id of an earlier one.
    Taken(usize),
}

impl Step {
    fn random(ids: usize) -> Self {
        let name = NAMES[fastrand::usize(..NAMES.len())];
        let ttl = [None, None, Some(LONG), Some(SHORT)][fastrand::usize(..4)];
        let value = vec![b'v'; fastrand::usize(..40)];
        let put = Mutation::Put { key: key(name), value: value.into(), ttl };
        let mutation = if fastrand::bool() { put } else { Mutation::Delete { key: key(name) } };
        let asked = [Asked::Absent, Asked::Present, Asked::Version(true), Asked::Version(false), Asked::PrefixAbsent];
        let asked = (fastrand::usize(..PREFIXES.len()), asked[fastrand::usize(..asked.len())]);
        let id = match fastrand::usize(..8) {
            0 if ids > 0 => Some(Identity::Repeated(fastrand::usize(..ids))),
            1 if ids > 0 => Some(Identity::Taken(fastrand::usize(..ids))),
            0..4 => Some(Identity::New(TransactionId::random())),
            _ => None,
        };
        Self { guard: fastrand::bool().then_some(asked), mutation, id }
    }
}

impl Side {
    async fn connect(server: &PostgresServer, name: &str) -> Self {
        let config = PostgresConfig::from_url(&server.url()).expect("a good URL");
        let config = config.namespace(Namespace::new(name).expect("a good name"));
        let driver = PostgresCoordination::connect(config).await.expect("connects").driver();
        Self { driver, general: name == "general", sent: Vec::new() }
    }

    async fn take(&mut self, step: &Step) -> Result<Outcome> {
        if let Some(Identity::Repeated(at)) = step.id {
            return self.driver.commit(&self.sent[at]).await;
        }
        let own = step.mutation.key().clone();
        let mut transaction = Transaction { id: None, guards: Vec::new(), mutations: vec![step.mutation.clone()] };
        if let Some((prefix, asked)) = step.guard {
            let version = self.driver.get(std::slice::from_ref(&own)).await?.into_entry().map(|entry| entry.version);
            let guard = match asked {
                Asked::Absent => Guard { key: own, condition: Condition::Absent },
                Asked::Present => Guard { key: own, condition: Condition::Present },
                Asked::Version(right) => {
                    let version = version.filter(|_| right).unwrap_or(Revision(7));
                    Guard { key: own, condition: Condition::VersionIs(version) }
                }
                Asked::PrefixAbsent => Guard { key: key(PREFIXES[prefix]), condition: Condition::PrefixAbsent },
            };
            transaction.guards.push(guard);
        }
        if self.general {
            // The same once more, or what always holds.
            let always = Guard { key: key("never"), condition: Condition::Absent };
            let guard = transaction.guards.first().cloned().unwrap_or(always);
            transaction.guards = vec![guard.clone(), guard];
        }
        match step.id {
            Some(Identity::New(id)) => {
                transaction.id = Some(id);
                self.sent.push(transaction.clone());
            }
            // Where it is the same by chance it is so on both sides.
            Some(Identity::Taken(at)) => transaction.id = self.sent[at].id,
            _ => {}
        }
        self.driver.commit(&transaction).await
    }

    async fn entries(&self) -> Vec<Entry> {
        self.driver.scan(&Range::all(), &Page::first()).await.expect("listed").entries
    }
}

/// What can be told of it in any namespace.
fn shape(outcome: &Result<Outcome>) -> String {
    match outcome {
        Ok(Outcome::Committed { revision, results }) => {
            let result = |result: &MutationResult| match result {
                MutationResult::Put { created, ttl } => format!("put {} {ttl:?}", created == revision),
                other => format!("{other:?}"),
            };
            format!("committed {:?}", results.iter().map(result).collect::<Vec<_>>())
        }
        Ok(Outcome::Refused { guard, found, .. }) => {
            format!("refused {guard} {:?}", found.as_ref().map(entry))
        }
        Err(error) => format!("{:?} {:?}", error.kind(), error.subject()),
    }
}

fn entry(entry: &Entry) -> String {
    let Entry { key, value, created, version, ttl } = entry;
    format!("{key}={} {} {}", value.len(), created == version, ttl.is_some())
}

/// The rows that one side wrote, as far as they can be told of both.
const ROWS: [&str; 4] = [
    // Each change follows the one before.
    "SELECT count(*) FROM (SELECT c.before, c.was, lag(c.number) OVER w AS number, lag(c.revision) OVER w AS revision \
     FROM linchpin.changes AS c WHERE c.namespace = {} WINDOW w AS (ORDER BY c.number)) AS c \
     WHERE c.before <> c.number OR c.was <> c.revision",
    "SELECT array_agg(c.what ORDER BY c.number) FROM ( \
     SELECT c.number, encode(c.keys[n], 'escape') || ' ' || (c.created[n] = 0) || ' ' || (c.created[n] = c.versions[n]) AS what \
     FROM linchpin.changes AS c, generate_series(1, cardinality(c.keys)) AS n WHERE c.namespace = {} \
     AND c.versions[n] <= c.revision AND cardinality(c.keys) = 1) AS c",
    "SELECT array_agg(o.status || ' ' || o.detail || ' ' || o.count ORDER BY o.status, o.detail) FROM ( \
     SELECT status, detail, count(*) FROM linchpin.outcomes WHERE namespace = {} GROUP BY status, detail) AS o",
    "SELECT array_agg(encode(k.key, 'escape') || ' ' || ((k.ends - n.acted) / 100000000) ORDER BY k.key) \
     FROM linchpin.keys AS k, linchpin.namespaces AS n WHERE n.id = {} AND k.namespace = n.id AND k.ends > n.acted + 1000000",
];

#[tokio::test]
async fn the_usual_transactions_end_as_they_do_in_general() {
    let server = server().await;
    let seed = fastrand::get_seed();
    let (mut usual, mut general) = (Side::connect(&server, "usual").await, Side::connect(&server, "general").await);
    for number in 0..STEPS {
        let step = Step::random(usual.sent.len());
        let (one, other) = (usual.take(&step).await, general.take(&step).await);
        assert_eq!(shape(&one), shape(&other), "step {number}, seed {seed}: {:?}", step.mutation);
        if step.mutation.ttl() == Some(SHORT) {
            sleep(SHORT * 4).await;
        }
        // Seldom: whoever reads removes what has ended.
        if number % 16 == 0 {
            let (left, right) = (usual.entries().await, general.entries().await);
            let entries = |entries: &[Entry]| entries.iter().map(entry).collect::<Vec<_>>();
            assert_eq!(entries(&left), entries(&right), "after step {number}, seed {seed}");
        }
    }
    for query in ROWS {
        let of =
            |name: &str| query.replace("{}", &format!("(SELECT id FROM linchpin.namespaces WHERE name = '{name}')"));
        assert_eq!(ask(&server, &of("usual")).await, ask(&server, &of("general")).await, "{query}, seed {seed}");
    }
    assert_eq!(
        ask(&server, &ROWS[0].replace("{}", "(SELECT id FROM linchpin.namespaces WHERE name = 'usual')")).await,
        "0"
    );
    assert_eq!(ask(&server, "SELECT count(*) FROM linchpin.intrusions").await, "0", "seed {seed}");
    let counted = async {
        while calls(&server, "commit_one").await < STEPS as u64 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, counted).await.expect("each transaction of the one side is of the usual kind");
    let in_general = calls(&server, "commit").await;
    // Those of the other side, and what was unusual.
    assert!(in_general < STEPS as u64 * 9 / 5, "{in_general} calls of the general function for {STEPS} steps");
}
