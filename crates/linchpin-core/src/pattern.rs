//! The one pattern matcher: what a backend's own filter may only narrow, this decides.

use crate::error::{Error, Result};
use crate::name::{MAX_NAME, MAX_STORED_NAME};
use std::fmt;
use std::str::{Chars, FromStr};
use std::sync::Arc;

/// A glob over names: `*` any run of characters (separators too), `?` one character, `[a-z]` one of,
/// `[^a]` none of, `\` takes the next character as it is.
///
/// Matching looks at each character of the name at most once per character of the pattern; a pattern has
/// at most 512 bytes, so time is linear in the name and no pattern can blow it up.
///
/// ```
/// use linchpin_core::Pattern;
/// let pattern = Pattern::new("user:*:v[0-9]")?;
/// assert!(pattern.matches("user:a:b:v7"));
/// assert!(!pattern.matches("user:a:vx"));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    tokens: Arc<[Token]>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Char(char),
    AnyChar,
    AnyRun,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Token {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::AnyChar => true,
            Self::AnyRun => false,
            Self::Class { negated, ranges } => ranges.iter().any(|&(low, high)| (low..=high).contains(&c)) != *negated,
        }
    }
}

impl Pattern {
    /// Parses a pattern of 1 to 512 bytes.
    ///
    /// # Errors
    /// `InvalidArgument` if it is empty, too long, contains NUL, ends in a lone `\`, or has a `[` without
    /// its `]`, an empty class or a range that runs backwards.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        Self::parse(text.as_ref(), MAX_NAME)
    }

    /// The pattern that matches exactly `name`, every character taken as it is.
    ///
    /// # Errors
    /// `InvalidArgument` if the name is empty, too long or contains NUL.
    pub fn exact(name: impl AsRef<str>) -> Result<Self> {
        Self::parse(&escape(name.as_ref()), 2 * MAX_STORED_NAME)
    }

    /// The pattern for the same names behind `prefix`, which is taken as it is.
    ///
    /// # Errors
    /// `InvalidArgument` if the whole is too long or the prefix contains NUL.
    pub fn prefixed(&self, prefix: &str) -> Result<Self> {
        Self::parse(&format!("{}{}", escape(prefix), self.text), 2 * MAX_STORED_NAME)
    }

    fn parse(text: &str, max: usize) -> Result<Self> {
        let wrong = |problem: String| Err(Error::invalid("pattern", problem).with_subject(text));
        if text.is_empty() {
            return wrong("it is empty; `*` matches everything".to_owned());
        }
        if text.len() > max {
            return wrong(format!("it has {} bytes, the limit is {max}", text.len()));
        }
        if text.contains('\0') {
            return wrong("it contains a NUL character".to_owned());
        }
        match tokens(text) {
            Ok(tokens) => Ok(Self { text: text.into(), tokens: tokens.into() }),
            Err(problem) => wrong(problem.to_owned()),
        }
    }

    /// The text it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every matching name starts with: characters before the first wildcard, unescaped.
    ///
    /// ```
    /// # use linchpin_core::Pattern;
    /// assert_eq!(Pattern::new(r"a\*b:?:c")?.literal_prefix(), "a*b:");
    /// # Ok::<(), linchpin_core::Error>(())
    /// ```
    pub fn literal_prefix(&self) -> String {
        let literal = |token: &Token| if let Token::Char(c) = token { Some(*c) } else { None };
        self.tokens.iter().map_while(literal).collect()
    }

    /// The one name it matches, if it has no wildcard.
    pub fn literal(&self) -> Option<String> {
        let prefix = self.literal_prefix();
        (prefix.chars().count() == self.tokens.len()).then_some(prefix)
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        // The last `*` is the only one worth going back to: what an earlier one could still take, this one can.
        let mut rest = name.chars();
        let mut at = 0;
        let mut last_run: Option<(usize, Chars<'_>)> = None;
        loop {
            if self.tokens.get(at) == Some(&Token::AnyRun) {
                at += 1;
                last_run = Some((at, rest.clone()));
                continue;
            }
            let before = rest.clone();
            let Some(c) = rest.next() else { return at == self.tokens.len() };
            if self.tokens.get(at).is_some_and(|token| token.accepts(c)) {
                at += 1;
                continue;
            }
            let Some((after_run, taken)) = &mut last_run else { return false };
            debug_assert!(taken.as_str().len() >= before.as_str().len());
            taken.next();
            rest = taken.clone();
            at = *after_run;
        }
    }
}

