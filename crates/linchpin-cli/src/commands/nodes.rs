//! `linchpin nodes`: who is there.

use crate::exit::Failure;
use crate::global::Global;
use crate::output::{bytes_in_line, object, one_line, put_bytes, table};
use linchpin::{DEFAULT_GROUP, Member};
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Print the nodes that are alive
///
/// Those that registered through the library: with `register_node`, or as members of a group. A node that died is gone
/// after its TTL.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The group of members; `default` has those of `register_node`
    #[arg(long, default_value = DEFAULT_GROUP)]
    group: String,
}

const EXAMPLES: &str = "\
Examples:
  linchpin nodes
  linchpin nodes --group workers --output json | jq -r .node";

pub(crate) async fn run(global: &Global, args: Args) -> Result<ExitCode, Failure> {
    let members = global.connect().await?.members(args.group).list().await?;
    if global.is_json() {
        for member in &members {
            global.print_json(told(member)).await?;
        }
    } else if !members.is_empty() {
        let rows: Vec<_> = members.iter().map(row).collect();
        let titles = ["NODE", "JOINED", "CAPABILITIES", "METADATA"];
        global.print(|| table(global.title_style(), titles, &rows), Map::new).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(member: &Member) -> Map<String, Value> {
    let mut told = object([
        ("node", member.id.as_str().into()),
        ("joined", member.joined.0.into()),
        ("capabilities", member.capabilities.clone().into()),
    ]);
    put_bytes(&mut told, "metadata", &member.metadata);
    told
}

fn row(member: &Member) -> [String; 4] {
    [
        one_line(member.id.as_str()),
        member.joined.to_string(),
        one_line(&member.capabilities.join(",")),
        bytes_in_line(&member.metadata),
    ]
}
