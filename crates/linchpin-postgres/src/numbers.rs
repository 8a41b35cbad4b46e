//! The numbers that Rust and the schema have in common, by their names: in the schema's files a name stands in braces.

use crate::commit::ID_WINDOW;
use crate::migrate;
use crate::names::LONGEST;
use crate::secret::SEAL;
use crate::streams::DEDUPE_WINDOW;
use linchpin_core::{MAX_NAME, MAX_STORED_NAME, MAX_TTL, Record};

/// The largest value, and the largest record with its headers, in bytes.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// How many bytes one answer has at most, or one value.
pub(crate) const ENOUGH_BYTES: usize = 1024 * 1024;

macro_rules! numbers {
    ($($name:ident = $number:literal,)+) => {
        $(pub(crate) const $name: i32 = $number;)+

        const NUMBERS: &[(&str, i32)] = &[$((stringify!($name), $number)),+];
    };
}

// Operations of a transaction, guards and from PUT on mutations; what became of one; what settling does, and what became
// of that.
numbers! {
    ABSENT = 1,
    PRESENT = 2,
    VERSION = 3,
    PREFIX_ABSENT = 4,
    PUT = 10,
    DELETE = 11,
    ADD = 12,
    EXTEND = 13,
    COMMITTED = 1,
    REFUSED = 2,
    REFUSED_BY = 3,
    NO_COUNTER = 4,
    OVERFLOW = 5,
    AGAIN = 7,
    REPLAYED = 10,
    ACK = 0,
    RETRY = 1,
    PROLONG = 2,
    REJECT = 3,
    STALE = 0,
    SETTLED = 1,
    SHORTENED = 2,
}

/// Those that only the schema knows: an operation that looks at a key, the status of an id that is another's, and what is
/// to be done with a key.
const OF_THE_SCHEMA: &[(&str, i32)] =
    &[("LOOK", 0), ("ID_TAKEN", 6), ("KEEP", 0), ("WRITE", 1), ("REMOVE", 2), ("MOVE_END", 3)];

/// SQL with the numbers in it.
pub(crate) fn named(sql: &str) -> String {
    let numbers = NUMBERS.iter().chain(OF_THE_SCHEMA).map(|(name, number)| (*name, number.to_string()));
    let others = [
        ("SCHEMA_VERSION", migrate::VERSION.to_string()),
        ("ID_WINDOW_US", ID_WINDOW.as_micros().to_string()),
        ("DEDUPE_WINDOW_US", DEDUPE_WINDOW.as_micros().to_string()),
        ("MAX_BYTES", MAX_BYTES.to_string()),
        ("ENOUGH_BYTES", ENOUGH_BYTES.to_string()),
        ("MAX_TTL_DAYS", (MAX_TTL.as_secs() / 86_400).to_string()),
        ("MAX_RECORD_ID", Record::MAX_ID.to_string()),
        ("MAX_NAME", MAX_NAME.to_string()),
        ("MAX_STORED_NAME", MAX_STORED_NAME.to_string()),
        ("LONGEST_SEALED", (LONGEST - SEAL).to_string()),
    ];
    numbers.chain(others).fold(sql.to_owned(), |sql, (name, number)| sql.replace(&format!("{{{name}}}"), &number))
}

#[cfg(test)]
mod tests {
    use crate::migrate::SCHEMA;

    #[test]
    fn no_name_is_left_in_the_schema() {
        let is_name = |text: &str| {
            // `{0}` is an array.
            text.starts_with(|c: char| c.is_ascii_uppercase())
                && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        };
        let left = SCHEMA.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
        let left: Vec<_> = left.filter(|name| is_name(name)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