/// `name` with every character that a pattern would read as a wildcard escaped.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let token = match c {
            '*' if tokens.last() == Some(&Token::AnyRun) => continue,
            '*' => Token::AnyRun,
            '?' => Token::AnyChar,
            '[' => class(&mut chars)?,
            '\\' => Token::Char(chars.next().ok_or("it ends in a lone `\\`; write `\\\\`")?),
            other => Token::Char(other),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

/// A class, its `[` already taken.
fn class(chars: &mut Chars<'_>) -> Result<Token, &'static str> {
    const OPEN: &str = "it has a `[` without its `]`; write `\\[` for the character";
    let negated = chars.as_str().starts_with('^');
    if negated {
        chars.next();
    }
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next().ok_or(OPEN)? {
            ']' if ranges.is_empty() => return Err("it has an empty class `[]`"),
            ']' => return Ok(Token::Class { negated, ranges }),
            '\\' => chars.next().ok_or(OPEN)?,
            c => c,
        };
        let is_range = chars.as_str().starts_with('-') && !chars.as_str().starts_with("-]");
        let high = if is_range {
            chars.next();
            match chars.next().ok_or(OPEN)? {
                '\\' => chars.next().ok_or(OPEN)?,
                c => c,
            }
        } else {
            low
        };
        if low > high {
            return Err("it has a range that runs backwards");
        }
        ranges.push((low, high));
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.tokens == other.tokens
    }
}

impl FromStr for Pattern {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word; exponential, so for short inputs only.
    fn naive(tokens: &[Token], name: &[char]) -> bool {
        match (tokens, name) {
            ([], rest) => rest.is_empty(),
            ([Token::AnyRun, more @ ..], rest) => (0..=rest.len()).any(|taken| naive(more, &rest[taken..])),
            ([token, more @ ..], [c, rest @ ..]) => token.accepts(*c) && naive(more, rest),
            (_, []) => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn agrees_with_the_naive_matcher(text in r"([ab*?]|\[a-b\]|\[\^a\]|\\[*]){1,10}", name in "[ab*é]{0,12}") {
            let pattern = Pattern::new(&text).expect("generated patterns are well formed");
            let chars: Vec<char> = name.chars().collect();
            prop_assert_eq!(pattern.matches(&name), naive(&pattern.tokens, &chars), "{} {}", text, name);
        }

        #[test]
        fn any_text_parses_or_is_refused_and_exact_means_exact(text in r"\PC{1,40}", other in r"\PC{1,40}") {
            let _ = Pattern::new(&text);
            let exact = Pattern::exact(&text).expect("any text is a name");
            prop_assert!(exact.matches(&text));
            prop_assert_eq!(exact.matches(&other), text == other);
            prop_assert_eq!(exact.literal(), Some(text));
        }
    }

    #[test]
    fn a_pattern_made_to_backtrack_is_quick() {
        let pattern = Pattern::new(format!("{}b", "a*".repeat(250))).expect("well formed");
        let start = std::time::Instant::now();
        assert!(!pattern.matches(&"a".repeat(512)));
        assert!(start.elapsed() < std::time::Duration::from_millis(200));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in ["", "a\\", "[", "[a", "[]", "[^]", "[z-a]", "[\\", "a\0", &"x".repeat(513)] {
            assert!(Pattern::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_is_taken_literally() {
        let pattern = Pattern::new("x*").and_then(|p| p.prefixed("a*[/")).expect("well formed");
        assert!(pattern.matches("a*[/xyz") && !pattern.matches("ab[/xyz"));
        assert_eq!(pattern.literal_prefix(), "a*[/x");
    }
}
