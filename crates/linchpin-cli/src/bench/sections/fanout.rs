//! One publisher, a thousand subscribers in one process, patterns that overlap: what the server sends, and whether
//! each subscriber gets each message once.

use crate::bench::problem::Result;
use crate::bench::report::FanOut;
use crate::bench::sampling::Samples;
use crate::bench::{PAYLOAD, Pace, Site};
use futures::StreamExt;
use linchpin::{Area, Coordinator, MessageStream, Pattern};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const SUBSCRIBERS: usize = 1000;
/// Nested in each other, from everything down to one channel.
const PATTERNS: [&str; 10] = ["*", "a*", "a.*", "a.b*", "a.b.*", "a.b.c*", "a.b.c", "a.[a-c].?", "*.c", "a.b.c.deep"];
const CHANNELS: [&str; 4] = ["a.b.c", "a.b.c.deep", "a.x", "z"];
const MESSAGES: usize = 200;
/// How long the last delivery of a message may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Stands for every channel that a subscriber's pattern does not match: nothing is due there.
const NONE: &str = "";
/// The message before which every other of its channel was delivered.
const LAST: &[u8] = b"last";

pub(crate) async fn run<S>(site: &Site<S>, pace: Pace) -> Result<FanOut> {
    let (publisher, process) = (site.coordinator().await?, site.process(&site.url, 1).await?);
    let messages = pace.rounds(MESSAGES);
    let progress = pace.progress("fanout", messages);
    let delivered = Arc::new(Semaphore::new(0));
    let mut subscribers = JoinSet::new();
    let mut audience: HashMap<&str, u32> = HashMap::new();
    for pattern in PATTERNS.into_iter().cycle().take(SUBSCRIBERS) {
        let channels = matching(pattern)?;
        for channel in &channels {
            *audience.entry(channel).or_default() += 1;
        }
        let stream = process.subscribe(pattern).await?;
        subscribers.spawn(listen(stream, channels, delivered.clone()));
    }
    let (mut copies, mut times) = (Some(0), Samples::default());
    let mut sent: HashMap<&str, u64> = HashMap::new();
    for channel in CHANNELS.into_iter().cycle().take(messages) {
        let started = Instant::now();
        let arrived = async {
            // Nobody else takes permits, and nobody closes it.
            drop(delivered.acquire_many(audience[channel]).await.map(tokio::sync::SemaphorePermit::forget));
        };
        let told = publish(&publisher, channel, PAYLOAD).await?;
        copies = copies.zip(told).map(|(most, told)| most.max(told));
        // A message that gets lost is counted in the end; here it only ends the wait.
        if tokio::time::timeout(PATIENCE, arrived).await.is_ok() {
            times.push(started.elapsed());
        }
        *sent.entry(channel).or_default() += 1;
        progress.step();
    }
    for channel in CHANNELS {
        publish(&publisher, channel, LAST).await?;
    }
    let mut fan_out = FanOut {
        subscribers: SUBSCRIBERS,
        patterns: PATTERNS.len(),
        messages,
        copies,
        due: 0,
        missing: 0,
        surplus: 0,
        times: times.series("publish to last delivery"),
    };
    while let Some(heard) = subscribers.join_next().await {
        for (channel, heard) in heard? {
            let due = sent.get(channel).copied().unwrap_or_default();
            fan_out.due += due;
            fan_out.missing += due.saturating_sub(heard);
            fan_out.surplus += heard.saturating_sub(due);
        }
    }
    publisher.shutdown().await?;
    process.shutdown().await?;
    Ok(fan_out)
}

/// Publishes to the port's subscribers; returns how many copies the server sent, where it tells: what Redis answers to
/// PUBLISH. All subscribers are in one process, so that is what the process was sent.
async fn publish(publisher: &Coordinator, channel: &str, payload: &'static [u8]) -> Result<Option<u64>> {
    let channel = Area::USER.channel(channel)?;
    Ok(publisher.driver().publish(&channel, payload.into()).await?.at_most)
}

/// The channels that a pattern matches.
fn matching(pattern: &str) -> Result<Vec<&'static str>> {
    let pattern = Pattern::new(pattern)?;
    Ok(CHANNELS.into_iter().filter(|channel| pattern.matches(channel)).collect())
}

/// Counts the messages of each channel until its last.
async fn listen(
    mut stream: MessageStream,
    channels: Vec<&'static str>,
    delivered: Arc<Semaphore>,
) -> HashMap<&'static str, u64> {
    let mut heard: HashMap<&str, u64> = channels.iter().map(|channel| (*channel, 0)).collect();
    let mut open = channels;
    while !open.is_empty() {
        // Silence for so long, an end or a gap: what is missing is seen by the count.
        let Ok(Some(message)) = tokio::time::timeout(PATIENCE * 2, stream.next()).await else { break };
        let Ok(message) = message else { continue };
        if message.payload == LAST {
            open.retain(|channel| *channel != message.channel);
        } else if let Some(count) = heard.get_mut(message.channel.as_str()) {
            *count += 1;
            delivered.add_permits(1);
        } else {
            *heard.entry(NONE).or_default() += 1;
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_has_a_channel_and_they_overlap() {
        let all = PATTERNS.map(|pattern| matching(pattern).expect("a pattern"));
        assert!(all.iter().all(|channels| !channels.is_empty()), "{all:?}");
        assert_eq!(all.iter().filter(|channels| channels.contains(&"a.b.c")).count(), 9);
    }
}
