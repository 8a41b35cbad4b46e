//! Reading a whole range, page by page.

use linchpin_core::{Driver, Entry, Page, Range, Result};

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
