//! Namespaces that are to be gone altogether.

use crate::commands::namespace_of;
use crate::config::RedisConfig;
use crate::connection::Connection;
use linchpin_core::life::Life;
use linchpin_core::{Namespace, Result};
use redis::cmd;
use std::collections::HashSet;

const ERASE: &str = "erase";

/// How many of the server's names are looked at in a step: others get their turn in between.
const STEP: usize = 1000;

/// Goes through all names of the server once, some at a time. The user must be allowed to read all names and to remove
/// these. Whoever does use such a namespace again begins anew: its revisions, and so its fencing tokens, may be less than
/// before.
pub(crate) async fn erase(config: &RedisConfig, namespaces: &[Namespace]) -> Result<()> {
    let unwanted: HashSet<&[u8]> = namespaces.iter().map(|namespace| namespace.as_str().as_bytes()).collect();
    let connection = Connection::open(config, &Life::in_runtime()).await?;
    let mut cursor = 0_u64;
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg("linchpin:{*").arg("COUNT").arg(STEP);
        let (next, names): (u64, Vec<Vec<u8>>) = connection.send(ERASE, &scan).await?;
        let is_unwanted = |name: &&Vec<u8>| namespace_of(name).is_some_and(|namespace| unwanted.contains(namespace));
        let found: Vec<_> = names.iter().filter(is_unwanted).collect();
        if !found.is_empty() {
            let _: u64 = connection.send(ERASE, cmd("UNLINK").arg(found)).await?;
        }
        if next == 0 {
            connection.close();
            return Ok(());
        }
        cursor = next;
    }
}
