//! Namespaces that are to be gone altogether.

use crate::arguments::Given;
use crate::config::PostgresConfig;
use crate::connection::{Connector, Pool};
use linchpin_core::{Namespace, Result};
use std::sync::Arc;

const ERASE: &str = "erase";

const THERE: &str = "SELECT 1 WHERE to_regclass('linchpin.namespaces') IS NOT NULL";

/// Removes namespaces with all that is in them, and with what `clear` keeps: how far their revisions went, which
/// transactions were applied. For namespaces that nobody will use again, as those of a test. Whoever does use one begins
/// anew: its revisions, and so its fencing tokens, are above those before as long as the server's clock was right.
///
/// The namespace of `config` does not matter.
///
/// # Errors
/// As [`PostgresCoordination::connect`](crate::PostgresCoordination::connect).
///
/// # Cancel safety
/// Dropping the future leaves some of it undone; erasing again does the rest.
pub async fn erase(config: PostgresConfig, namespaces: &[Namespace]) -> Result<()> {
    let connector = Arc::new(Connector::new(&config)?);
    let pool = Pool::new(connector);
    if pool.rows(ERASE, THERE, Given::default().of(ERASE)?).await?.is_empty() {
        return Ok(());
    }
    for namespace in namespaces {
        let given = Given::default().with(namespace.as_str()).of(ERASE)?;
        pool.rows(ERASE, "SELECT linchpin.erase($1)", given).await?;
    }
    pool.close();
    Ok(())
}
