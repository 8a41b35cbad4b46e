//! A span per call, named and labelled as in OpenTelemetry's database and messaging conventions.

use super::around::Call;
use crate::error::Result;
use std::sync::Arc;
use tracing::Instrument;

/// Opens a span around each call: which operation on which key, channel or stream, and how it ended.
/// Values and payloads never appear.
///
/// Source: OpenTelemetry semantic conventions, `db.*` and `messaging.*`.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub(super) backend: Arc<str>,
    pub(super) namespace: Arc<str>,
}

impl Trace {
    pub(super) fn around<T>(
        &self,
        call: Call<'_>,
        run: impl Future<Output = Result<T>>,
    ) -> impl Future<Output = Result<T>> {
        let (system, operation, subject) = (&*self.backend, call.operation.as_str(), call.subject);
        let span = match operation {
            "publish" | "subscribe" | "append" | "claim" | "settle" | "inspect" | "trim" | "remove_group" => {
                tracing::debug_span!(
                    "linchpin",
                    otel.kind = "client",
                    messaging.system = system,
                    messaging.operation.name = operation,
                    messaging.destination.name = subject,
                    linchpin.namespace = &*self.namespace,
                    error.r#type = tracing::field::Empty,
                )
            }
            _ => tracing::debug_span!(
                "linchpin",
                otel.kind = "client",
                db.system.name = system,
                db.operation.name = operation,
                db.namespace = &*self.namespace,
                linchpin.key = subject,
                error.r#type = tracing::field::Empty,
            ),
        };
        async move {
            let result = run.await;
            if let Err(error) = &result {
                tracing::Span::current().record("error.type", error.kind().as_str());
                tracing::debug!(%error, "failed");
            }
            result
        }
        .instrument(span)
    }
}
