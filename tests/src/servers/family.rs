//! A process along with its children: Postgres serves each connection by one, in a session of its own that no
//! signal to a group of processes reaches.

use std::process::{Command, Stdio};

/// Shell functions. A stopped process starts no others, so none is missed; one that has ended, and was not waited
/// for, still has its number.
const FAMILY: &str = r#"
# A process's state, its parent and so on, where the system has /proc.
stat() { # PID
    read -r stat <"/proc/$1/stat" && stat=${stat##*) }
}
family() { # PID: stops it, and prints its children and it
    kill -s STOP "$1" || return
    while stat "$1"; do case $stat in [TtZX]*) break ;; *) sleep 0.01 ;; esac; done
    if stat "$1"; then
        for other in /proc/[0-9]*; do
            other=${other#/proc/}
            if stat "$other"; then case $stat in "${stat%% *} $1 "*) echo "$other" ;; esac; fi
        done
    else
        ps -A -o ppid= -o pid= | while read -r parent other; do if [ "$parent" = "$1" ]; then echo "$other"; fi; done
    fi
    echo "$1"
}
orphaned() { # PID PARENT: waits until it has another parent, as the system wakes the stopped children of one that ends
    while stat "$1"; do case $stat in [A-Za-z]" $2 "*) sleep 0.01 ;; *) break ;; esac; done
}
end() { # PID: kills it and its children, and returns once their memory and their files are free
    ended=$(family "$1") && kill -s KILL $ended
    for other in $ended; do
        while stat "$other"; do case $stat in [ZX]*) break ;; *) sleep 0.01 ;; esac; done
    done
}
"#;

/// A script with the functions before it.
pub(super) fn script(rest: &str) -> String {
    format!("{FAMILY}\n{rest}")
}

/// Stops a process of ours, and tells it and its children, which come first.
pub(super) async fn family(pid: u32) -> Result<Vec<u32>, String> {
    let told = tokio::process::Command::from(shell(r#"family "$1""#, pid))
        .output()
        .await
        .map_err(|error| format!("cannot run sh: {error}"))?;
    if !told.status.success() {
        return Err(format!("cannot stop process {pid}: {}", told.status));
    }
    Ok(String::from_utf8_lossy(&told.stdout).lines().filter_map(|pid| pid.parse().ok()).collect())
}

/// Kills a process of ours and its children, and returns once they are gone. The process is left to be waited for.
pub(super) fn end(pid: u32) {
    let _ = shell(r#"end "$1""#, pid).status();
}

fn shell(call: &str, pid: u32) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &script(call), "linchpin-family", &pid.to_string()]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}
