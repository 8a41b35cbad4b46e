//! A main for trying `linchpin bench` alone; the command's own takes its place.

mod bench;

use clap::Parser;
use std::fmt;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "linchpin", version)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
pub(crate) struct Global {
    /// The backend
    #[arg(long, global = true, env = "LINCHPIN_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// Print in colour
    #[arg(long, global = true)]
    pub(crate) color: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Measure the port against the raw client
    Bench(bench::Args),
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let Command::Bench(args) = cli.command;
    bench::run(&cli.global, args).await.unwrap_or_else(|failure| {
        eprintln!("linchpin: {failure}");
        ExitCode::from(2)
    })
}
