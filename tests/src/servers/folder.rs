//! Folders of servers, and who works in them.

use super::Software;
use super::guard::Guard;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The number of the user and the group called `nobody`, who own nothing else.
#[cfg(unix)]
const NOBODY: u32 = 65534;

/// A folder below the system's temporary one, removed with its content, even if this process is killed.
pub(super) struct Folder {
    path: PathBuf,
    _guard: Guard,
}

impl Folder {
    /// Creates it for a server, and for `nobody` if we are root and the server refuses root.
    pub(super) fn create<S: Software>(name: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(name);
        let text = path.to_str().ok_or_else(|| format!("the path of {} is not UTF-8", path.display()))?;
        let guard = Guard::set(r#"rm -rf "$1""#, &[text])?;
        fs::create_dir(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        let folder = Self { path, _guard: guard };
        if S::REFUSES_ROOT {
            give_away(folder.path()).map_err(|error| format!("cannot give {name} to nobody: {error}"))?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Has what the other one has, with the same owners, and nothing else.
    pub(super) fn take_over(&self, other: &Self) -> Result<(), String> {
        let script = r#"find "$2" -mindepth 1 -delete && cp -a "$1/." "$2""#;
        let mut copying = Command::new("sh");
        copying.args(["-c", script, "sh"]).args([&other.path, &self.path]);
        match copying.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("cannot copy {}: {status}", other.path.display())),
            Err(error) => Err(format!("cannot copy {}: {error}", other.path.display())),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Gives what is root's to `nobody`.
pub(super) fn give_away(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::uid(&fs::metadata(path)?) == 0 {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// A command that works in this folder: as `nobody` where it is theirs, else as we.
pub(super) fn command_in(folder: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    #[cfg(unix)]
    if fs::metadata(folder).is_ok_and(|folder| std::os::unix::fs::MetadataExt::uid(&folder) == NOBODY) {
        std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
        std::os::unix::process::CommandExt::gid(&mut command, NOBODY);
    }
    command
}
