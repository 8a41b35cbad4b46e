//! Signals to processes that a test started.

use std::path::Path;
use std::time::{Duration, Instant};

/// Sends a signal (`STOP`, `CONT`, ...) to a process of ours. Where the system tells, a process that is sent `STOP` stands
/// still once this returns: until its turn comes to take the signal its threads go on.
///
/// # Errors
///
/// If there is no such process, or it does not stop.
pub async fn signal(pid: u32, signal: &str) -> Result<(), String> {
    // The shell's own kill: there is no other everywhere.
    let sent = tokio::process::Command::new("sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "linchpin-signal", signal, &pid.to_string()])
        .status()
        .await
        .map_err(|error| format!("cannot run sh: {error}"))?;
    if !sent.success() {
        return Err(format!("cannot send {signal} to process {pid}: {sent}"));
    }
    if signal == "STOP" { stopped(pid).await } else { Ok(()) }
}

async fn stopped(pid: u32) -> Result<(), String> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let deadline = Instant::now() + Duration::from_secs(10);
    // Without /proc nobody tells.
    while let Ok(threads) = std::fs::read_dir(&tasks) {
        // What has ended meanwhile stands still too.
        let threads = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
        let state = |stat: String| stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        if threads.filter_map(state).all(|state| matches!(state, 'T' | 't' | 'Z' | 'X')) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("process {pid} was sent STOP and goes on"));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
