//! What a change is told under.

use crate::hub::Topic;
use linchpin_core::Range;

/// What the changes of a key are told under, so that only those hear of them who watch something there: its name up to the
/// second `/`, which is a lock's queue, the candidates of an election or the members of a group; the whole name where there
/// are not as many, as of a leader's seat or a user's key.
///
/// ```
/// use linchpin_adapter::feed::topic_of;
/// assert_eq!(topic_of("lock/6:orders/0a7f"), "lock/6:orders/");
/// assert_eq!(topic_of("user/config"), "user/config");
/// ```
pub fn topic_of(name: &str) -> &str {
    second_slash(name).map_or(name, |end| &name[..end])
}

/// Where the changes of a range are told: under one topic, or under all that start alike.
///
/// ```
/// use linchpin_adapter::feed::topic;
/// use linchpin_adapter::hub::Topic;
/// use linchpin_core::{Key, Range};
/// # fn main() -> linchpin_core::Result<()> {
/// assert_eq!(topic(&Range::prefix("lock/6:orders/")?), Topic::Channel("lock/6:orders/".to_owned()));
/// assert_eq!(topic(&Range::prefix("user/con")?), Topic::Start("user/con".to_owned()));
/// assert_eq!(topic(&Range::Key(Key::new("user/config")?)), Topic::Channel("user/config".to_owned()));
/// # Ok(())
/// # }
/// ```
pub fn topic(range: &Range) -> Topic {
    match range {
        Range::Key(key) => Topic::Channel(topic_of(key.as_str()).to_owned()),
        Range::Prefix(prefix) => match second_slash(prefix) {
            Some(end) => Topic::Channel(prefix[..end].to_owned()),
            None => Topic::Start(prefix.clone()),
        },
    }
}

/// Where a name goes on after its second `/`.
fn second_slash(name: &str) -> Option<usize> {
    name.match_indices('/').nth(1).map(|(at, slash)| at + slash.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::Key;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn who_watches_a_range_hears_of_all_its_keys(prefix in "[a/é]{0,6}", rest in "[a/é]{0,6}") {
            let Ok(key) = Key::new([&*prefix, &*rest].concat()) else { return Ok(()) };
            let told = Topic::Channel(topic_of(key.as_str()).to_owned());
            for range in [Range::Prefix(prefix), Range::Key(key)] {
                prop_assert!(topic(&range).covers(&told), "{range:?} hears nothing of {told:?}");
            }
        }
    }
}
