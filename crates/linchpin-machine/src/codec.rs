//! How commands and snapshots are written down: a line that says what it is and in which version, then
//! the thing itself.
//!
//! Both are JSON as `serde_json` reads it. Byte strings stand between quotes as they are, with only `"`
//! and `\` escaped: an array of numbers would make every value four times as large.

use linchpin_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;
use std::io;

/// The version of the format that this build writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    linchpin: String,
    version: u32,
}

/// Writes bytes as text between quotes; everything else as `serde_json` does.
struct RawBytes;

impl Formatter for RawBytes {
    fn write_byte_array<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        writer.write_all(b"\"")?;
        for run in value.split_inclusive(|byte| matches!(byte, b'"' | b'\\')) {
            match run {
                [plain @ .., special @ (b'"' | b'\\')] => {
                    writer.write_all(plain)?;
                    writer.write_all(&[b'\\', *special])?;
                }
                plain => writer.write_all(plain)?,
            }
        }
        writer.write_all(b"\"")
    }
}

pub(crate) fn encode<T: Serialize>(what: &'static str, body: &T) -> Result<Vec<u8>> {
    let unwritable = |error| Error::new(ErrorKind::Backend, what, "it cannot be encoded").with_source(error);
    let header = Header { linchpin: what.to_owned(), version: FORMAT_VERSION };
    let mut bytes = serde_json::to_vec(&header).map_err(unwritable)?;
    bytes.push(b'\n');
    body.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, RawBytes)).map_err(unwritable)?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let header = Header::deserialize(&mut reader).ok().filter(|header| header.linchpin == what);
    let Some(header) = header else { return Err(unreadable(what, format!("these bytes are no linchpin {what}"))) };
    if header.version != FORMAT_VERSION {
        let found = header.version;
        let problem = format!("it has format version {found}; this build reads version {FORMAT_VERSION} only");
        return Err(Error::new(ErrorKind::Unsupported, what, problem));
    }
    let body = T::deserialize(&mut reader).and_then(|body| reader.end().map(|()| body));
    // The error is not kept as a source: it may quote what it could not read, so a user's data.
    body.map_err(|error| unreadable(what, format!("it is damaged at line {}, column {}", error.line(), error.column())))
}

fn unreadable(what: &'static str, problem: String) -> Error {
    Error::new(ErrorKind::Backend, what, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn every_byte_comes_back_and_takes_two_at_most() {
        let all: Vec<u8> = (0..=255).chain("\\\"\"\\\\u0041\\n".bytes()).collect();
        let bytes = Bytes::from(all.repeat(10));
        let encoded = encode("test", &bytes).expect("encodes");
        assert!(encoded.len() < bytes.len() + bytes.len() / 10 + 100, "{} of {}", encoded.len(), bytes.len());
        assert_eq!(decode::<Bytes>("test", &encoded).expect("decodes"), bytes);
    }

    #[test]
    fn what_is_not_ours_or_damaged_is_refused_without_quoting_it() {
        let encoded = encode("test", &("canary".to_owned(), 7)).expect("encodes");
        for (bytes, word) in [
            (b"".to_vec(), "no linchpin test"),
            (b"canary".to_vec(), "no linchpin test"),
            (b"{\"linchpin\":\"other\",\"version\":1}\n\"canary\"".to_vec(), "no linchpin test"),
            (b"{\"linchpin\":\"test\",\"version\":2}\n\"canary\"".to_vec(), "version 2"),
            (b"{\"linchpin\":\"test\",\"version\":1}\n\"canary\"".to_vec(), "damaged at line 2"),
            (encoded[..encoded.len() - 2].to_vec(), "damaged"),
            ([encoded.as_slice(), b"0"].concat(), "damaged"),
        ] {
            let error = decode::<(String, u32)>("test", &bytes).expect_err(word);
            assert!(error.to_string().contains(word), "{error}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
