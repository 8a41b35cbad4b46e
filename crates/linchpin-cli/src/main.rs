//! Stands in for the real `main.rs` of the `linchpin` command, which another branch has: only what `conformance` needs.

mod conformance;
mod page;

mod exit {
    pub(crate) const ABSENT: u8 = 1;
    pub(crate) const INVALID: u8 = 64;
    pub(crate) const UNAVAILABLE: u8 = 69;
    pub(crate) const SOFTWARE: u8 = 70;
    pub(crate) const IO: u8 = 74;

    #[derive(Debug)]
    pub(crate) struct Failure {
        pub(crate) code: u8,
        pub(crate) message: String,
    }

    impl Failure {
        pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
            Self { code, message: message.into() }
        }
        pub(crate) fn invalid(message: impl Into<String>) -> Self {
            Self::new(INVALID, message)
        }
        pub(crate) fn of_signal(signal: rustix::process::Signal) -> Self {
            Self::new(128 + u8::try_from(signal.as_raw()).unwrap_or_default(), "")
        }
    }

    impl From<linchpin::Error> for Failure {
        fn from(error: linchpin::Error) -> Self {
            let invalid = error.kind() == linchpin::ErrorKind::InvalidArgument;
            Self::new(if invalid { INVALID } else { UNAVAILABLE }, error.to_string())
        }
    }

    impl From<std::io::Error> for Failure {
        fn from(error: std::io::Error) -> Self {
            Self::new(IO, error.to_string())
        }
    }
}

mod output {
    use std::io::{self, Write};

    #[expect(clippy::unused_async, reason = "the real one is asynchronous")]
    pub(crate) async fn write(bytes: &[u8]) -> io::Result<()> {
        io::stdout().write_all(bytes)
    }

    pub(crate) fn one_line(text: &str) -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

mod signals {
    use rustix::process::Signal;

    pub(crate) struct Signals(tokio::signal::unix::Signal);

    impl Signals {
        pub(crate) fn catch() -> std::io::Result<Self> {
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).map(Self)
        }
        pub(crate) async fn next(&mut self) -> Signal {
            self.0.recv().await;
            Signal::INT
        }
    }
}

#[expect(clippy::unused_self, reason = "the real one has what it needs in itself")]
mod global {
    use clap::builder::styling::Style;
    use std::io::IsTerminal;

    pub(crate) struct Voice;

    impl Voice {
        pub(crate) fn warn(self, message: &str) {
            eprintln!("linchpin: {message}");
        }
    }

    pub(crate) struct Global {
        pub(crate) url: Option<String>,
        pub(crate) is_json: bool,
    }

    impl Global {
        pub(crate) fn url(&self) -> Option<&str> {
            self.url.as_deref()
        }
        pub(crate) fn is_json(&self) -> bool {
            self.is_json
        }
        pub(crate) fn voice(&self) -> Voice {
            Voice
        }
        pub(crate) fn title_style(&self) -> Style {
            if std::io::stdout().is_terminal() { Style::new().bold() } else { Style::new() }
        }
        pub(crate) fn take_signals(&self) -> impl Drop + use<> {
            struct Taken;
            impl Drop for Taken {
                fn drop(&mut self) {}
            }
            Taken
        }
    }
}

use clap::Parser;
use std::process::ExitCode;

#[derive(clap::Parser)]
struct Cli {
    #[arg(long, env = "LINCHPIN_URL", hide_env_values = true, global = true)]
    url: Option<String>,
    #[arg(long, global = true)]
    output: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Conformance(conformance::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { url, output, command: Command::Conformance(args) } = Cli::parse();
    let global = global::Global { url, is_json: output.as_deref() == Some("json") };
    match conformance::run(&global, args).await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("linchpin: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
