//! Where a run took place.

use super::PAYLOAD;
use super::report::Facts;
use std::process::{Command, Stdio};

/// The machine and the program; the server's are added where there is one.
pub(crate) fn gather(quick: bool) -> Facts {
    Facts {
        linchpin: env!("CARGO_PKG_VERSION").to_owned(),
        commit: commit(),
        date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        quick,
        release: !cfg!(debug_assertions),
        counts_allocations: cfg!(feature = "count-allocations"),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        processor: processor(),
        payload_bytes: PAYLOAD.len(),
        server: None,
    }
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    Some(if changed { format!("{commit}+") } else { commit })
}

/// As Linux tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches([' ', '\t', ':']).to_owned())
}
