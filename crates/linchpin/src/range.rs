//! Reading a whole range, page by page; waiting until a key is gone.

use futures::StreamExt;
use linchpin_core::{Driver, Entry, Error, ErrorKind, Key, Page, Range, Result, WatchEvent};

/// Every entry of a range, ascending; `page` says whether with values. Pages may be of different revisions.
pub(crate) async fn read_all(driver: &dyn Driver, range: &Range, mut page: Page) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    loop {
        let found = driver.scan(range, &page).await?;
        page.after = found.entries.last().map(|entry| entry.key.clone()).or(page.after);
        entries.extend(found.entries);
        if !found.more {
            return Ok(entries);
        }
    }
}

/// Returns once a key is not there, as far as its watch tells.
pub(crate) async fn until_gone(driver: &dyn Driver, key: &Key) -> Result<()> {
    let mut events = driver.watch(&Range::Key(key.clone())).await?;
    let mut present = false;
    while let Some(event) = events.next().await {
        match event? {
            WatchEvent::Put(_) => present = true,
            WatchEvent::Deleted { .. } => return Ok(()),
            WatchEvent::Synced { .. } if !present => return Ok(()),
            _ => {}
        }
    }
    Err(Error::new(ErrorKind::Unavailable, "watch", "the watch ended"))
}
