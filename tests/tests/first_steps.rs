//! `docs/start.md` and the README as a newcomer follows them: what they say to type is typed, word for word, into
//! real terminals, and what they say is printed is waited for. Their own words start the server and stop it.
//!
//! Three things are done for the newcomer: the clone is this repository, what is installed is what was built here, and
//! crates come from those that this workspace has fetched.

use linchpin_tests::repository;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const START: &str = include_str!("../../docs/start.md");
const README: &str = include_str!("../../README.md");

/// How long a line may take to appear: a compiler may be at work.
const PATIENCE: Duration = Duration::from_mins(10);
/// The port that the pages name. One test at a time has it.
const PORT: u16 = 6400;
static PORT_IN_USE: Mutex<()> = Mutex::new(());

/// What a terminal knows before anything is typed.
const PRELUDE: &str = r#"
set -e
unset LINCHPIN_URL
git() {
    [ "$*" = "clone https://github.com/linchpin-rs/linchpin" ] && ln -s "$REPOSITORY" linchpin
}
cargo() {
    case "$1 ${2-}" in
        "install --path") grep -q '^name = "linchpin-cli"' "$3/Cargo.toml" ;;
        new\ *) command cargo "$@" && cp "$REPOSITORY/Cargo.lock" "$2" ;;
        *) command cargo "$@" ;;
    esac
}
make() {
    case "$1" in
        test) grep -q '^test:' Makefile ;; # it is what runs this
        *) command make "$@" ;;
    esac
}
# Nobody types the next line before the server is up. If this terminal ends before it was stopped, it ends too.
redis-server() {
    trap 'redis-cli -p "$PORT" shutdown nosave' EXIT
    command redis-server "$@"
    until redis-cli -p "$PORT" ping; do sleep 0.1; done
}
"#;

/// One thing that a page tells its reader.
#[derive(Debug, PartialEq)]
enum Step {
    /// Type this into a terminal.
    Type { second_terminal: bool, text: String },
    /// This is printed, but for the numbers.
    See(String),
    /// Write this file.
    Write { file: String, text: String },
}

/// What a page tells to do, in its order.
fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut said, mut lines) = (Vec::new(), "", page.lines());
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            if !line.is_empty() {
                said = line;
            }
            continue;
        };
        let text: String = lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
        let file = said.strip_prefix('`').and_then(|said| said.strip_suffix("`:"));
        match (info, file) {
            ("sh", _) => steps.push(Step::Type { second_terminal: false, text }),
            ("sh,terminal-2", _) => steps.push(Step::Type { second_terminal: true, text }),
            ("text", _) => steps.push(Step::See(text)),
            (_, Some(file)) => steps.push(Step::Write { file: file.to_owned(), text }),
            // A program to read, which the doc tests run.
            _ => {}
        }
    }
    steps
}

/// A line with every number in it the same: tokens differ from run to run.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.trim().chars() {
        match c {
            '0'..='9' if shape.ends_with('0') => {}
            '0'..='9' => shape.push('0'),
            c => shape.push(c),
        }
    }
    shape
}

struct Terminal {
    bash: Child,
    keyboard: Option<ChildStdin>,
    screen: Receiver<String>,
    /// What was printed so far.
    said: Vec<String>,
    /// Where blocks are kept while they run.
    scratch: PathBuf,
    busy: bool,
}

impl Terminal {
    const DONE: &str = "@@ done @@";

