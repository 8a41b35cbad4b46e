//! The contract as one reads it: sentence by sentence, each with the cases that prove it.

mod clauses;

use crate::case::Case;
use crate::cases::cases;
use std::fmt::Write as _;

/// A part of the contract.
struct Chapter {
    title: &'static str,
    clauses: &'static [Clause],
}

/// A sentence, and the ids of the cases that prove it.
struct Clause {
    text: &'static str,
    cases: &'static [&'static str],
}

const HEAD: &str = "\
# The contract

What every backend does, sentence by sentence, and the cases of `linchpin-conformance` that prove each. A case runs \
where the backend declares what it needs; where it does not, the case proves that the call is refused with \
`Unsupported`. Cases called `faults.*` do harm to a server of their own.

This page is made from the cases (`make contract`); a sentence without a case fails a test.
";

const REGRESSIONS: &str = "\
## What broke elsewhere

Bugs that users of other libraries met, and the cases that show that they are not here.
";

/// The contract as a page of Markdown, made from the cases.
///
/// ```
/// assert!(linchpin_conformance::contract().starts_with("# The contract"));
/// ```
pub fn contract() -> String {
    let mut page = HEAD.to_owned();
    for chapter in clauses::CHAPTERS {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {}\n\n", chapter.title);
        page.extend(chapter.clauses.iter().map(item));
    }
    page.push('\n');
    page.push_str(REGRESSIONS);
    page.push('\n');
    page.extend(clauses::REGRESSIONS.iter().map(item));
    page
}

/// A sentence as an item of a list, with its cases below it.
fn item(clause: &Clause) -> String {
    let mut text = format!("- {}\n", clause.text);
    for id in clause.cases {
        let needs = case(id).map(needs).unwrap_or_default();
        let _ = writeln!(text, "  - `{id}`{needs}");
    }
    text
}

fn case(id: &str) -> Option<&'static Case> {
    cases().iter().find(|case| case.id == id)
}

fn needs(case: &Case) -> String {
    if case.needs.is_empty() {
        return String::new();
    }
    let needs: Vec<_> = case.needs.iter().map(|need| need.as_str()).collect();
    format!(" (needs {})", needs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn every_sentence_has_a_case() {
        let all = clauses::CHAPTERS.iter().flat_map(|chapter| chapter.clauses).chain(clauses::REGRESSIONS);
        let without: Vec<_> = all.filter(|clause| clause.cases.is_empty()).map(|clause| clause.text).collect();
        assert!(without.is_empty(), "sentences without a case: {without:#?}");
    }

    #[test]
    fn every_case_proves_one_sentence() {
        let mut named: HashMap<&str, usize> = HashMap::new();
        for id in clauses::CHAPTERS.iter().flat_map(|chapter| chapter.clauses).flat_map(|clause| clause.cases) {
            *named.entry(id).or_default() += 1;
        }
        let wrong: Vec<_> =
            cases().iter().filter(|case| named.remove(case.id) != Some(1)).map(|case| case.id).collect();
        assert!(wrong.is_empty(), "cases that are in no sentence of the contract, or in several: {wrong:#?}");
        assert!(named.is_empty(), "cases that do not exist: {named:?}");
        for id in clauses::REGRESSIONS.iter().flat_map(|clause| clause.cases) {
            assert!(case(id).is_some(), "{id} does not exist");
        }
    }

    #[test]
    fn sentences_are_sentences() {
        for clause in clauses::CHAPTERS.iter().flat_map(|chapter| chapter.clauses).chain(clauses::REGRESSIONS) {
            assert!(clause.text.ends_with('.') && !clause.text.contains('\n'), "{}", clause.text);
        }
    }
}
