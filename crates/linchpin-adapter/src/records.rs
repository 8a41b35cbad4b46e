//! Records as they are stored, and what a dead letter tells.

use bytes::Bytes;
use linchpin_core::{Position, Record, dead_letter};

/// The first byte of a record in this form.
const FORMAT: u8 = 1;

/// A record's payload, id and headers in one piece. Its delay is not among them: only the server's clock knows it.
///
/// A byte for the form, the id, the number of headers, their names and values, the payload; lengths and the number have 32
/// bits, big endian.
///
/// ```
/// use linchpin_adapter::records::{decode, encode};
/// use linchpin_core::Record;
///
/// let record = Record::new("pay order 7").with_id("order-7")?.with_header("type", "payment");
/// assert_eq!(decode(&encode(&record).into()), Some(record));
/// assert_eq!(decode(&"something else".into()), None);
/// # Ok::<(), linchpin_core::Error>(())
/// ```
pub fn encode(record: &Record) -> Vec<u8> {
    fn put(stored: &mut Vec<u8>, text: &str) {
        // Far below the limit of a record.
        stored.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        stored.extend(text.as_bytes());
    }
    let mut stored = Vec::with_capacity(16 + record.size() + 8 * record.headers.len());
    stored.push(FORMAT);
    put(&mut stored, record.id.as_deref().unwrap_or_default());
    stored.extend(u32::try_from(record.headers.len()).unwrap_or(u32::MAX).to_be_bytes());
    for (name, value) in &record.headers {
        put(&mut stored, name);
        put(&mut stored, value);
    }
    stored.extend(&record.payload);
    stored
}

/// What [`encode`] wrote; `None` if it is something else.
pub fn decode(stored: &Bytes) -> Option<Record> {
    fn number(rest: &mut Bytes) -> Option<usize> {
        let bytes: [u8; 4] = rest.get(..4)?.try_into().ok()?;
        let _ = rest.split_to(4);
        usize::try_from(u32::from_be_bytes(bytes)).ok()
    }
    fn text(rest: &mut Bytes) -> Option<String> {
        let length = number(rest)?;
        if rest.len() < length {
            return None;
        }
        String::from_utf8(rest.split_to(length).into()).ok()
    }
    let mut rest = stored.strip_prefix(&[FORMAT]).map(|rest| stored.slice_ref(rest))?;
    let id = text(&mut rest)?;
    let mut headers = Vec::new();
    for _ in 0..number(&mut rest)? {
        headers.push((text(&mut rest)?, text(&mut rest)?));
    }
    Some(Record { payload: rest, id: (!id.is_empty()).then_some(id), headers, delay: None })
}

/// Why a record is dead.
///
/// ```
/// use linchpin_adapter::records::Death;
/// use linchpin_core::{Position, Record, dead_letter};
///
/// let death = Death { reason: dead_letter::MAX_DELIVERIES, deliveries: 3, position: Position(7) };
/// let headers = death.told(Record::new("pay order 7").with_header("type", "payment").headers);
/// assert_eq!(headers[3], ("linchpin-dead-position".to_owned(), "7".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death<'a> {
    /// The text given to `Reject`, or [`dead_letter::MAX_DELIVERIES`].
    pub reason: &'a str,
    /// How often it had been delivered.
    pub deliveries: u32,
    /// Where it stood in its stream.
    pub position: Position,
}

impl Death<'_> {
    /// The headers of a record as it stands among the dead letters: its own, and those that tell its story; only of the
    /// newest death if it has died before.
    pub fn told(self, mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
        let story = [
            (dead_letter::REASON, self.reason.to_owned()),
            (dead_letter::DELIVERIES, self.deliveries.to_string()),
            (dead_letter::POSITION, self.position.0.to_string()),
        ];
        headers.retain(|(name, _)| story.iter().all(|(own, _)| name != own));
        headers.extend(story.map(|(name, value)| (name.to_owned(), value)));
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_went() {
        let record =
            Record::new(vec![0, 255, 10]).with_header("a", "").with_header("", "é").with_id("7").expect("valid");
        let stored = Bytes::from(encode(&record));
        assert_eq!(decode(&stored), Some(record));
        for cut in 0..stored.len() - 3 {
            assert_eq!(decode(&stored.slice(..cut)), None, "{cut}");
        }
    }

    #[test]
    fn a_dead_letter_tells_of_its_newest_death() {
        let first = Death { reason: "no such order", deliveries: 1, position: Position(7) };
        let second = Death { reason: dead_letter::MAX_DELIVERIES, deliveries: 5, position: Position(2) };
        let headers = second.told(first.told(vec![("type".to_owned(), "payment".to_owned())]));
        let expected = [
            ("type", "payment"),
            (dead_letter::REASON, dead_letter::MAX_DELIVERIES),
            (dead_letter::DELIVERIES, "5"),
            (dead_letter::POSITION, "2"),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
