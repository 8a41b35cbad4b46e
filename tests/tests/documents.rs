//! The README and the docs show what is in the repository. (That its code runs, the doc tests of this crate see to.)

use linchpin::layers::Layers;
use linchpin::{Health, RetryPolicy};
use linchpin_adapter::fanout::{Subscribers, Watchers};
use linchpin_tests::servers::{NatsServer, PostgresServer, RedisServer};
use std::path::Path;
use std::time::Duration;

const README: &str = include_str!("../../README.md");

#[test]
fn the_first_program_is_the_example() {
    let example = include_str!("../../crates/linchpin/examples/first.rs");
    let program = example.split_once("\n\n").expect("a title and a program").1;
    assert!(README.contains(program), "README.md and crates/linchpin/examples/first.rs differ");
    assert!(program.lines().count() < 20, "the first program has {} lines", program.lines().count());
}

#[test]
fn the_start_page_has_the_same_program() {
    let example = include_str!("../../crates/linchpin/examples/first.rs");
    let program = example.split_once("\n\n").expect("a title and a program").1;
    assert!(include_str!("../../docs/start.md").contains(program), "docs/start.md and examples/first.rs differ");
}

/// Nobody is to take a token for a number that counts from 1.
#[tokio::test]
async fn the_tokens_of_the_start_page_are_as_long_as_real_ones() {
    let coordinator = linchpin::connect("memory://").await.expect("connected");
    let token = coordinator.lock("l").acquire().await.expect("it is free").token().to_string();
    let page = include_str!("../../docs/start.md");
    let shown: Vec<_> = page.lines().filter_map(|line| line.split_once("token ")?.1.parse::<u64>().ok()).collect();
    assert!(shown.len() >= 4, "{shown:?}");
    for shown in shown {
        assert_eq!(shown.to_string().len(), token.len(), "docs/start.md shows {shown}, a token is {token}");
    }
}

/// That an adapter's front page shows its example, and that this runs.
async fn front_page_runs(adapter: &str, example: &str, front_page: &str, url: (&str, String)) {
    let program = example.split_once("\n\n").expect("a title and a program").1;
    let shown: Vec<_> = front_page.lines().map_while(|line| line.strip_prefix("//!").map(str::trim)).collect();
    let lines: Vec<_> = program.lines().map(str::trim).collect();
    assert!(shown.windows(lines.len()).any(|window| window == lines), "the front page shows another program");

    let mut command = tokio::process::Command::new(linchpin_tests::example(adapter).expect("built"));
    let output = command.env(url.0, url.1).output().await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "the leader is Some(\"node-1\")\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_first_program_of_the_redis_adapter_is_its_example_and_runs() {
    let example = include_str!("../../crates/linchpin-redis/examples/redis.rs");
    let front_page = include_str!("../../crates/linchpin-redis/src/lib.rs");
    let server = RedisServer::start().await.expect("a server");
    front_page_runs("redis", example, front_page, ("REDIS_URL", server.url())).await;
}

#[tokio::test]
async fn the_first_program_of_the_nats_adapter_is_its_example_and_runs() {
    let example = include_str!("../../crates/linchpin-nats/examples/nats.rs");
    let front_page = include_str!("../../crates/linchpin-nats/src/lib.rs");
    let server = NatsServer::start().await.expect("a server");
    front_page_runs("nats", example, front_page, ("NATS_URL", server.url())).await;
}

#[tokio::test]
async fn the_first_program_of_the_postgres_adapter_is_its_example_and_runs() {
    let example = include_str!("../../crates/linchpin-postgres/examples/postgres.rs");
    let front_page = include_str!("../../crates/linchpin-postgres/src/lib.rs");
    let server = PostgresServer::start().await.expect("a server");
    front_page_runs("postgres", example, front_page, ("POSTGRES_URL", server.url())).await;
}

#[test]
fn every_file_and_target_it_names_is_there() {
    let root = root();
    for file in [
        "docs/start.md",
        "docs/recipes.md",
        "docs/nats.md",
        "docs/postgres.md",
        "docs/contract.md",
        "docs/adapter.md",
        "docs/architecture.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ] {
        assert!(README.contains(file) && root.join(file).exists(), "{file}");
    }
    let makefile = std::fs::read_to_string(root.join("Makefile")).expect("a Makefile");
    for target in ["demo", "test", "conformance", "doc"] {
        assert!(README.contains(&format!("make {target}")) && makefile.contains(&format!("\n{target}:")), "{target}");
    }
}

#[test]
fn the_contract_is_the_one_of_the_cases() {
    let page = include_str!("../../docs/contract.md");
    assert!(page == linchpin_conformance::contract(), "docs/contract.md is stale: run `make contract`");
}

