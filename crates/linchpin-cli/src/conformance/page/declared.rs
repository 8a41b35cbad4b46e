//! What a backend says of itself, in words.

use crate::page::{Html, Table, Tone, badge, bytes};
use linchpin::{Capabilities, StreamSupport, TransactionScope, TtlSupport, WatchCompleteness};
use std::time::Duration;

/// What is declared: a badge, and how much.
enum Grade {
    Full(String),
    Partly(String),
    No,
}

pub(super) fn section(capabilities: &Capabilities) -> Html {
    Html::from(promises(capabilities)).then(limits(capabilities))
}

fn promises(capabilities: &Capabilities) -> Table {
    let table = Table::new(format!("Capabilities of {} {}", capabilities.backend, capabilities.version));
    let table = table.text("capability").narrow("declared").text("how much").text("what it means");
    let rows = [
        transactions(capabilities),
        transaction_ids(capabilities),
        watch(capabilities),
        ttl(capabilities.ttl),
        messages(capabilities),
    ];
    let rows = rows.into_iter().chain(streams(capabilities.streams)).chain(durability(capabilities));
    rows.fold(table, |table, (name, grade, meaning)| {
        let (badge, extent) = match grade {
            Grade::Full(extent) => (badge(Tone::Good, "yes"), extent),
            Grade::Partly(extent) => (badge(Tone::Note, "in part"), extent),
            Grade::No => (badge(Tone::Quiet, "no"), String::new()),
        };
        table.row([Html::text(name), badge, Html::text(extent), Html::muted(meaning)])
    })
}

type Row = (&'static str, Grade, &'static str);

fn of(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

fn for_a_window(window: Option<Duration>) -> Grade {
    window.map_or(Grade::No, |window| Grade::Full(format!("remembered for {}", of(window))))
}

fn yes_or_no(is_offered: bool) -> Grade {
    if is_offered { Grade::Full(String::new()) } else { Grade::No }
}

fn transactions(capabilities: &Capabilities) -> Row {
    let grade = match capabilities.transactions {
        TransactionScope::MultiKey => Grade::Full("over any keys of the namespace".to_owned()),
        TransactionScope::SingleKey => Grade::Partly("of one key".to_owned()),
    };
    ("Transactions", grade, "Guards and changes are applied all or not at all.")
}

fn transaction_ids(capabilities: &Capabilities) -> Row {
    let meaning = "A transaction that is sent twice is applied once: what makes a retry safe.";
    ("Transaction ids", for_a_window(capabilities.transaction_ids), meaning)
}

fn watch(capabilities: &Capabilities) -> Row {
    let grade = match capabilities.watch {
        WatchCompleteness::None => Grade::No,
        WatchCompleteness::LatestVersion => Grade::Full("the latest version of each key".to_owned()),
    };
    ("Watching", grade, "A watcher may miss versions in between, never the last one.")
}

fn ttl(support: Option<TtlSupport>) -> Row {
    let extent = |ttl: TtlSupport| {
        let (granularity, minimum, slack) = (of(ttl.granularity), of(ttl.minimum), of(ttl.slack));
        Grade::Full(format!("counted in {granularity}, {minimum} at least, seen for up to {slack} longer"))
    };
    ("Time to live", support.map_or(Grade::No, extent), "A key goes by itself: never before its time, soon after it.")
}

fn messages(capabilities: &Capabilities) -> Row {
    let grade = match capabilities.messages {
        None => Grade::No,
        Some(support) if support.knows_nobody => Grade::Full("knows when nobody is subscribed".to_owned()),
        Some(_) => Grade::Full("does not know when nobody is subscribed".to_owned()),
    };
    ("Messages", grade, "Published to those who are subscribed now; at most once.")
}

fn streams(support: Option<StreamSupport>) -> [Row; 4] {
    let extent =
        |streams: StreamSupport| Grade::Full(format!("redelivered within {} of their time", of(streams.slack)));
    let on = |offers: fn(StreamSupport) -> bool| yes_or_no(support.is_some_and(offers));
    [
        (
            "Streams",
            support.map_or(Grade::No, extent),
            "Records that stay until they are acknowledged, for groups of readers.",
        ),
        (
            "Record ids",
            for_a_window(support.and_then(|streams| streams.dedupe_window)),
            "A record that is appended twice is there once.",
        ),
        ("Delays", on(|streams| streams.delays), "A record is delivered later, or again after a while."),
        ("Dead letters", on(|streams| streams.dead_letters), "What was rejected or tried too often is kept aside."),
    ]
}

fn durability(capabilities: &Capabilities) -> [Row; 2] {
    let durability = &capabilities.durability;
    let grade = |survives| if survives { Grade::Full(durability.why.clone()) } else { Grade::No };
    let meaning = "What was acknowledged is still there.";
    let restart = if durability.survives_restart { grade(true) } else { Grade::No };
    [
        ("Survives a restart of the server", restart, meaning),
        ("Survives a loss of power", grade(durability.survives_power_loss), meaning),
    ]
}

fn limits(capabilities: &Capabilities) -> Table {
    let limits = capabilities.limits;
    let table = Table::new("Limits: what is larger is refused before anything is sent").text("limit").number("at most");
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
