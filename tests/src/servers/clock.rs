//! A server's own clock, which a test may step while the server runs.

use super::folder::Folder;
use super::{Software, unique_name};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process::Stdio;

const LIBRARY: &str = "clock.so";
const AHEAD: &str = "ahead";

/// Whose time a server goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// The machine's.
    Machines,
    /// The machine's until it is stepped, where the system can do that.
    Own,
}

/// A folder with a library that tells a program its own time, and how far that is ahead of the machine's.
pub(super) struct Clock(Folder);

impl Clock {
    /// Makes one for a server that is to have its own, on Linux: elsewhere nothing is preloaded.
    pub(super) async fn make<S: Software>(time: Time) -> Result<Option<Self>, String> {
        if time == Time::Machines || !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let clock = Self(Folder::create::<S>(&unique_name::<S>())?);
        let folder = clock.folder();
        fs::write(folder.join(AHEAD), 0_i64.to_ne_bytes()).map_err(|error| format!("cannot set a clock: {error}"))?;
        // Without the C library it is built for any, a container's too.
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/servers/clock.c");
        let compiled = tokio::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-nostdlib", source, "-o"])
            .arg(folder.join(LIBRARY))
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| format!("cannot run cc: {error}"))?;
        if !compiled.status.success() {
            return Err(format!("cc cannot make a clock:\n{}", String::from_utf8_lossy(&compiled.stderr)));
        }
        Ok(Some(clock))
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The variables of a server that finds this folder there.
    pub(super) fn environment(folder: &Path) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", folder.join(LIBRARY).display().to_string()),
            ("LINCHPIN_TEST_CLOCK", folder.join(AHEAD).display().to_string()),
        ]
    }

    /// Steps it by so many microseconds. In one write and in place: the server has the file in its memory.
    pub(super) fn step(&self, by: i64) -> Result<(), String> {
        let step = || {
            let mut file = OpenOptions::new().read(true).write(true).open(self.folder().join(AHEAD))?;
            let mut ahead = [0; size_of::<i64>()];
            file.read_exact(&mut ahead)?;
            file.rewind()?;
            file.write_all(&i64::from_ne_bytes(ahead).saturating_add(by).to_ne_bytes())
        };
        step().map_err(|error: io::Error| format!("cannot step a clock: {error}"))
    }
}