#[tokio::test]
async fn the_table_is_what_the_backends_declare() {
    let page = include_str!("../../docs/backends.md");
    let made = linchpin_tests::backends::page(page).await.expect("live backends");
    assert!(page == made, "the table of docs/backends.md is stale: run `make contract`");
}

/// (That no block in them is left out, and no link leads nowhere, the tests of the book see to.)
#[test]
fn the_code_of_every_page_is_run() {
    let tests = include_str!("../src/lib.rs");
    for entry in std::fs::read_dir(root().join("docs")).expect("pages") {
        let name = entry.expect("a page").file_name().into_string().expect("text");
        let is_page = Path::new(&name).extension().is_some_and(|extension| extension == "md");
        // The adapter is a crate of its own: tests/adapter_page.rs builds it.
        if is_page && name != "SUMMARY.md" && name != "adapter.md" {
            assert!(tests.contains(&format!("include_str!(\"../../docs/{name}\")")), "{name} is in no doc test");
        }
    }
}

#[test]
fn the_numbers_are_those_of_the_code() {
    let operating = include_str!("../../docs/operating.md");
    let policy = RetryPolicy::default();
    for number in [
        format!("| one attempt of a call | {} s |", Layers::TIMEOUT.as_secs()),
        format!("| attempts in all | {} |", policy.attempts),
        format!("| {} ms | `first_pause`", policy.first_pause.as_millis()),
        format!("| {} s | `max_pause`", policy.max_pause.as_secs()),
        format!("| {} s after the first |", policy.total.as_secs()),
        format!("longer than {} ms", Health::SLOW.as_millis()),
        format!("may lag {} messages or {} MiB", Subscribers::CAPACITY, Subscribers::CAPACITY_BYTES >> 20),
        format!("may lag {} changed keys", Watchers::CAPACITY),
        linchpin_redis::COMMANDS.to_owned(),
    ] {
        assert!(operating.contains(&number), "docs/operating.md does not say {number:?}");
    }
}

/// What the page says of a server that refuses connections at once, so that nothing but the pauses takes time: each is cut
/// by a quarter on average.
#[test]
fn attempts_last_as_long_as_the_page_says() {
    let lasts = |policy: RetryPolicy| {
        let pauses = (0..policy.attempts - 1).map(|n| policy.first_pause.saturating_mul(1 << n.min(20)));
        pauses.map(|pause| pause.min(policy.max_pause).as_secs_f64() * 0.75).sum::<f64>()
    };
    let operating = include_str!("../../docs/operating.md");
    let default = RetryPolicy::default();
    assert!(
        operating.contains("for about 5 where it refuses connections at once")
            && operating.contains("0.75 s on average")
    );
    assert!((4.5..5.5).contains(&lasts(default)), "it lasts {} s", lasts(default));
    let (_, longer) = operating.split_once("so 30 seconds are `RetryPolicy { attempts: ").expect("an example");
    let attempts = longer.split_once(',').expect("a number").0.parse().expect("a number");
    let longer = RetryPolicy { attempts, total: Duration::from_secs(30), ..default };
    assert!(lasts(longer) > longer.total.as_secs_f64(), "it lasts {} s", lasts(longer));
}

#[test]
fn every_operation_that_is_counted_is_on_the_page() {
    let mut calls = linchpin::Operation::ALL.map(linchpin::Operation::as_str).to_vec();
    let page = include_str!("../../docs/operating.md");
    let (_, page) = page.split_once("`operation` is the driver's method: ").expect("the list");
    let (listed, _) = page.split_once(". ").expect("its end");
    let mut listed: Vec<_> = listed.split(", ").map(|name| name.trim_matches('`')).collect();
    calls.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, calls);
}

#[test]
fn the_permissions_are_those_of_the_code() {
    let page = include_str!("../../docs/nats.md");
    assert!(page.contains(linchpin_nats::SUBJECTS), "docs/nats.md does not say {:?}", linchpin_nats::SUBJECTS);
    let (page, ours) = (include_str!("../../docs/postgres.md"), linchpin_postgres::PRIVILEGES);
    assert!(page.contains(ours), "docs/postgres.md does not say {ours:?}");
}

#[test]
fn every_kind_of_error_is_explained() {
    let kinds = include_str!("../../crates/linchpin-core/src/error.rs");
    let kinds: Vec<_> =
        kinds.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \"")).collect();
    assert!(kinds.len() >= 12, "the source is not understood: {kinds:?}");
    for (kind, _) in kinds {
        assert!(include_str!("../../docs/errors.md").contains(&format!("\n### {kind}\n")), "{kind}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}
