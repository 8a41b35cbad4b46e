//! The contract, case by case: a directory or file per area.

mod capabilities;
mod closed;
mod closing;
mod election;
mod errors;
mod faults;
mod history;
mod layers;
mod lock;
mod members;
mod messages;
mod names;
mod port;
mod prelude;
mod runtimes;
mod state;
mod streams;
mod transactions;
mod ttl;
mod watch;

use crate::case::Case;
use std::sync::LazyLock;

/// Every case, area by area.
pub fn cases() -> &'static [Case] {
    static ALL: LazyLock<Vec<Case>> = LazyLock::new(|| {
        let areas: [&[&[Case]]; 15] = [
            &[capabilities::CASES],
            state::CASES,
            transactions::CASES,
            ttl::CASES,
            watch::CASES,
            messages::CASES,
            streams::CASES,
            names::CASES,
            &[errors::CASES, closing::CASES, closed::CASES, layers::CASES, runtimes::CASES],
            port::CASES,
            lock::CASES,
            election::CASES,
            members::CASES,
            &[history::CASES],
            faults::CASES,
        ];
        areas.concat().concat()
    });
    &ALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Area;
    use crate::need::Need;
    use std::collections::HashSet;

    #[test]
    fn every_id_is_unique_and_starts_with_its_area() {
        let mut ids = HashSet::new();
        for case in cases() {
            assert!(ids.insert(case.id), "{} is there twice", case.id);
            let (area, name) = case.id.split_once('.').expect("an id is area.name");
            assert_eq!(area, case.area.as_str(), "{}", case.id);
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{}", case.id);
        }
        assert!(ids.len() >= 90);
    }

    #[test]
    fn every_case_proves_a_sentence() {
        for case in cases() {
            let sentence = case.sentence;
            assert!(
                sentence.len() > 20 && sentence.starts_with(|c: char| c.is_uppercase() || c == '`'),
                "{}: {sentence}",
                case.id
            );
            assert!(!sentence.ends_with('.') && !sentence.contains('\n'), "{}: {sentence}", case.id);
        }
    }

    #[test]
    fn every_area_has_cases_in_one_run_and_every_need_is_tested() {
        let mut order: Vec<Area> = cases().iter().map(|case| case.area).collect();
        order.dedup();
        assert_eq!(order, Area::ALL);
        for need in Need::ALL {
            assert!(cases().iter().any(|case| case.needs.contains(&need)), "{need:?}");
        }
    }
}
