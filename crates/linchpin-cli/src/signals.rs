//! The signals that ask a process to end.

use rustix::process::Signal;
use std::io;
use tokio::signal::unix::{self, SignalKind};

/// Catches SIGINT, SIGTERM and SIGHUP; what the caller ignores stays ignored, as `nohup` and `&` in a script want it.
pub(crate) struct Signals([(Signal, Option<unix::Signal>); 3]);

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let ignored = std::fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status));
        let catch = |signal: Signal| {
            let is_ignored = ignored & (1 << (signal.as_raw() - 1)) != 0;
            let caught = (!is_ignored).then(|| unix::signal(SignalKind::from_raw(signal.as_raw())));
            Ok::<_, io::Error>((signal, caught.transpose()?))
        };
        Ok(Self([catch(Signal::INT)?, catch(Signal::TERM)?, catch(Signal::HUP)?]))
    }

    /// The next of them.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Signal {
        let [(first, a), (second, b), (third, c)] = &mut self.0;
        tokio::select! {
            () = came(a) => *first,
            () = came(b) => *second,
            () = came(c) => *third,
        }
    }
}

async fn came(caught: &mut Option<unix::Signal>) {
    if let Some(caught) = caught
        && caught.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// The signals that this process was started to ignore, one bit each; Linux tells them, others do not.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read() {
        assert_eq!(ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored("nothing of the kind"), 0);
    }
}
