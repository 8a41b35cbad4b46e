//! A main for trying `linchpin bench` alone. The command's own takes its place: what `bench` uses of it is here by
//! the same names, and no more.

#![allow(clippy::unused_self, clippy::unnecessary_wraps, clippy::unused_async)]

mod bench;

use clap::Parser;
use std::process::ExitCode;

#[derive(Debug, clap::Parser)]
#[command(name = "linchpin", version)]
struct Cli {
    #[command(flatten)]
    options: global::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Bench(bench::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { options, command: Command::Bench(args) } = Cli::parse();
    match bench::run(&global::Global::new(options), args).await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("linchpin: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

mod exit {
    use std::io;

    pub(crate) const INVALID: u8 = 64;
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

        pub(crate) fn of_signal((): ()) -> Self {
            Self::new(130, "")
        }
    }

    impl From<linchpin::Error> for Failure {
        fn from(error: linchpin::Error) -> Self {
            Self::new(SOFTWARE, error.to_string())
        }
    }

    impl From<io::Error> for Failure {
        fn from(error: io::Error) -> Self {
            Self::new(IO, format!("cannot write the output: {error}"))
        }
    }
}

mod global {
    use crate::exit::Failure;
    use clap::builder::styling::Style;
    use serde_json::{Map, Value};
    use std::io::IsTerminal;

    #[derive(Debug, clap::Args)]
    pub(crate) struct Options {
        /// The backend
        #[arg(long, env = "LINCHPIN_URL", hide_env_values = true, value_name = "URL", global = true)]
        url: Option<String>,
        /// Print JSON
        #[arg(long, global = true)]
        output_json: bool,
    }

    pub(crate) struct Global(Options);

    impl Global {
        pub(crate) fn new(options: Options) -> Self {
            Self(options)
        }

        pub(crate) fn url(&self) -> Option<&str> {
            self.0.url.as_deref()
        }

        pub(crate) fn take_signals(&self) -> impl Drop {
            struct Taken;
            impl Drop for Taken {
                fn drop(&mut self) {}
            }
            Taken
        }

        pub(crate) async fn print(
            &self,
            text: impl FnOnce() -> String,
            json: impl FnOnce() -> Map<String, Value>,
        ) -> Result<(), Failure> {
            println!("{}", if self.0.output_json { Value::Object(json()).to_string() } else { text() });
            Ok(())
        }

        pub(crate) fn title_style(&self) -> Style {
            if std::io::stdout().is_terminal() { Style::new().bold() } else { Style::new() }
        }
    }
}

mod signals {
    use std::io;

    pub(crate) struct Signals;

    impl Signals {
        pub(crate) fn catch() -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) async fn next(&mut self) {
            // An error: then it cannot be interrupted.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
