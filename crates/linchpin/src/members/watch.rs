//! Watching who comes and goes.

use super::Member;
use futures::StreamExt;
use futures::stream::Stream;
use linchpin_core::{Driver, Error, Key, Range, Result, WatchEvent};
use std::collections::HashMap;
use std::pin::Pin;

/// Who comes and goes.
pub type MemberStream = Pin<Box<dyn Stream<Item = Result<MemberEvent>> + Send>>;

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberEvent {
    /// A member came; before `Synced`: was there.
    Joined(Member),
    /// A member says something else of itself.
    Updated(Member),
    /// A member left or expired; this is what it was.
    Left(Member),
    /// Everybody who was there has been told.
    Synced,
}

pub(super) async fn changes(driver: &dyn Driver, prefix: String, group: String) -> Result<MemberStream> {
    let events = driver.watch(&Range::prefix(prefix.clone())?).await?;
    let mut known = HashMap::new();
    let told = events.map(move |event| {
        let named = |error: Error| error.with_operation("watch").with_subject(&group);
        let told = event.and_then(|event| tell(&mut known, &prefix, event)).map_err(named);
        futures::stream::iter(match told {
            Ok(told) => told.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    });
    Ok(Box::pin(told.flatten()))
}

/// What an event means, given who is known to be there.
fn tell(known: &mut HashMap<Key, Member>, prefix: &str, event: WatchEvent) -> Result<Vec<MemberEvent>> {
    let entry = match event {
        WatchEvent::Synced { .. } => return Ok(vec![MemberEvent::Synced]),
        WatchEvent::Deleted { key, .. } => return Ok(known.remove(&key).map(MemberEvent::Left).into_iter().collect()),
        WatchEvent::Put(entry) => entry,
        _ => return Ok(Vec::new()),
    };
    let member = Member::of(prefix, &entry)?;
    Ok(match known.insert(entry.key, member.clone()) {
        None => vec![MemberEvent::Joined(member)],
        // Left and came again, and the watch told the last of it.
        Some(before) if before.joined != member.joined => vec![MemberEvent::Left(before), MemberEvent::Joined(member)],
        // A heartbeat that shortens a TTL writes the same again.
        Some(before) if before == member => vec![],
        Some(_) => vec![MemberEvent::Updated(member)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use linchpin_core::{Area, Entry, Revision, stored};

    fn put(created: u64, version: u64, metadata: &'static str) -> WatchEvent {
        let node = stored::Node { metadata: metadata.into(), ..stored::Node::default() };
        let (key, value) = (Area::node("g", "n").expect("a name"), node.encode());
        WatchEvent::Put(Entry { key, value, created: Revision(created), version: Revision(version), ttl: None })
    }

    #[test]
    fn a_member_that_left_unseen_and_came_again_is_told_as_both() {
        let prefix = Area::NODES.group("g").expect("a name");
        let mut known = HashMap::new();
        let mut tell = |event| tell(&mut known, &prefix, event).expect("told");
        assert!(matches!(tell(put(1, 1, "a"))[..], [MemberEvent::Joined(_)]));
        assert!(tell(put(1, 2, "a")).is_empty());
        assert!(matches!(tell(put(1, 3, "b"))[..], [MemberEvent::Updated(_)]));
        assert!(matches!(tell(put(7, 7, "b"))[..], [MemberEvent::Left(_), MemberEvent::Joined(_)]));
        let key = Area::node("g", "n").expect("a name");
        assert!(matches!(
            tell(WatchEvent::Deleted { key: key.clone(), version: Revision(8) })[..],
            [MemberEvent::Left(_)]
        ));
        assert!(tell(WatchEvent::Deleted { key, version: Revision(9) }).is_empty());
    }
}
