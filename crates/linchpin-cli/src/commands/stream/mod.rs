//! `linchpin stream`: records that stay until they are trimmed.

mod append;
mod claim;
mod inspect;
mod receipt;
mod remove_group;
mod settle;
mod trim;

use crate::exit::Failure;
use crate::global::Global;
use linchpin::{Area, GroupName, StreamName};
use std::process::ExitCode;

/// Work with durable streams: append, claim, ack, inspect, trim, remove-group
///
/// Records stay in a stream until it is trimmed, and what a group has not settled is not trimmed. Within a group a record
/// is one member's alone, from its claim until it is settled (ack, retry, reject) or its visibility time has passed: then it
/// is delivered again. What is rejected, or was delivered too often, goes to the group's dead letters, which are a stream of
/// their own.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  linchpin stream append orders 'pay order 7' --id order-7
  linchpin stream claim orders --group billing --wait 1m
  linchpin stream ack RECEIPT
  linchpin stream inspect orders";

#[derive(Debug, clap::Subcommand)]
enum Command {
    Append(append::Args),
    Claim(claim::Args),
    Ack(settle::AckArgs),
    Retry(settle::RetryArgs),
    Extend(settle::ExtendArgs),
    Reject(settle::RejectArgs),
    Inspect(inspect::Args),
    Trim(trim::Args),
    RemoveGroup(remove_group::Args),
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Append(args) => append::run(global, args).await,
        Command::Claim(args) => claim::run(global, args).await,
        Command::Ack(args) => settle::ack(global, args).await,
        Command::Retry(args) => settle::retry(global, args).await,
        Command::Extend(args) => settle::extend(global, args).await,
        Command::Reject(args) => settle::reject(global, args).await,
        Command::Inspect(args) => inspect::run(global, args).await,
        Command::Trim(args) => trim::run(global, args).await,
        Command::RemoveGroup(args) => remove_group::run(global, args).await,
    }
}

/// What the user calls a stream.
fn shown(stream: &StreamName) -> String {
    let stored = stream.to_string();
    stored.strip_prefix(Area::USER.prefix()).unwrap_or(&stored).to_owned()
}

/// Which stream is meant.
#[derive(Debug, clap::Args)]
struct Which {
    /// The stream
    stream: String,
    /// Not the stream itself, but what this group of it rejected or failed too often
    #[arg(long, value_name = "GROUP")]
    dead_letters: Option<String>,
}

impl Which {
    fn name(&self) -> Result<StreamName, Failure> {
        let stream = Area::USER.stream(&self.stream)?;
        Ok(match &self.dead_letters {
            Some(group) => stream.dead_letters(&GroupName::new(group)?),
            None => stream,
        })
    }
}
