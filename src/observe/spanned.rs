//! As spans of `tracing`. Their fields have OpenTelemetry's names where it has one:
//! [Redis](https://opentelemetry.io/docs/specs/semconv/db/redis/),
//! [databases](https://opentelemetry.io/docs/specs/semconv/db/database-spans/).

use tracing::field::{Empty, debug};
use tracing::{Instrument, Span, info_span};

use crate::error::Error;

/// What came of something that was dropped before it had ended.
const CANCELLED: &str = "cancelled";

/// A part of a call that a task of its own does: its spans are within the present one.
pub(crate) fn inherit<F: Future>(part: F) -> impl Future<Output = F::Output> {
    part.in_current_span()
}

/// From when it begins until it is dropped. It is not entered: a call mostly waits.
pub(super) struct Call {
    span: Span,
    outcome: &'static str,
}

impl Call {
    pub(super) fn script(name: &'static str) -> Self {
        let call = Self::begin("EVALSHA", name);
        call.span.record("db.stored_procedure.name", name);
        call
    }

    pub(super) fn command(name: impl FnOnce() -> &'static str) -> Self {
        let name = name();
        Self::begin(name, name)
    }

    fn begin(command: &'static str, name: &'static str) -> Self {
        let span = info_span!(
            target: "auth_adapter_redis",
            "redis.call",
            otel.kind = "client",
            otel.name = name,
            otel.status_code = Empty,
            db.system.name = "redis",
            db.operation.name = command,
            db.stored_procedure.name = Empty,
            outcome = Empty,
            "error.type" = Empty,
        );
        Self { span, outcome: CANCELLED }
    }

    pub(super) fn came_to(&mut self, outcome: &'static str, error: Option<&Error>) {
        self.outcome = outcome;
        let Some(error) = error else { return };
        self.span.record("otel.status_code", "ERROR");
        match error.server_kind() {
            Some(kind) => self.span.record("error.type", debug(kind)),
            None => self.span.record("error.type", outcome),
        };
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.span.record("outcome", self.outcome);
    }
}
