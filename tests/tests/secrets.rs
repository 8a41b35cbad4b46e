//! A secret put into a URL, a value or a message never shows: a canary that everything printed is searched for.

use linchpin::{Coordinator, DistributedCoordination, RedisConfig, RetryPolicy};
use linchpin_tests::servers::RedisServer;
use std::fmt::Debug;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CANARY: &str = "canary-7f3a";

/// Everything that was printed or logged.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    fn print(&self, what: &(impl Debug + ?Sized)) {
        writeln!(self.0.lock().expect("no panic"), "{what:?} {what:#?}").expect("memory");
    }

    fn result<T: Debug>(&self, result: &linchpin::Result<T>) {
        if let Err(error) = result {
            writeln!(self.0.lock().expect("no panic"), "{error}").expect("memory");
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                writeln!(self.0.lock().expect("no panic"), "{cause} {cause:?}").expect("memory");
                source = cause.source();
            }
        }
        self.print(result);
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_value_or_payload_is_ever_printed() {
    let printed = Printed::default();
    let writer = printed.clone();
    let logs = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    tracing::subscriber::set_global_default(logs.finish()).expect("the only one");

    let server = RedisServer::start_local(&["--requirepass", CANARY]).await.expect("a server");
    let url = server.url().replace("redis://", &format!("redis://:{CANARY}@"));
    for wrong in [
        url.replace(CANARY, &format!("{CANARY}-wrong")),
        url.replace("127.0.0.1", "127.0.0.1.invalid"),
        url.replace("redis://", "rediss://"),
        url.replace("redis://", "nats://"),
        format!("{url}?nonsense=1"),
        format!("{url}/x"),
        format!("memory://user:{CANARY}@name"),
        format!("://{CANARY}@host"),
        format!("user:{CANARY}@host:6379"),
    ] {
        printed.result(&linchpin::connect(wrong).await);
    }
    printed.print(&RedisConfig::from_url(&url));
    printed.print(&Coordinator::builder(&url));

    let quick = RetryPolicy { attempts: 2, ..RetryPolicy::default() };
    let coordinator =
        Coordinator::builder(&url).timeout(Duration::from_secs(1)).retry(quick).connect().await.expect("connected");
    printed.print(&coordinator);
    printed.print(coordinator.driver());
    printed.print(coordinator.driver().capabilities());
    use_it(&coordinator, &printed).await;
    server.pause().await.expect("paused");
    use_it(&coordinator, &printed).await;
    server.resume().await.expect("resumed");
    server.kill().await.expect("killed");
    use_it(&coordinator, &printed).await;

    let printed = String::from_utf8_lossy(&printed.0.lock().expect("no panic")).into_owned();
    assert!(printed.len() > 10_000, "the spy heard too little: {} bytes", printed.len());
    let found = printed.lines().find(|line| line.contains(CANARY));
    assert_eq!(found, None, "the canary was printed");
}

/// Sends the canary as a value and a payload, and prints whatever can be printed.
async fn use_it(coordinator: &Coordinator, printed: &Printed) {
    let port: &dyn DistributedCoordination = &**coordinator;
    let too_large = CANARY.repeat(200_000);
    printed.result(&port.set("k", CANARY.as_bytes(), None).await);
    printed.result(&port.set("large", too_large.as_bytes(), None).await);
    printed.result(&port.incr("k", 1, None).await);
    printed.result(&port.publish("c", CANARY.as_bytes()).await);
    printed.result(&port.publish("c", too_large.as_bytes()).await);
    printed.result(&port.publish_with_ack("c", CANARY.as_bytes(), Duration::from_millis(50)).await);
    printed.result(&port.stats().await);
    let key = linchpin::Key::new("raw").expect("valid");
    let put = linchpin::Transaction::new().absent(key.clone()).put(key.clone(), CANARY, None);
    printed.print(&put);
    printed.result(&coordinator.driver().commit(&put).await);
    printed.result(&coordinator.driver().commit(&put).await);
    printed.result(&coordinator.driver().get(&[key]).await);
    let record = linchpin::Record::new(CANARY).with_header("h", CANARY);
    printed.print(&record);
    let stream = linchpin::StreamName::new("s").expect("valid");
    printed.result(&coordinator.driver().append(&stream, &[record]).await);
    let group = linchpin::GroupName::new("g").expect("valid");
    let claim = linchpin::Claim::new(stream, group, linchpin::MemberName::new("m").expect("valid"));
    printed.result(&coordinator.driver().claim(&claim).await);
    if let Ok(Some(guard)) = coordinator.lock("l").try_acquire().await {
        printed.result(&guard.put("locked", CANARY).await);
        printed.print(&guard);
    }
}
