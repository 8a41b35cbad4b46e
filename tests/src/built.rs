//! Programs of this workspace that tests run.

use std::io;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Builds an example and says where it is. It is built as all the workspace's tests are, so that it is there after them:
/// its package alone would be compiled once more, with all that it depends on.
///
/// # Errors
///
/// If it does not compile.
pub async fn example(name: &str) -> io::Result<PathBuf> {
    built(&["--workspace", "--all-features", "--example", name], &Path::new("examples").join(name)).await
}

/// Has Cargo build what these arguments say, and says where the program is that lies there in what the tests are built in.
///
/// # Errors
///
/// If it does not compile.
pub async fn built(arguments: &[&str], program: &Path) -> io::Result<PathBuf> {
    let status = Command::new(env!("CARGO")).args(["build", "--quiet"]).args(arguments).status().await?;
    if !status.success() {
        return Err(io::Error::other(format!("{} does not compile: {status}", program.display())));
    }
    // This is a test, in the folder `deps`.
    let mut path = std::env::current_exe()?;
    path.pop();
    path.pop();
    Ok(path.join(program))
}
