//! Records as they travel: their headers are JSON in ASCII.

use linchpin_adapter::records::Death;
use linchpin_core::{Error, Position, Record, Result};
use serde::Deserialize;
use std::fmt::Write;

/// Headers as JSON; `None` without any.
pub(crate) fn write_headers(record: &Record) -> Option<String> {
    let pair = |(name, value): &(String, String)| format!("[{},{}]", write_text(name), write_text(value));
    let pairs: Vec<_> = record.headers.iter().map(pair).collect();
    (!pairs.is_empty()).then(|| format!("[{}]", pairs.join(",")))
}

/// Text as JSON, in ASCII: then it is no matter in which encoding the database has its text.
pub(crate) fn write_text(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            ' '..='~' => json.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
        }
    }
    json.push('"');
    json
}

/// Why a dead letter is one.
#[derive(Deserialize)]
struct Story {
    reason: String,
    deliveries: u32,
    position: u64,
}

/// Headers as they were appended, and those that tell why a record is dead.
pub(crate) fn read_headers(headers: Option<&str>, story: Option<&str>) -> Result<Vec<(String, String)>> {
    let unreadable = |error| Error::unreadable("claim", "headers").with_source(error);
    let mut headers: Vec<(String, String)> =
        headers.map_or_else(|| Ok(Vec::new()), serde_json::from_str).map_err(unreadable)?;
    if let Some(story) = story {
        let Story { reason, deliveries, position } = serde_json::from_str(story).map_err(unreadable)?;
        headers = Death { reason: &reason, deliveries, position: Position(position) }.told(headers);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::dead_letter;

    #[test]
    fn headers_come_back_as_they_were() {
        let record =
            Record::new("").with_header("", "a\0\"\\\n").with_header("é", "\u{1f980}").with_header("", "again");
        let written = write_headers(&record).expect("headers");
        assert!(written.is_ascii());
        assert_eq!(read_headers(Some(&written), None).expect("readable"), record.headers);
        assert_eq!(write_headers(&Record::new("")), None);
        assert_eq!(read_headers(None, None).expect("readable"), []);
        assert!(read_headers(Some("[1]"), None).is_err());
    }

    #[test]
    fn a_dead_letter_tells_its_story() {
        let story = format!("{{\"reason\": {}, \"deliveries\": 3, \"position\": 7}}", write_text("\"é\""));
        let headers = read_headers(Some("[[\"a\",\"b\"]]"), Some(&story)).expect("readable");
        let expected =
            [("a", "b"), (dead_letter::REASON, "\"é\""), (dead_letter::DELIVERIES, "3"), (dead_letter::POSITION, "7")];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
