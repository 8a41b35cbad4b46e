//! What tables take, as a report tells it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the adapter's tables take while very much goes through them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Soak {
    /// What went through: records appended, claimed, acknowledged and trimmed, transactions with an id, and messages.
    pub(crate) records: u64,
    pub(crate) commits: u64,
    pub(crate) messages: u64,
    /// Messages among them that are larger than the backend sends at once.
    pub(crate) large: u64,
    pub(crate) seconds: f64,
    /// Before, after each lap, and in the end; ascending.
    pub(crate) samples: Vec<SoakSample>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SoakSample {
    pub(crate) when: String,
    pub(crate) tables: Vec<TableSize>,
}

/// A table with its indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableSize {
    pub(crate) name: String,
    /// Rows that can be read, counted.
    pub(crate) rows: u64,
    /// Rows that were deleted or replaced and whose space is not free yet, as the server knows.
    pub(crate) dead: u64,
    /// How often the server vacuumed it by itself.
    pub(crate) autovacuums: u64,
    /// On disk, with indexes and what was moved out of line.
    pub(crate) bytes: u64,
    pub(crate) index_bytes: u64,
}

impl Soak {
    pub(crate) fn written(&self) -> u64 {
        self.records + self.commits + self.messages
    }

    /// The laps alone.
    pub(crate) fn laps(&self) -> &[SoakSample] {
        self.samples.get(1..self.samples.len().saturating_sub(1)).unwrap_or_default()
    }

    /// The tables, by name, each with what it took at each sample; one that was not there yet took nothing.
    pub(crate) fn tables(&self) -> Vec<Vec<TableSize>> {
        let names: BTreeSet<&str> =
            self.samples.iter().flat_map(|sample| &sample.tables).map(|table| &*table.name).collect();
        let at = |sample: &SoakSample, name: &str| {
            let found = sample.tables.iter().find(|table| table.name == name).cloned();
            found.unwrap_or_else(|| TableSize { name: name.to_owned(), ..TableSize::default() })
        };
        names.into_iter().map(|name| self.samples.iter().map(|sample| at(sample, name)).collect()).collect()
    }
}

impl SoakSample {
    /// All tables together.
    pub(crate) fn total(&self) -> TableSize {
        let sum = |of: fn(&TableSize) -> u64| self.tables.iter().map(of).sum();
        TableSize {
            name: self.when.clone(),
            rows: sum(|table| table.rows),
            dead: sum(|table| table.dead),
            autovacuums: sum(|table| table.autovacuums),
            bytes: sum(|table| table.bytes),
            index_bytes: sum(|table| table.index_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_comes_later_took_nothing_before() {
        let table = |name: &str, rows, bytes| TableSize { name: name.to_owned(), rows, bytes, ..TableSize::default() };
        let sample = |tables| SoakSample { when: String::new(), tables };
        let samples = vec![sample(vec![table("b", 1, 10)]), sample(vec![table("a", 2, 20), table("b", 3, 30)])];
        let soak = Soak { samples, ..Soak::default() };
        assert_eq!(soak.tables(), [[table("a", 0, 0), table("a", 2, 20)], [table("b", 1, 10), table("b", 3, 30)]]);
        assert_eq!((soak.samples[1].total().rows, soak.samples[1].total().bytes), (5, 50));
        assert!(soak.laps().is_empty() && Soak::default().laps().is_empty());
    }
}
