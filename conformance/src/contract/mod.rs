//! The contract as one reads it: sentence by sentence, each with the cases that prove it.

pub(crate) mod clauses;

use crate::case::Case;
use crate::cases::cases;
use std::fmt::Write as _;

/// A part of the contract.
pub(crate) struct Chapter {
    title: &'static str,
    clauses: &'static [&'static Clause],
}

/// A sentence of the contract. The cases that prove it name it.
#[derive(Debug)]
pub(crate) struct Clause(&'static str);

impl Clause {
    fn is_proved_by(&'static self, case: &Case) -> bool {
        std::ptr::eq(case.clause, self) || case.regressions.iter().any(|other| std::ptr::eq(*other, self))
    }
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
        page.extend(chapter.clauses.iter().copied().map(item));
    }
    page.push('\n');
    page.push_str(REGRESSIONS);
    page.push('\n');
    page.extend(clauses::REGRESSIONS.clauses.iter().copied().map(item));
    page
}

/// A sentence as an item of a list, with its cases below it.
fn item(clause: &'static Clause) -> String {
    let mut text = format!("- {}\n", clause.0);
    for case in cases().iter().filter(|case| clause.is_proved_by(case)) {
        let _ = writeln!(text, "  - `{}`{}", case.id, needs(case));
    }
    text
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

    fn all() -> impl Iterator<Item = &'static Clause> {
        let chapters = clauses::CHAPTERS.iter().copied().chain([&clauses::REGRESSIONS]);
        chapters.flat_map(|chapter| chapter.clauses).copied()
    }

    #[test]
    fn every_sentence_has_a_case() {
        let without: Vec<_> = all().filter(|clause| !cases().iter().any(|case| clause.is_proved_by(case))).collect();
        assert!(without.is_empty(), "sentences without a case: {without:#?}");
    }

    #[test]
    fn every_sentence_is_in_a_chapter_and_no_case_takes_a_bug_for_its_own() {
        for case in cases() {
            let in_chapters = clauses::CHAPTERS.iter().flat_map(|chapter| chapter.clauses);
            let times = in_chapters.filter(|clause| std::ptr::eq(**clause, case.clause)).count();
            assert_eq!(times, 1, "{}: {:?}", case.id, case.clause);
            for bug in case.regressions {
                assert!(clauses::REGRESSIONS.clauses.iter().any(|clause| std::ptr::eq(*clause, *bug)), "{}", case.id);
            }
        }
    }

    #[test]
    fn sentences_are_sentences() {
        for Clause(text) in all() {
            assert!(text.ends_with('.') && !text.contains('\n'), "{text}");
        }
    }
}
