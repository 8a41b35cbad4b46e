//! Values that come from the command line or the standard input.

use crate::exit::{Failure, IO};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStringExt;
use tokio::io::AsyncReadExt;

/// A value as given, or what the standard input says if it is `-` or not given; `limit` bytes at most.
pub(crate) async fn bytes(given: Option<OsString>, what: &str, limit: usize) -> Result<Vec<u8>, Failure> {
    match given {
        Some(given) if given != "-" => Ok(given.into_vec()),
        _ => read(what, limit).await,
    }
}

async fn read(what: &str, limit: usize) -> Result<Vec<u8>, Failure> {
    if io::stdin().is_terminal() {
        let _ = writeln!(io::stderr(), "linchpin: reading the {what} from the terminal; end it with Ctrl-D");
    }
    let mut bytes = Vec::new();
    // One byte more, to know that it is too many.
    let room = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = tokio::io::stdin().take(room).read_to_end(&mut bytes).await;
    read.map_err(|error| Failure::new(IO, format!("cannot read the {what} from the standard input: {error}")))?;
    if bytes.len() > limit {
        return Err(Failure::invalid(format!("the {what} on the standard input is longer than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_given_is_taken_as_it_is() {
        let given = OsString::from_vec(vec![0xff, b'x']);
        assert_eq!(bytes(Some(given), "value", 1).await.expect("given"), [0xff, b'x']);
    }
}
