//! What goes over the wire: arguments of scripts, and their answers.

use bytes::Bytes;
use linchpin_adapter::records::decode;
use linchpin_core::{Entry, Error, Key, Record, Result, Revision};
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
            _ => Err(Error::unreadable(self.0, "no list")),
        }
    }

    pub(crate) fn bytes(self, value: Option<Value>) -> Result<Bytes> {
        match value {
            Some(Value::BulkString(bytes)) => Ok(bytes.into()),
            Some(Value::SimpleString(text)) => Ok(text.into()),
            Some(Value::Int(number)) => Ok(number.to_string().into()),
            _ => Err(Error::unreadable(self.0, "no text")),
        }
    }

    pub(crate) fn text(self, value: Option<Value>) -> Result<String> {
        String::from_utf8(self.bytes(value)?.into()).map_err(|_| Error::unreadable(self.0, "text that is not UTF-8"))
    }

    pub(crate) fn number(self, value: Option<Value>) -> Result<u64> {
        let number = match value {
            Some(Value::BulkString(bytes)) => str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()),
            Some(Value::Int(number)) => u64::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| Error::unreadable(self.0, "no number"))
    }

    pub(crate) fn optional(self, value: Option<Value>) -> Result<Option<Bytes>> {
        match value {
            Some(Value::Nil) => Ok(None),
            value => self.bytes(value).map(Some),
        }
    }

    pub(crate) fn revision(self, value: Option<Value>) -> Result<Revision> {
        self.number(value).map(Revision)
    }

    pub(crate) fn ttl(self, value: Option<Value>) -> Result<Option<Duration>> {
        self.number(value).map(duration)
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

    /// A record as [`records::encode`](linchpin_adapter::records::encode) wrote it.
    pub(crate) fn record(self, stored: &Bytes) -> Result<Record> {
        decode(stored).ok_or_else(|| Error::unreadable(self.0, "a record in another format"))
    }
}

/// Microseconds as scripts write them: 0 for none.
fn duration(micros: u64) -> Option<Duration> {
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// What a script packed with `struct`, little endian, and what is left of it.
pub(crate) struct Packed {
    operation: &'static str,
    rest: Bytes,
}

impl Packed {
    pub(crate) fn new(operation: &'static str, rest: Bytes) -> Self {
        Self { operation, rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// `d`: a number that is whole and below 2^53, or below 0.
    fn double(&mut self) -> Result<f64> {
        let double = self.take(size_of::<f64>())?;
        double.as_ref().try_into().map(f64::from_le_bytes).map_err(|_| self.unexpected())
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        whole(self.double()?).ok_or_else(|| self.unexpected())
    }

    pub(crate) fn index(&mut self) -> Result<Option<usize>> {
        Ok(whole(self.double()?).and_then(|index| usize::try_from(index).ok()))
    }

    /// Microseconds, or less than 0 for never.
    pub(crate) fn wait(&mut self) -> Result<Option<Duration>> {
        Ok(whole(self.double()?).map(Duration::from_micros))
    }

    pub(crate) fn revision(&mut self) -> Result<Revision> {
        self.number().map(Revision)
    }

    pub(crate) fn ttl(&mut self) -> Result<Option<Duration>> {
        self.number().map(duration)
    }

    /// `c1`.
    pub(crate) fn kind(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// `I4c0`.
    pub(crate) fn bytes(&mut self) -> Result<Bytes> {
        let length = self.take(size_of::<u32>())?;
        let length = length.as_ref().try_into().map(u32::from_le_bytes).map_err(|_| self.unexpected())?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(crate) fn key(&mut self) -> Result<Key> {
        let key = String::from_utf8(self.bytes()?.into());
        Key::stored(key.map_err(|_| self.unexpected())?)
    }

    pub(crate) fn rest(self) -> Bytes {
        self.rest
    }

    fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.rest.len() {
            return Err(self.unexpected());
        }
        Ok(self.rest.split_to(length))
    }

    fn unexpected(&self) -> Error {
        Error::unreadable(self.operation, "something that is cut short or in another format")
    }
}

/// A double as the number that it stands for.
fn whole(double: f64) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    (0.0..=9_007_199_254_740_992.0).contains(&double).then_some(double as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_rounded_up() {
        assert_eq!(micros(Duration::from_nanos(1_000_001)), 1001);
        assert_eq!(micros(Duration::from_millis(1)), 1000);
    }
}
