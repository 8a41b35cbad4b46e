//! Signals to processes that a test started.

/// Sends a signal (`STOP`, `CONT`, ...) to a process of ours.
///
/// # Errors
///
/// If there is no such process.
pub async fn signal(pid: u32, signal: &str) -> Result<(), String> {
    // The shell's own kill: there is no other everywhere.
    let sent = tokio::process::Command::new("sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "linchpin-signal", signal, &pid.to_string()])
        .status()
        .await
        .map_err(|error| format!("cannot run sh: {error}"))?;
    if sent.success() { Ok(()) } else { Err(format!("cannot send {signal} to process {pid}: {sent}")) }
}
