//! The times that the specification asks of an adapter.

use crate::bench::problem::{Problem, Result};
use crate::bench::report::Series;
use crate::bench::sampling::Samples;
use crate::bench::{PAYLOAD, Pace, Site};

const ROUNDS: usize = 500;
const KEYS: usize = 100;

pub(crate) const PUBLISH: &str = "publish";
pub(crate) const SUBSCRIBE: &str = "subscribe";
pub(crate) const LIST: &str = "keys, 100 of them";
pub(crate) const DELETE: &str = "delete_many, 100 keys";

pub(crate) async fn run<S>(site: &Site<S>, pace: Pace) -> Result<Vec<Series>> {
    let coordinator = site.coordinator().await?;
    let port = coordinator.port();
    let rounds = pace.rounds(ROUNDS);
    let progress = pace.progress("specification", rounds);
    let [mut publish, mut subscribe, mut list, mut delete] = [(); 4].map(|()| Samples::default());
    let names: Vec<String> = (0..KEYS).map(|number| format!("specification:{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for round in 0..rounds {
        for name in &names {
            port.set(name, PAYLOAD, None).await?;
        }
        publish.timed(port.publish("specification", PAYLOAD)).await?;
        drop(subscribe.timed(port.subscribe(&format!("specification-{round}"))).await?);
        let found = list.timed(port.keys("specification:*")).await?;
        let deleted = delete.timed(port.delete_many(&names)).await?;
        if (found.len(), deleted) != (KEYS, KEYS) {
            let problem = format!("{} of {KEYS} keys were listed and {deleted} deleted", found.len());
            return Err(Problem::new(problem));
        }
        progress.step();
    }
    coordinator.shutdown().await?;
    Ok(vec![publish.series(PUBLISH), subscribe.series(SUBSCRIBE), list.series(LIST), delete.series(DELETE)])
}
