//! `linchpin man`: the manual.

use crate::cli::Cli;
use crate::exit::{Failure, IO};
use crate::global::Global;
use crate::output;
use clap::CommandFactory;
use clap_mangen::Man;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the man page, or write one per subcommand
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Write linchpin.1, linchpin-lock.1 and so on into this folder, which has to exist
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  linchpin man | man -l -
  mkdir -p ~/.local/share/man/man1
  linchpin man --dir ~/.local/share/man/man1";

pub(crate) async fn run(_: &Global, args: Args) -> Result<ExitCode, Failure> {
    if let Some(dir) = args.dir {
        let written = clap_mangen::generate_to(Cli::command(), &dir);
        written.map_err(|error| Failure::new(IO, format!("cannot write into {}: {error}", dir.display())))?;
    } else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        output::write(&page).await?;
    }
    Ok(ExitCode::SUCCESS)
}
