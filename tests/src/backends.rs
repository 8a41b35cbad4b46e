//! The table of `docs/backends.md`: what each backend declares, asked of live handles.

use crate::servers::{NatsServer, PostgresServer, RedisServer};
use linchpin::{Capabilities, Coordinator, TransactionScope, WatchCompleteness};
use std::time::Duration;

const BEGIN: &str = "<!-- made by `make contract` -->\n";
const END: &str = "<!-- until here -->\n";

/// A row of the table: what it is called, and what a backend says to it.
type Row = (&'static str, fn(&Capabilities) -> String);

/// What does not depend on how a server is set up.
const ROWS: [Row; 19] = [
    ("a transaction spans", |backend| match backend.transactions {
        TransactionScope::SingleKey => "one key".to_owned(),
        TransactionScope::MultiKey => "any keys of the namespace".to_owned(),
        other => format!("{other:?}"),
    }),
    ("a guard may ask that no key has a prefix", |backend| yes(Some(backend.prefix_guards))),
    ("a transaction's id is remembered for", |backend| time(backend.transaction_ids)),
    ("a watch tells", |backend| match backend.watch {
        WatchCompleteness::None => "not offered".to_owned(),
        WatchCompleteness::LatestVersion => "the last version always".to_owned(),
        other => format!("{other:?}"),
    }),
    ("a watch of one key costs nothing for the others", |backend| yes(Some(backend.key_watches))),
    ("TTLs are counted in", |backend| time(backend.ttl.map(|ttl| ttl.granularity))),
    ("the shortest TTL", |backend| time(backend.ttl.map(|ttl| ttl.minimum))),
    ("an expiry is noticed within", |backend| time(backend.ttl.map(|ttl| ttl.slack))),
    ("publishing says that nobody is there", |backend| yes(backend.messages.map(|messages| messages.knows_nobody))),
    ("a record's id is remembered for", |backend| time(backend.streams.and_then(|streams| streams.dedupe_window))),
    ("delays, and retries after a time", |backend| yes(backend.streams.map(|streams| streams.delays))),
    ("dead letters", |backend| yes(backend.streams.map(|streams| streams.dead_letters))),
    ("a due record comes within", |backend| time(backend.streams.map(|streams| streams.slack))),
    ("the largest value", |backend| size(backend.limits.value)),
    ("the largest message, linchpin's header included", |backend| size(backend.limits.message)),
    ("the largest record, headers included", |backend| size(backend.limits.record)),
    ("guards and mutations of a transaction, at most", |backend| backend.limits.transaction_operations.to_string()),
    ("all values of a transaction, at most", |backend| size(backend.limits.transaction_bytes)),
    ("records or settlements of a call, at most", |backend| backend.limits.batch.to_string()),
];

/// The page, with the table as the backends are now: memory, and servers that are started for it.
///
/// # Errors
///
/// If there is no server, or the page has no place for the table.
pub async fn page(page: &str) -> Result<String, String> {
    let (redis, nats) = (RedisServer::start().await?, NatsServer::start().await?);
    let postgres = PostgresServer::start().await?;
    let mut backends = Vec::new();
    for url in ["memory://".to_owned(), redis.url(), nats.url(), postgres.url()] {
        let coordinator = Coordinator::builder(url).connect().await.map_err(|error| error.to_string())?;
        backends.push(coordinator.driver().capabilities().clone());
        coordinator.shutdown().await.map_err(|error| error.to_string())?;
    }
    let (head, rest) = page.split_once(BEGIN).ok_or("the page does not say where the table begins")?;
    let (_, tail) = rest.split_once(END).ok_or("the page does not say where the table ends")?;
    Ok(format!("{head}{BEGIN}{}{END}{tail}", table(&backends)))
}

fn table(backends: &[Capabilities]) -> String {
    let line = |first: &str, rest: Vec<String>| format!("| {first} | {} |\n", rest.join(" | "));
    let head = line("", backends.iter().map(|backend| format!("`{}`", backend.backend)).collect());
    let rule = format!("|---|{}\n", "---|".repeat(backends.len()));
    let rows = ROWS.iter().map(|(what, say)| line(what, backends.iter().map(say).collect()));
    format!("\n{head}{rule}{}\n", rows.collect::<String>())
}

fn yes(offered: Option<bool>) -> String {
    if offered == Some(true) { "yes" } else { "no" }.to_owned()
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "not offered".to_owned(), |time| format!("{time:?}"))
}

fn size(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    match bytes {
        whole if whole % MIB == 0 => format!("{} MiB", whole / MIB),
        whole if whole % KIB == 0 => format!("{} KiB", whole / KIB),
        bytes => format!("{bytes} bytes"),
    }
}
