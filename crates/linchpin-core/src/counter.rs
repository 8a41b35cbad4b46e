//! What a counter's text is.

/// Reads the text of a counter: a signed 64-bit number exactly as Rust writes it. Nothing else is one: no plus sign,
/// no leading zero, no `-0`, no space. So a counter has one text on every backend.
///
/// ```
/// use linchpin_core::counter;
/// assert_eq!((counter(b"-7"), counter(b"0")), (Some(-7), Some(0)));
/// assert!([&b"+7"[..], b"07", b"-0", b" 7", b"", b"9223372036854775808"].iter().all(|text| counter(text).is_none()));
/// ```
pub fn counter(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}
