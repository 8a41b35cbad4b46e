//! `linchpin keys`: which keys there are.

use crate::exit::Failure;
use crate::global::Global;
use crate::output::{object, one_line};
use std::process::ExitCode;

/// Print the keys that match a pattern, ascending, a line each
///
/// Reads every key that starts with what the pattern starts with, so give it a start. In text, characters that would
/// end the line or steer the terminal are escaped; --output json has every name as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which: `*` any run of characters, `?` one, `[a-z]` one of these; `\` takes the next as it is
    #[arg(default_value = "*")]
    pattern: String,
}

const EXAMPLES: &str = "\
Examples:
  linchpin keys 'session:*'
  linchpin keys --output json | jq -r .key";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    for key in global.connect().await?.keys(&args.pattern).await? {
        global.print(|| one_line(&key), || object([("key", key.as_str().into())])).await?;
    }
    Ok(ExitCode::SUCCESS)
}
