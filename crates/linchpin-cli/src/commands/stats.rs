//! `linchpin stats`: the backend and the cluster.

use crate::exit::{Failure, SOFTWARE};
use crate::global::Global;
use crate::output::{object, one_line};
use linchpin::{Capabilities, CoordinationStats};
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Print what the backend is and promises, and what the cluster looks like
///
/// With --output json every capability: what a transaction may span, how exact a TTL is, what survives a restart.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

const EXAMPLES: &str = "\
Examples:
  linchpin stats
  linchpin stats --output json | jq .capabilities.durability";

pub(crate) async fn run(global: &Global, Args {}: Args) -> Result<ExitCode, Failure> {
    let coordinator = global.connect().await?;
    let stats = coordinator.stats().await?;
    let capabilities = coordinator.driver().capabilities();
    if global.is_json() {
        global.print_json(told(&stats, capabilities)?).await?;
    } else {
        global.print(|| described(&stats, capabilities), Map::new).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(stats: &CoordinationStats, capabilities: &Capabilities) -> Result<Map<String, Value>, Failure> {
    let promised = serde_json::to_value(capabilities);
    let promised = promised.map_err(|error| Failure::new(SOFTWARE, format!("the capabilities: {error}")))?;
    Ok(object([
        ("backend", capabilities.backend.as_str().into()),
        ("version", capabilities.version.as_str().into()),
        ("latency_ms", latency(stats).parse::<f64>().ok().into()),
        ("nodes", stats.cluster_size.into()),
        ("leader", stats.current_leader.clone().into()),
        ("degraded", stats.metadata.get("degraded").cloned().into()),
        ("capabilities", promised),
    ]))
}

fn described(stats: &CoordinationStats, capabilities: &Capabilities) -> String {
    let durability = &capabilities.durability;
    let survives = match (durability.survives_restart, durability.survives_power_loss) {
        (_, true) => "restart and loss of power",
        (true, false) => "restart",
        (false, false) => "nothing",
    };
    let mut lines = vec![
        format!("backend   {}", one_line(&capabilities.version)),
        format!("latency   {} ms", latency(stats)),
        format!("nodes     {}", stats.cluster_size),
        format!("leader    {}", stats.current_leader.as_deref().map_or_else(|| "nobody".to_owned(), one_line)),
        format!("survives  {survives}: {}", one_line(&durability.why)),
    ];
    lines.extend(stats.metadata.get("degraded").map(|reasons| format!("degraded  {}", one_line(reasons))));
    lines.join("\n")
}

fn latency(stats: &CoordinationStats) -> &str {
    stats.metadata.get("latency_ms").map_or("", String::as_str)
}
