//! `linchpin health`: whether the backend is fit.

use crate::exit::{ABSENT, Failure, INVALID};
use crate::global::Global;
use crate::output::{object, one_line};
use std::process::ExitCode;

/// Say whether the backend answers, and as it should
///
/// Exit code 0 if it does; 1 if it does not answer, or took longer than 250 ms, or says that it may refuse writes or drop
/// keys, or that copies of its data are behind. For a load balancer's or container's health check.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

const EXAMPLES: &str = "\
Examples:
  linchpin health
  linchpin health --url nats://localhost:4222 --output json";

pub(crate) async fn run(global: &Global, Args {}: Args) -> Result<ExitCode, Failure> {
    let asked = async { Ok::<_, Failure>(global.connect().await?.driver().health().await?) };
    let (text, json, healthy) = match asked.await {
        // That says nothing of the backend.
        Err(failure) if failure.code == INVALID => return Err(failure),
        Err(failure) => {
            let json = object([("healthy", false.into()), ("error", failure.message.as_str().into())]);
            (format!("not healthy: {}", failure.message), json, false)
        }
        Ok(health) => {
            let milliseconds = health.latency.as_secs_f64() * 1000.0;
            let reasons = health.degraded.join("; ");
            let text =
                if health.is_healthy() { "healthy".to_owned() } else { format!("degraded: {}", one_line(&reasons)) };
            let json = object([
                ("healthy", health.is_healthy().into()),
                ("latency_ms", milliseconds.into()),
                ("degraded", health.degraded.clone().into()),
            ]);
            (format!("{text}, answered in {milliseconds:.1} ms"), json, health.is_healthy())
        }
    };
    global.print(|| text, || json).await?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::from(ABSENT) })
}
