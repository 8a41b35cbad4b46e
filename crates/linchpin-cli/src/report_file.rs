//! Files that reports are written to.

use crate::exit::{Failure, IO};
use std::fs;
use std::path::Path;

/// Whether it can be written, as far as can be known before: that it cannot should not be told after the run.
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let problem = match fs::metadata(dir) {
        Ok(dir) if !dir.is_dir() => "its directory is none".to_owned(),
        Ok(_) if path.is_dir() => "it is a directory".to_owned(),
        Ok(_) => return Ok(()),
        Err(error) => format!("its directory: {error}"),
    };
    Err(unwritten(path, &problem))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| unwritten(path, &error.to_string()))
}

pub(crate) fn unwritten(path: &Path, problem: &str) -> Failure {
    Failure::new(IO, format!("the report cannot be written to {}: {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_before() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(check(&dir.path().join("r.html")).is_ok() && check(Path::new("r.html")).is_ok());
        let failure = check(&dir.path().join("no/r.html")).expect_err("there is no such directory");
        assert!(failure.code == IO && failure.message.contains("r.html"), "{failure:?}");
        fs::create_dir(dir.path().join("d.html")).expect("is made");
        assert!(check(&dir.path().join("d.html")).is_err());
    }
}
