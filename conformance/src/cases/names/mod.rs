//! Names that are hard to store, and namespaces.

mod crafted;
mod hostile;
mod isolation;
mod longest;
mod nested;
mod refused;

use crate::case::Case;

pub(super) const CASES: &[&[Case]] =
    &[hostile::CASES, longest::CASES, refused::CASES, isolation::CASES, crafted::CASES, nested::CASES];

/// Names that a careless adapter would mistake for something else: for its own syntax, for each other, or
/// for nothing. All distinct, all allowed.
fn hostile_names() -> Vec<String> {
    let short = [SYNTAX, SEPARATORS, BLANKS, LETTERS].concat();
    let long = ["x".repeat(512), "y".repeat(511), "🦀".repeat(128), "*".repeat(512), "/".repeat(512)];
    short.into_iter().map(str::to_owned).chain(long).collect()
}

/// What backends, their patterns and their clients are written in.
#[rustfmt::skip]
const SYNTAX: &[&str] = &[
    "{}", "{x}", "}{", "*", "a*", "?", "[", "]", "*?[]\\", "\\", "\\*", ">", "a.>", "a.*", ".", "..", "a..b", "$SYS",
    "$JS.API", "_INBOX.x", "__consumer_offsets", "%", "%00", "%s", "_", "'", "\"", "'; DROP TABLE keys; --", "$1",
    "=2A", "\\0", "nil", "null", "NaN", "0", "-1", "-", "--", "+", "#", "@", "!", "|", "&", "~", "^", "`", "<a>", "()",
];

#[rustfmt::skip]
const SEPARATORS: &[&str] = &[
    "/", "//", "a/b", "/a", "a/", "../x", ":", "a:b", "::", ",", ";", "user/x", "node/x", "lock/x",
];

/// White space and control characters.
#[rustfmt::skip]
const BLANKS: &[&str] = &[
    " ", "  ", " a", "a ", "a b", "\t", "\n", "a\nb", "\r\n", "\u{1}", "\u{7f}", "\u{1b}[31m", "\u{a0}", "\u{200b}",
    "\u{feff}", "\u{202e}abc", "\u{ffff}", "\u{10ffff}",
];

/// Letters that look alike, or are the same to some.
#[rustfmt::skip]
const LETTERS: &[&str] = &[
    "key", "Key", "KEY", "é", "e\u{301}", "ß", "ss", "ı", "i", "ﬁ", "fi", "Å", "\u{212b}", "🦀", "👩\u{200d}👩\u{200d}👧",
    "日本語", "مرحبا",
];

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::Key;
    use std::collections::HashSet;

    #[test]
    fn hostile_names_are_distinct_and_allowed() {
        let names = hostile_names();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert!(names.iter().all(|name| Key::new(name).is_ok()));
    }
}
