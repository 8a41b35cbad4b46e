//! The programs of the recipes and the concepts over every backend, each in a namespace of its own, as the pages promise.
//! (In memory the doc tests of this crate run them.) They are one program here, so that a linker has to work only once.

use linchpin_tests::servers::{NatsServer, PostgresServer, RedisServer};
use linchpin_tests::{OutsideCrate, repository};
use std::fmt::Write as _;

const PAGES: [(&str, &str); 2] =
    [("recipes", include_str!("../../docs/recipes.md")), ("concepts", include_str!("../../docs/concepts.md"))];

/// What the pages say of NATS: it cannot do that yet.
const NOT_ON_NATS: &str = "recipes: Retire a group";

const MAIN: &str = r#"
use std::panic::catch_unwind;
use std::sync::Mutex;

static URL: Mutex<String> = Mutex::new(String::new());

fn url() -> String {
    URL.lock().expect("no panic").clone()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (server, left_out) = (arguments.next().expect("a server"), arguments.next());
    let mut failed = 0;
    for (number, (title, run)) in SNIPPETS.iter().enumerate() {
        if Some(*title) == left_out.as_deref() {
            continue;
        }
        *URL.lock().expect("no panic") = format!("{server}?namespace=snippet-{number}");
        let problem = match catch_unwind(run) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        eprintln!("{title}: {problem}");
        failed += 1;
    }
    assert_eq!(failed, 0, "of {}", SNIPPETS.len());
    println!("{} ran", SNIPPETS.len());
}
"#;

/// The programs of a page that connect to a server of their reader's, with the titles that they stand under.
fn programs(page: &str) -> Vec<(String, String)> {
    let (mut programs, mut title) = (Vec::new(), "");
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        title = line.strip_prefix("## ").unwrap_or(title);
        if line == "```rust" {
            let program: String =
                lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
            if program.contains("(\"memory://\")") {
                programs.push((title.to_owned(), program));
            }
        }
    }
    programs
}

/// All of them as one.
fn together() -> (String, usize) {
    let (mut source, mut list, mut count) = (MAIN.to_owned(), String::new(), 0);
    for (page, text) in PAGES {
        for (title, program) in programs(text) {
            let program =
                program.replace("\"memory://\"", "crate::url()").replace("async fn main", "pub async fn main");
            write!(source, "\n#[allow(unused)]\nmod snippet_{count} {{\n{program}}}\n").expect("a text");
            write!(list, "({:?}, snippet_{count}::main), ", format!("{page}: {title}")).expect("a text");
            count += 1;
        }
    }
    write!(source, "\nconst SNIPPETS: [(&str, fn() -> linchpin::Result<()>); {count}] = [{list}];\n").expect("a text");
    (source, count)
}

#[tokio::test]
async fn the_recipes_and_the_concepts_run_over_every_backend() {
    let (source, count) = together();
    assert!(count >= 20, "only {count} programs were found");
    let outside = OutsideCrate::new().expect("a folder");
    let manifest = format!(
        "[package]\nname = \"snippets\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         linchpin = {{ path = {:?}, features = [\"redis\", \"nats\", \"postgres\"] }}\n\
         futures = \"0.3\"\ntokio = {{ version = \"1\", features = [\"full\"] }}\n\n[workspace]\n",
        repository().join("crates/linchpin")
    );
    outside.write("Cargo.toml", &manifest).expect("written");
    outside.write("src/main.rs", &source).expect("written");
    let run = |arguments: &[&str]| {
        let output = outside.cargo("run").args(["--quiet", "--"]).args(arguments).output().expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.lines().last(), Some(&*format!("{count} ran")), "{arguments:?}\n{}", {
            String::from_utf8_lossy(&output.stderr)
        });
    };
    let redis = RedisServer::start().await.expect("a server");
    run(&[&redis.url()]);
    let postgres = PostgresServer::start().await.expect("a server");
    run(&[&postgres.url()]);
    let nats = NatsServer::start().await.expect("a server");
    run(&[&nats.url(), NOT_ON_NATS]);
}
