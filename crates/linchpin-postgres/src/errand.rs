//! Calls that run as tasks of the handle: a caller who does not go on, or gives up, keeps nothing that others need.

use linchpin_core::life::Life;
use tokio::sync::oneshot;

/// Makes a call on behalf of somebody; it ends where he gives up. `None` if the handle ends before it does.
pub(crate) async fn run<T: Send + 'static>(life: &Life, call: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (mut reply, answer) = oneshot::channel();
    life.spawn(async move {
        let answer = tokio::select! {
            answer = call => answer,
            () = reply.closed() => return,
        };
        // Nobody may wait any more.
        let _ = reply.send(answer);
    });
    answer.await.ok()
}
