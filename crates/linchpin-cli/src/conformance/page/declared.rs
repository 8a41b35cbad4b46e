//! What a backend says of itself, in words.

use crate::page::{Html, Table, Tone, badge, bytes, short_duration};
use linchpin::{Capabilities, Durability, StreamSupport, TransactionScope, TtlSupport, WatchCompleteness};
use std::time::Duration;

/// A capability: its name, whether it is declared, how much of it, what it means.
struct Row(&'static str, Grade, String, &'static str);

enum Grade {
    Full,
    Partly,
    No,
}

/// Declared, and how much of it; or not.
type Extent = (Grade, String);

pub(super) fn section(capabilities: &Capabilities) -> Html {
    Html::from(promises(capabilities)).then(limits(capabilities))
}

fn promises(capabilities: &Capabilities) -> Table {
    let table = Table::new("What is declared must work; what is not must be refused, wherever it is asked for");
    let table = table.text("capability").narrow("declared").text("how much").text("what it means");
    let rows = [
        transactions(capabilities),
        transaction_ids(capabilities),
        watch(capabilities),
        ttl(capabilities.ttl),
        messages(capabilities),
    ];
    let rows = rows.into_iter().chain(streams(capabilities.streams)).chain(durability(&capabilities.durability));
    rows.fold(table, |table, Row(name, grade, extent, meaning)| {
        let badge = match grade {
            Grade::Full => badge(Tone::Good, "yes"),
            Grade::Partly => badge(Tone::Note, "in part"),
            Grade::No => badge(Tone::Quiet, "no"),
        };
        table.row([Html::text(name), badge, Html::text(extent), Html::muted(meaning)])
    })
}

/// How much of what is offered; of what is not, nothing.
fn of<T>(support: Option<T>, extent: impl FnOnce(T) -> String) -> Extent {
    support.map_or((Grade::No, String::new()), |support| (Grade::Full, extent(support)))
}

fn remembered(window: Duration) -> String {
    format!("remembered for {}", short_duration(window))
}

fn transactions(capabilities: &Capabilities) -> Row {
    let (grade, extent) = match capabilities.transactions {
        TransactionScope::MultiKey => (Grade::Full, "over any keys of the namespace"),
        _ => (Grade::Partly, "of one key"),
    };
    Row("Transactions", grade, extent.to_owned(), "Guards and changes are applied all or not at all.")
}

fn transaction_ids(capabilities: &Capabilities) -> Row {
    let (grade, extent) = of(capabilities.transaction_ids, remembered);
    Row("Transaction ids", grade, extent, "A transaction that is sent twice is applied once: what makes a retry safe.")
}

fn watch(capabilities: &Capabilities) -> Row {
    let (grade, extent) = match capabilities.watch {
        WatchCompleteness::LatestVersion => (Grade::Full, "the latest version of each key"),
        _ => (Grade::No, ""),
    };
    Row("Watching", grade, extent.to_owned(), "A watcher may miss versions in between, never the last one.")
}

fn ttl(support: Option<TtlSupport>) -> Row {
    let (grade, extent) = of(support, |ttl| {
        let [granularity, minimum, slack] = [ttl.granularity, ttl.minimum, ttl.slack].map(short_duration);
        format!("counted in {granularity}, {minimum} at least, seen for up to {slack} longer")
    });
    Row("Time to live", grade, extent, "A key goes by itself: never before its time, soon after it.")
}

fn messages(capabilities: &Capabilities) -> Row {
    let (grade, extent) = of(capabilities.messages, |messages| {
        let knows = if messages.knows_nobody { "knows" } else { "does not know" };
        format!("{knows} when nobody is subscribed")
    });
    Row("Messages", grade, extent, "Published to those who are subscribed now, at most once.")
}

fn streams(support: Option<StreamSupport>) -> [Row; 4] {
    let (grade, extent) =
        of(support, |streams| format!("due records wait for up to {}", short_duration(streams.slack)));
    let (ids, window) = of(support.and_then(|streams| streams.dedupe_window), remembered);
    let offers = |is_offered: bool| if is_offered { Grade::Full } else { Grade::No };
    let delays = offers(support.is_some_and(|streams| streams.delays));
    let dead_letters = offers(support.is_some_and(|streams| streams.dead_letters));
    [
        Row("Streams", grade, extent, "Records that stay until they are acknowledged, for groups of readers."),
        Row("Record ids", ids, window, "A record that is appended twice is there once."),
        Row("Delays", delays, String::new(), "A record is delivered later, or again after a while."),
        Row("Dead letters", dead_letters, String::new(), "What was rejected or tried too often is kept aside."),
    ]
}

fn durability(durability: &Durability) -> [Row; 2] {
    let row = |name, survives| {
        let grade = if survives { Grade::Full } else { Grade::No };
        Row(name, grade, durability.why.clone(), "What was acknowledged is still there afterwards.")
    };
    [
        row("Survives a restart", durability.survives_restart),
        row("Survives a loss of power", durability.survives_power_loss),
    ]
}

fn limits(capabilities: &Capabilities) -> Table {
    let limits = capabilities.limits;
    let table = Table::new("Limits: what is larger is refused before anything is sent")
        .text("limit")
        .number("at most")
        .compact();
    [
        ("A value", bytes(limits.value)),
        ("A message", bytes(limits.message)),
        ("A record with its headers", bytes(limits.record)),
        ("All values of a transaction", bytes(limits.transaction_bytes)),
        ("Guards and changes of a transaction", limits.transaction_operations.to_string()),
        ("Records or settlements of a call", limits.batch.to_string()),
    ]
    .into_iter()
    .fold(table, |table, (name, limit)| table.row([Html::text(name), Html::text(limit)]))
}