    fn open(folder: &Path, scratch: &Path, port: u16) -> Self {
        let repository = repository();
        let built = std::env::current_exe().expect("a path");
        let built = built.parent().and_then(Path::parent).expect("target/debug");
        let path = format!("{}:{}", built.display(), std::env::var("PATH").expect("a PATH"));
        let mut command = Command::new("bash");
        linchpin_tests::from_a_shell(&mut command);
        command
            .current_dir(folder)
            .env("PATH", path)
            .env("PORT", port.to_string())
            .env("REPOSITORY", repository)
            .env("CARGO_TARGET_DIR", built.parent().expect("target"))
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TERM_COLOR", "never")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // Of its own, so that whatever runs in it can be ended with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut bash = command.spawn().expect("bash runs");
        let output = BufReader::new(bash.stdout.take().expect("a pipe"));
        let (printed, screen) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| printed.send(line)));
        let keyboard = bash.stdin.take();
        let mut terminal = Self { bash, keyboard, screen, said: Vec::new(), scratch: scratch.to_owned(), busy: false };
        terminal.type_in(&format!("exec 2>&1\n{PRELUDE}"));
        terminal
    }

    /// Types a block, once the one before has ended.
    fn type_in(&mut self, text: &str) {
        self.finish();
        let block = self.scratch.join(format!("block-{:016x}.sh", fastrand::u64(..)));
        fs::write(&block, text).expect("written");
        let keyboard = self.keyboard.as_mut().expect("it is open");
        // From a file: so what runs does not read on from the keyboard.
        writeln!(keyboard, ". {} </dev/null; echo; echo '{}'", block.display(), Self::DONE).expect("bash reads");
        self.said.push(format!("$ {text}"));
        self.busy = true;
    }

    /// Waits until what was typed has ended.
    fn finish(&mut self) {
        while self.busy {
            self.line();
        }
    }

    /// Waits for a line that looks like this.
    fn see(&mut self, expected: &str) {
        loop {
            assert!(self.busy, "it ended without saying {expected:?}\n{}", self.said.join("\n"));
            if shape(&self.line()) == shape(expected) {
                return;
            }
        }
    }

    fn line(&mut self) -> String {
        let Ok(line) = self.screen.recv_timeout(PATIENCE) else {
            panic!("it failed, or says nothing more:\n{}", self.said.join("\n"));
        };
        self.busy &= line != Self::DONE;
        self.said.push(line.clone());
        line
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.keyboard.take());
        if std::thread::panicking() {
            let group = format!("-{}", self.bash.id());
            let _ = Command::new("bash").args(["-c", r#"kill -s TERM -- "$1""#, "bash", &group]).status();
        }
        let _ = self.bash.wait();
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The pages' port; another if somebody else has it on this machine.
fn port() -> u16 {
    let ports = std::iter::once(PORT).chain((0..100).map(|_| fastrand::u16(15_000..30_000)));
    ports.into_iter().find(|port| is_free(*port)).expect("a free port")
}

/// Does what a page says, in a folder.
fn follow(page: &str, folder: &Path) {
    let names_it = page.contains(&PORT.to_string());
    let _alone = names_it.then(|| PORT_IN_USE.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let port = port();
    let scratch = tempfile::tempdir().expect("a folder");
    let steps = steps(&page.replace(&PORT.to_string(), &port.to_string()));
    let mut terminals = [(); 2].map(|()| Terminal::open(folder, scratch.path(), port));
    let mut used = 0;
    for at in 0..steps.len() {
        match &steps[at] {
            Step::Type { second_terminal, text } => {
                used = usize::from(*second_terminal);
                terminals[used].type_in(text);
                // Something to see is waited for instead: until then the reader does not turn away.
                if !matches!(steps.get(at + 1), Some(Step::See(_))) {
                    terminals[used].finish();
                }
            }
            Step::See(text) => text.lines().for_each(|line| terminals[used].see(line)),
            Step::Write { file, text } => {
                let text = format!("cat > {file} <<'@@ end of file @@'\n{text}@@ end of file @@\n");
                terminals[used].type_in(&text);
                terminals[used].finish();
            }
        }
    }
    for terminal in &mut terminals {
        terminal.finish();
        terminal.type_in("trap - EXIT");
        terminal.finish();
    }
    assert!(is_free(port), "the page does not stop the server that it starts");
}

#[test]
fn the_start_page_works_word_for_word() {
    linchpin_tests::command().expect("built");
    // Outside of this workspace, as a newcomer's is; always the same one, so that what cargo builds in it is found
    // again the next time.
    let folder = std::env::temp_dir().join("linchpin-start-page");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("made");
    follow(START, &folder);
}

#[test]
fn the_readme_works_word_for_word() {
    follow(README, repository());
}

#[test]
fn a_page_is_read_as_its_reader_does() {
    let page =
        "Say:\n\n```sh\nls\n```\n\n```text\na 17\n```\n\n`a/b`:\n\n```toml\nx = 1\n```\n\n```rust\nfn f() {}\n```\n";
    let expected = [
        Step::Type { second_terminal: false, text: "ls\n".to_owned() },
        Step::See("a 17\n".to_owned()),
        Step::Write { file: "a/b".to_owned(), text: "x = 1\n".to_owned() },
    ];
    assert_eq!(steps(&page.replace("```rust", "Else:\n\n```rust")), expected);
    assert_eq!(shape(" token 1779, 12.5s "), "token 0, 0.0s");
}

#[test]
#[should_panic(expected = "ended without saying")]
fn what_a_page_promises_has_to_come() {
    follow("```sh\necho no\n```\n\n```text\nyes\n```\n", &std::env::temp_dir());
}

#[test]
#[should_panic(expected = "it failed")]
fn what_a_page_says_to_type_has_to_work() {
    follow("```sh\nfalse\n```\n", &std::env::temp_dir());
}
