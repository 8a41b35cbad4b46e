//! The examples of this workspace.

use std::io;
use std::path::PathBuf;
use tokio::process::Command;

/// Builds an example and says where it is. It is built as all the workspace's tests are, so that it is there after them:
/// its package alone would be compiled once more, with all that it depends on.
///
/// # Errors
///
/// If it does not compile.
pub async fn example(name: &str) -> io::Result<PathBuf> {
    let arguments = ["build", "--quiet", "--workspace", "--all-features", "--example", name];
    let built = Command::new(env!("CARGO")).args(arguments).status().await?;
    if !built.success() {
        return Err(io::Error::other(format!("the example {name} does not compile: {built}")));
    }
    // This is a test, in the folder beside theirs.
    let mut path = std::env::current_exe()?;
    path.pop();
    path.set_file_name("examples");
    Ok(path.join(name))
}
