//! The signals that ask a process to end, or that a program gives a meaning of its own.

use futures::future::select_all;
use rustix::process::Signal;
use std::io;
use tokio::signal::unix::{self, SignalKind};

/// Each would end a process that does not catch it, and leave what it held to its TTL.
const CAUGHT: [Signal; 5] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2];

/// Whether a signal asks whoever catches it to end. The others many programs take for something else: to read their
/// settings again, to tell how far they are.
pub(crate) fn asks_to_end(signal: Signal) -> bool {
    signal == Signal::INT || signal == Signal::TERM
}

/// Catches these signals; what the caller ignores stays ignored, as `nohup` and `&` in a script want it.
pub(crate) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let ignored = std::fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status));
        let heard = CAUGHT.into_iter().filter(|signal| ignored & (1 << (signal.as_raw() - 1)) == 0);
        let catch = |signal: Signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        heard.map(catch).collect::<io::Result<_>>().map(Self)
    }

    /// The next of them.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Signal {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        select_all(self.0.iter_mut().map(|(signal, caught)| Box::pin(came(*signal, caught)))).await.0
    }
}

async fn came(signal: Signal, caught: &mut unix::Signal) -> Signal {
    if caught.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
    signal
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
