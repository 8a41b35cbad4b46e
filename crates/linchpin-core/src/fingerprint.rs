//! Telling a transaction from another one under the same id.

use crate::transaction::{Condition, Mutation, Transaction};
use std::time::Duration;

/// FNV-1a over what a transaction says: the same on every machine and in every build, as it is stored.
struct Fnv(u64);

impl Fnv {
    fn number(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.byte(byte);
        }
    }

    /// The length goes first, so that two texts in a row cannot be taken for two others.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for &byte in bytes {
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn ttl(&mut self, ttl: Option<Duration>) {
        self.byte(u8::from(ttl.is_some()));
        let ttl = ttl.unwrap_or_default();
        self.number(ttl.as_secs());
        self.number(u64::from(ttl.subsec_nanos()));
    }
}

/// FNV-1a of 128 bits, for adapters that store what is longer than fits: the same on every machine and in every build. Not
/// against those who want two texts to be one.
///
/// ```
/// assert_eq!(linchpin_core::hash_128("a".bytes()), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
/// ```
pub fn hash_128(bytes: impl IntoIterator<Item = u8>) -> u128 {
    let mix = |hash: u128, byte| (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    bytes.into_iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, mix)
}

pub(crate) fn fingerprint(transaction: &Transaction) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.number(transaction.guards.len() as u64);
    for guard in &transaction.guards {
        hash.bytes(guard.key.as_str().as_bytes());
        let (kind, version) = match guard.condition {
            Condition::Absent => (0, 0),
            Condition::Present => (1, 0),
            Condition::VersionIs(version) => (2, version.0),
            Condition::PrefixAbsent => (3, 0),
        };
        hash.byte(kind);
        hash.number(version);
    }
    for mutation in &transaction.mutations {
        hash.bytes(mutation.key().as_str().as_bytes());
        hash.ttl(mutation.ttl());
        match mutation {
            Mutation::Put { value, .. } => {
                hash.byte(0);
                hash.bytes(value);
            }
            Mutation::Delete { .. } => hash.byte(1),
            Mutation::Add { delta, .. } => {
                hash.byte(2);
                hash.number(delta.cast_unsigned());
            }
            Mutation::Extend { version, .. } => {
                hash.byte(3);
                hash.number(version.0);
            }
        }
    }
    hash.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Revision;
    use crate::name::Key;

    #[test]
    fn whatever_differs_changes_the_fingerprint() {
        let key = |name: &str| Key::new(name).expect("valid");
        let second = Some(Duration::from_secs(1));
        let transactions = [
            Transaction::new(),
            Transaction::new().absent(key("a")),
            Transaction::new().present(key("a")),
            Transaction::new().version_is(key("a"), Revision(0)),
            Transaction::new().version_is(key("a"), Revision(1)),
            Transaction::new().put(key("a"), "", None),
            Transaction::new().put(key("a"), "", second),
            Transaction::new().put(key("a"), "b", None),
            Transaction::new().put(key("ab"), "", None),
            Transaction::new().delete(key("a")),
            Transaction::new().add(key("a"), 1, None),
            Transaction::new().add(key("a"), -1, None),
            Transaction::new().add(key("a"), 1, second),
            Transaction::new().extend(key("a"), Revision(1), Duration::from_secs(1)),
            Transaction::new().extend(key("a"), Revision(2), Duration::from_secs(1)),
        ];
        let mut seen: Vec<u64> = transactions.iter().map(fingerprint).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), transactions.len());
    }

    #[test]
    fn it_never_changes_as_it_is_stored() {
        let key = |name: &str| Key::new(name).expect("valid");
        assert_eq!(fingerprint(&Transaction::new()), 0xa8c7_f832_281a_39c5);
        let all = Transaction::new()
            .absent(key("a"))
            .present(key("b"))
            .version_is(key("c"), Revision(7))
            .prefix_absent(key("d/"))
            .put(key("a"), "value", Some(Duration::from_millis(1500)))
            .delete(key("b"))
            .add(key("c"), -3, None)
            .extend(key("e"), Revision(9), Duration::from_secs(2));
        assert_eq!(fingerprint(&all), 0xe18c_88bc_3621_3252);
    }
}
