//! The error of what must not be overlooked: until it succeeds, Redis answers what is no longer true.

use std::time::Duration;

use super::Error;

/// **Something was not revoked, rotated or reset**, or it is not known, and what that leaves open.
///
/// It does not become an [`Error`] by itself, so that a `?` in a function that returns one cannot lose
/// [`stale_for`](Self::stale_for): say what is done about it, or `map_err(|failed| failed.error)`.
///
/// ```
/// use auth_adapter_redis::key::UserId;
/// use auth_adapter_redis::{ExposedError, Sessions};
///
/// async fn log_out_everywhere(sessions: &Sessions, user: &UserId) {
///     if let Err(ExposedError { error, stale_for, .. }) = sessions.revoke_all(user, &[]).await {
///         eprintln!("{error}: revoke again, and for {stale_for:?} trust no check of this user");
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{what} for up to {stale_for:?}: {error}")]
#[non_exhaustive]
pub struct ExposedError {
    /// What happened.
    #[source]
    pub error: Error,
    /// How long Redis can go on answering what is no longer true, if no later call succeeds. The
    /// operation says what that is. It follows the settings of this caller: if another of the same Redis
    /// says longer, what that one wrote is exposed for longer.
    pub stale_for: Duration,
    /// What is exposed, in words.
    what: &'static str,
}

impl ExposedError {
    pub(crate) fn new(error: Error, what: &'static str, stale_for: Duration) -> Self {
        Self { error, stale_for, what }
    }
}
