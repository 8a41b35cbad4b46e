//! A crate outside of this workspace, as a user has one.

use crate::cargo;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A crate in a folder of its own, which is removed with it.
pub struct OutsideCrate(TempDir);

impl OutsideCrate {
    /// One without files yet, but with the versions that were fetched for this workspace: so it needs no network.
    ///
    /// # Errors
    ///
    /// If there is no room for it.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::copy(repository().join("Cargo.lock"), folder.path().join("Cargo.lock"))?;
        Ok(Self(folder))
    }

    /// Where this is in its folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Writes a file, and makes the folders that it is in.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap_or(self.0.path()))?;
        fs::write(path, text)
    }

    /// Cargo, run there. All of them build in one place, and what they build has no debug information.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = cargo();
        cargo.args([subcommand, "--offline", "--color", "never"]).current_dir(self.0.path());
        cargo.env("CARGO_TARGET_DIR", repository().join("target/stranger")).env("CARGO_PROFILE_DEV_DEBUG", "false");
        cargo
    }
}

/// Where this workspace is.
pub fn repository() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}
