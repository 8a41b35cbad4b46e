//! Namespaces that are to be gone altogether.

use crate::arguments::{Arguments, field};
use crate::config::PostgresConfig;
use crate::connection::Pool;
use linchpin_core::life::Life;
use linchpin_core::{Namespace, Result};

const ERASE: &str = "erase";

/// How many rows a call removes: it must end in time, however large the namespace is.
const ERASED: i32 = 4096;

const THERE: &str = "SELECT 1 WHERE to_regclass('linchpin.namespaces') IS NOT NULL";

/// Whoever does use such a namespace again begins anew: its revisions, and so its fencing tokens, are above those before
/// as long as the server's clock was right. What somebody was just doing in one may be left; the next call removes it,
/// whichever namespaces that names.
pub(crate) async fn erase(config: &PostgresConfig, namespaces: &[Namespace]) -> Result<()> {
    let pool = Pool::new(config, Life::in_runtime())?;
    if pool.rows(ERASE, THERE, Arguments::default().of(ERASE)?).await?.is_empty() {
        return Ok(());
    }
    for namespace in namespaces {
        let step = async || {
            let given = Arguments::default().with(namespace.as_str()).with(ERASED).of(ERASE)?;
            field(ERASE, &pool.row(ERASE, "SELECT linchpin.erase($1, $2)", given).await?, 0)
        };
        while !step().await? {}
    }
    let is_left = async || {
        let given = Arguments::default().with(ERASED).of(ERASE)?;
        field(ERASE, &pool.row(ERASE, "SELECT linchpin.erase_lost($1)", given).await?, 0)
    };
    while is_left().await? {}
    pool.close();
    Ok(())
}
