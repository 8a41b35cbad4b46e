//! How commands and snapshots are written down: a line that says what it is and in which version, then the thing itself as
//! postcard writes it.

use linchpin_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the format that this build writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;

pub(crate) fn encode<T: Serialize>(what: &'static str, body: &T) -> Result<Vec<u8>> {
    let header = format!("linchpin {what} {FORMAT_VERSION}\n");
    postcard::to_extend(body, header.into_bytes())
        .map_err(|error| Error::new(ErrorKind::Backend, what, "it cannot be encoded").with_source(error))
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    let unreadable = |problem| Error::new(ErrorKind::Backend, what, problem);
    let Some((version, body)) = version_of(what, bytes) else {
        return Err(unreadable(format!("these bytes are no linchpin {what}")));
    };
    if version != FORMAT_VERSION {
        let problem = format!("it has format version {version}; this build reads version {FORMAT_VERSION} only");
        return Err(Error::new(ErrorKind::Unsupported, what, problem));
    }
    match postcard::take_from_bytes(body) {
        Ok((body, [])) => Ok(body),
        Ok(_) => Err(unreadable("it is damaged: more follows than belongs to it".to_owned())),
        // The error is not kept as a source: it may quote what it could not read, so a user's data.
        Err(_) => Err(unreadable("it is damaged".to_owned())),
    }
}

/// What stands in the first line, and what follows it.
fn version_of<'a>(what: &str, bytes: &'a [u8]) -> Option<(u32, &'a [u8])> {
    let rest = bytes.strip_prefix(b"linchpin ")?.strip_prefix(what.as_bytes())?.strip_prefix(b" ")?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    Some((str::from_utf8(&rest[..end]).ok()?.parse().ok()?, &rest[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn every_byte_comes_back_and_takes_no_more_than_itself() {
        let bytes = Bytes::from((0..=255).collect::<Vec<u8>>().repeat(10));
        let encoded = encode("test", &bytes).expect("encodes");
        assert!(encoded.len() < bytes.len() + 40, "{} of {}", encoded.len(), bytes.len());
        assert_eq!(decode::<Bytes>("test", &encoded).expect("decodes"), bytes);
    }

    #[test]
    fn what_is_not_ours_or_damaged_is_refused_without_quoting_it() {
        let encoded = encode("test", &("canary".to_owned(), 7)).expect("encodes");
        for (bytes, word) in [
            (b"".to_vec(), "no linchpin test"),
            (b"canary".to_vec(), "no linchpin test"),
            (b"linchpin other 1\n\x06canary\x07".to_vec(), "no linchpin test"),
            (b"linchpin test 2\n\x06canary\x07".to_vec(), "version 2"),
            (b"linchpin test 1\n\x09canary\x07".to_vec(), "damaged"),
            (encoded[..encoded.len() - 2].to_vec(), "damaged"),
            ([encoded.as_slice(), b"0"].concat(), "damaged"),
        ] {
            let error = decode::<(String, u32)>("test", &bytes).expect_err(word);
            assert!(error.to_string().contains(word), "{error}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
