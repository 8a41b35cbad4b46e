//! Cleans up after a test process that could not do so itself.

use std::process::{Child, Command, Stdio};

/// A shell that waits for the end of its standard input, which is ours, and then runs a script. The system
/// closes it however this process ends, SIGKILL included. Dropped, the guard ends without running it.
///
/// Not `setpriv --pdeathsig`: that is Linux only, knows no containers, and fires when the thread that
/// started the server ends, although other tests may use that server still.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    /// Runs `script`, with `args` as `$1`, `$2`.., if this process ends while the guard is held.
    pub(super) fn set(script: &str, args: &[&str]) -> Result<Self, String> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("read -r _; {script}"), "linchpin-guard"]).args(args);
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        detach(&mut command);
        command.spawn().map(Self).map_err(|error| format!("cannot run sh: {error}"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keeps a terminal's Ctrl-C from the child: it would end the guard along with the test process.
pub(super) fn detach(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}
