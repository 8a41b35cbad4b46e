//! What goes over the wire: arguments of scripts, their answers, and records as they are stored.

use crate::error::unexpected;
use bytes::Bytes;
use linchpin_core::{Entry, Key, Record, Result, Revision};
use redis::Value;
use std::time::Duration;

/// A duration in microseconds, rounded up: a TTL is never shorter than asked.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// An optional duration in microseconds as scripts take it: empty for none.
pub(crate) fn optional_micros(time: Option<Duration>) -> String {
    time.map(|time| micros(time).to_string()).unwrap_or_default()
}

/// Takes an answer apart, naming the operation if it is not what was expected.
#[derive(Clone, Copy)]
pub(crate) struct Reader(pub(crate) &'static str);

impl Reader {
    pub(crate) fn list(self, value: Value) -> Result<Vec<Value>> {
        match value {
            Value::Array(items) => Ok(items),
            Value::Nil => Ok(Vec::new()),
            _ => Err(unexpected(self.0, "no list")),
        }
    }

    pub(crate) fn bytes(self, value: Option<Value>) -> Result<Bytes> {
        match value {
            Some(Value::BulkString(bytes)) => Ok(bytes.into()),
            Some(Value::SimpleString(text)) => Ok(text.into()),
            Some(Value::Int(number)) => Ok(number.to_string().into()),
            _ => Err(unexpected(self.0, "no text")),
        }
    }

    pub(crate) fn text(self, value: Option<Value>) -> Result<String> {
        String::from_utf8(self.bytes(value)?.into()).map_err(|_| unexpected(self.0, "text that is not UTF-8"))
    }

    pub(crate) fn number(self, value: Option<Value>) -> Result<u64> {
        let number = match value {
            Some(Value::BulkString(bytes)) => str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()),
            Some(Value::Int(number)) => u64::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| unexpected(self.0, "no number"))
    }

    pub(crate) fn optional(self, value: Option<Value>) -> Result<Option<Bytes>> {
        match value {
            Some(Value::Nil) => Ok(None),
            value => self.bytes(value).map(Some),
        }
    }

    /// The numbers that something stored begins with: doubles, little endian, whole and below 2^53.
    pub(crate) fn numbers<const N: usize>(self, stored: &[u8]) -> Result<[u64; N]> {
        let (doubles, _) = stored.as_chunks::<8>();
        let doubles = doubles.first_chunk::<N>().ok_or_else(|| unexpected(self.0, "something that is too short"))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and below 2^53")]
        let number = |double: [u8; 8]| f64::from_le_bytes(double) as u64;
        Ok(doubles.map(number))
    }

    pub(crate) fn revision(self, value: Option<Value>) -> Result<Revision> {
        self.number(value).map(Revision)
    }

    pub(crate) fn ttl(self, value: Option<Value>) -> Result<Option<Duration>> {
        match self.text(value)?.as_str() {
            "" => Ok(None),
            text => text
                .parse()
                .map(|micros| Some(Duration::from_micros(micros)))
                .map_err(|_| unexpected(self.0, "no duration")),
        }
    }

    /// m, c, left, v of a key.
    pub(crate) fn entry(self, key: Key, fields: impl IntoIterator<Item = Value>) -> Result<Entry> {
        let mut fields = fields.into_iter();
        let version = self.revision(fields.next())?;
        let created = self.revision(fields.next())?;
        let ttl = self.ttl(fields.next())?;
        let value = self.bytes(fields.next())?;
        Ok(Entry { key, value, created, version, ttl })
    }

    /// A record as [`encode_record`] wrote it.
    pub(crate) fn record(self, stored: &Bytes) -> Result<Record> {
        decode_record(stored).ok_or_else(|| unexpected(self.0, "a record in another format"))
    }
}

/// An answer that is one text: parts with spaces between them.
pub(crate) struct Parts(pub(crate) Bytes);

impl Parts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        let end = self.0.iter().position(|byte| *byte == b' ').unwrap_or(self.0.len());
        let part = self.0.split_to(end);
        if !self.0.is_empty() {
            let _ = self.0.split_to(1);
        }
        String::from_utf8(part.into()).map_err(|_| unexpected("commit", "text that is not UTF-8"))
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        self.text()?.parse().map_err(|_| unexpected("commit", "no number"))
    }

    /// Version, created, left, the length of the key, then key and value.
    pub(crate) fn entry(&mut self) -> Result<Entry> {
        let (version, created, left) = (Revision(self.number()?), Revision(self.number()?), self.text()?);
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if length > self.0.len() {
            return Err(unexpected("commit", "an entry that is cut short"));
        }
        let key = String::from_utf8(self.0.split_to(length).into());
        let key = Key::stored(key.map_err(|_| unexpected("commit", "a key that is not UTF-8"))?)?;
        let ttl = if left.is_empty() { None } else { Some(left.parse().map(Duration::from_micros)) };
        let ttl = ttl.transpose().map_err(|_| unexpected("commit", "no duration"))?;
        Ok(Entry { key, value: std::mem::take(&mut self.0), created, version, ttl })
    }
}

const RECORD_FORMAT: u8 = 1;

/// Format version, id, headers and payload; lengths are 32 bits, big endian.
pub(crate) fn encode_record(record: &Record) -> Vec<u8> {
    fn put(stored: &mut Vec<u8>, text: &str) {
        // Far below the limit of a record.
        stored.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        stored.extend(text.as_bytes());
    }
    let mut stored = vec![RECORD_FORMAT];
    put(&mut stored, record.id.as_deref().unwrap_or_default());
    stored.extend(u32::try_from(record.headers.len()).unwrap_or(u32::MAX).to_be_bytes());
    for (name, value) in &record.headers {
        put(&mut stored, name);
        put(&mut stored, value);
    }
    stored.extend(&record.payload);
    stored
}

fn decode_record(stored: &Bytes) -> Option<Record> {
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
    let mut rest = stored.strip_prefix(&[RECORD_FORMAT]).map(|rest| stored.slice_ref(rest))?;
    let id = text(&mut rest)?;
    let mut headers = Vec::new();
    for _ in 0..number(&mut rest)? {
        headers.push((text(&mut rest)?, text(&mut rest)?));
    }
    Some(Record { payload: rest, id: (!id.is_empty()).then_some(id), headers, delay: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_went() {
        let record =
            Record::new(vec![0, 255, 10]).with_header("a", "").with_header("", "é").with_id("7").expect("valid");
        let stored = Bytes::from(encode_record(&record));
        assert_eq!(decode_record(&stored), Some(record));
        for cut in 0..stored.len() - 3 {
            assert_eq!(decode_record(&stored.slice(..cut)), None, "{cut}");
        }
    }

    #[test]
    fn microseconds_are_rounded_up() {
        assert_eq!(micros(Duration::from_nanos(1_000_001)), 1001);
        assert_eq!(micros(Duration::from_millis(1)), 1000);
    }
}
