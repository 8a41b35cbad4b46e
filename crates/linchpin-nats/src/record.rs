//! A record in its message.

use crate::codec::{Time, last};
use crate::names::{name_of_token, token};
use async_nats::HeaderMap;
use base64::Engine as _;
use bytes::{BufMut, Bytes, BytesMut};
use linchpin_core::Record;
use std::time::Duration;

/// The server appends a message with the same id in this header once per dedupe window.
const UNIQUE: &str = "Nats-Msg-Id";
/// The id of a record that may be there several times: a dead letter.
const ID: &str = "Linchpin-Id";
/// For how many microseconds the record is held back.
const DELAY: &str = "Linchpin-Delay";
/// How many bytes in front of the payload are the record's headers. They stand there because the server's own
/// headers cannot hold every text, and not more than 64 KiB.
const HEAD: &str = "Linchpin-Head";

/// Whether a record is the only one of its id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    One,
    Many,
}

/// Writes a record as a message's headers and payload.
pub(crate) fn encode(record: &Record, copies: Copies) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    if let Some(id) = &record.id {
        headers.insert(if copies == Copies::One { UNIQUE } else { ID }, token(id));
    }
    if let Some(delay) = record.delay {
        headers.insert(DELAY, delay.as_micros().to_string());
    }
    if record.headers.is_empty() {
        return (headers, record.payload.clone());
    }
    let mut body = BytesMut::with_capacity(record.size() + 8 * record.headers.len());
    for text in record.headers.iter().flat_map(|(name, value)| [name, value]) {
        body.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        body.put_slice(text.as_bytes());
    }
    headers.insert(HEAD, body.len().to_string());
    body.put_slice(&record.payload);
    (headers, body.freeze())
}

/// Reads a record. A message that linchpin did not write is a record without headers.
pub(crate) fn decode(headers: &HeaderMap, body: &Bytes) -> Record {
    let number = |name| last(headers, name).and_then(|text| text.parse::<u64>().ok());
    let id = last(headers, ID).or_else(|| last(headers, UNIQUE));
    let head = number(HEAD).and_then(|head| usize::try_from(head).ok()).filter(|head| *head <= body.len());
    let read = head.and_then(|head| Some((read_head(&body[..head])?, body.slice(head..))));
    let (texts, payload) = read.unwrap_or_else(|| (Vec::new(), body.clone()));
    Record {
        payload,
        id: id.map(|id| name_of_token(id).unwrap_or_else(|| id.to_owned())),
        headers: texts,
        delay: number(DELAY).map(Duration::from_micros),
    }
}

fn read_head(mut head: &[u8]) -> Option<Vec<(String, String)>> {
    let mut text = || {
        let (length, rest) = head.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        head = rest;
        String::from_utf8(text.to_vec()).ok()
    };
    let mut headers = Vec::new();
    while let Some(name) = text() {
        headers.push((name, text()?));
    }
    head.is_empty().then_some(headers)
}

/// When a record may be delivered that was stored then; `None` if it is not held back.
pub(crate) fn due(record: &Record, stored: Time) -> Option<Time> {
    record.delay.filter(|delay| !delay.is_zero()).map(|delay| stored.after(delay))
}

/// Any text in the characters of a word.
pub(crate) fn word(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The text of a [`word`].
pub(crate) fn of_word(word: &str) -> Option<String> {
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(word).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_comes_back() {
        let hard = Record::new(vec![0, 255])
            .with_header("", "a\r\nb: \u{1f980}")
            .with_header("b", "")
            .with_header("b", "again")
            .with_delay(Duration::from_micros(7));
        let named = Record::new("").with_id("é\n=:").expect("valid");
        for record in [Record::new("x"), hard, named] {
            for copies in [Copies::One, Copies::Many] {
                let (headers, body) = encode(&record, copies);
                assert_eq!(decode(&headers, &body), record);
                assert_eq!(headers.get(UNIQUE).is_some(), record.id.is_some() && copies == Copies::One);
            }
        }
    }

    #[test]
    fn what_others_wrote_is_a_payload() {
        for head in ["", "9", "4", "x"] {
            let mut headers = HeaderMap::new();
            headers.insert(HEAD, head);
            let record = decode(&headers, &Bytes::from_static(b"\0\0\0\x05x"));
            assert_eq!((record.payload.len(), record.headers.len()), (5, 0), "{head:?}");
        }
    }

    #[test]
    fn a_delay_counts_from_when_the_record_was_stored() {
        let record = Record::new("x").with_delay(Duration::from_micros(7));
        assert_eq!(due(&record, Time(3)), Some(Time(10)));
        assert_eq!(due(&Record::new("x").with_delay(Duration::ZERO), Time(3)), None);
    }
}
