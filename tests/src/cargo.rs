//! Programs of this workspace that tests run, and Cargo, which builds them.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Cargo, as it is run from a shell.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    from_a_shell(&mut cargo);
    cargo
}

/// Takes from a command's environment what Cargo told this test about its package. A Cargo that runs within would take it
/// for its own: there are build scripts that look at it (`ring` has one), so it would build once more all that depends on
/// them, and so would the next Cargo that runs outside.
pub fn from_a_shell(command: &mut Command) {
    const TOLD: [&str; 7] =
        ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_", "CARGO_CFG_", "OUT_DIR"];
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| TOLD.iter().any(|told| name.starts_with(told))) {
            command.env_remove(name);
        }
    }
}

/// Builds an example and says where it is. It is built as all the workspace's tests are, so that it is there after them:
/// its package alone would be compiled once more, with all that it depends on.
///
/// # Errors
///
/// If it does not compile.
pub fn example(name: &str) -> io::Result<PathBuf> {
    built(&["--example", name], &Path::new("examples").join(name))
}

/// Builds the command and says where it is. It has all features, as all that is built for tests: one more than users
/// install, which counts allocations.
///
/// # Errors
///
/// If it does not compile.
pub fn command() -> io::Result<PathBuf> {
    built(&["--bin", "linchpin"], Path::new("linchpin"))
}

/// Has Cargo build a target of the workspace, and says where the program is that lies there in what the tests are built in.
fn built(target: &[&str], program: &Path) -> io::Result<PathBuf> {
    let status = cargo().args(["build", "--quiet", "--workspace", "--all-features"]).args(target).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("{} does not compile: {status}", program.display())));
    }
    // This is a test, in the folder `deps`.
    let mut path = env::current_exe()?;
    path.pop();
    path.pop();
    Ok(path.join(program))
}
