//! Letting work run for so long and no longer.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinError;

/// Why supervised work has no result.
#[derive(Debug, PartialEq)]
pub(super) enum Stopped {
    /// It was still running when its time was over.
    Hung(Duration),
    /// It panicked, with this message.
    Panicked(String),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hung(limit) => {
                write!(f, "it was not done after {limit:?}: a call hangs, or it waits for what the driver has told")
            }
            Self::Panicked(message) => write!(f, "it panicked: {message}"),
        }
    }
}

/// Runs a future on the runtime and waits for it on this thread, outside of the runtime: so a driver that
/// blocks the runtime's own threads is noticed as well.
pub(super) fn supervised<T: Send + 'static>(
    runtime: &Handle,
    limit: Duration,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, Stopped> {
    let (sender, receiver) = mpsc::channel();
    let task = runtime.spawn(future);
    let abort = task.abort_handle();
    runtime.spawn(async move {
        // Nobody listens any more if the time is over.
        let _ = sender.send(task.await);
    });
    let Ok(ended) = receiver.recv_timeout(limit) else {
        abort.abort();
        return Err(Stopped::Hung(limit));
    };
    ended.map_err(|error| Stopped::Panicked(panic_message(error)))
}

fn panic_message(error: JoinError) -> String {
    let payload: Box<dyn Any + Send> = match error.try_into_panic() {
        Ok(payload) => payload,
        Err(error) => return error.to_string(),
    };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().map_or("no message", |message| message).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_or_panics_is_told_and_what_ends_is_returned() {
        let runtime = tokio::runtime::Runtime::new().expect("starts");
        let limit = Duration::from_millis(200);
        let run = |future| supervised(runtime.handle(), limit, future);
        // A panic that shows its backtrace takes its time on a busy machine.
        let run_in_peace = |future| supervised(runtime.handle(), Duration::from_mins(1), future);
        let future = |n: u32| async move {
            match n {
                0 => std::future::pending::<()>().await,
                1 => std::thread::sleep(Duration::from_secs(1)),
                2 => panic!("number {n}"),
                3 => panic!("plain"),
                _ => {}
            }
        };
        assert_eq!(run(future(0)), Err(Stopped::Hung(limit)));
        assert_eq!(run(future(1)), Err(Stopped::Hung(limit)));
        assert_eq!(run_in_peace(future(2)), Err(Stopped::Panicked("number 2".to_owned())));
        assert_eq!(run_in_peace(future(3)), Err(Stopped::Panicked("plain".to_owned())));
        assert_eq!(run_in_peace(future(4)), Ok(()));
    }
}
