//! Who is logged in: sessions that stay revoked once they are, whatever comes late, twice or after a
//! loss.
//!
//! Redis keeps all of a user in one hash, `user:{userId}:state`, so every change is one script on one
//! key. The database is the authority and Redis its cache, unless
//! [`Authority::Redis`] says that there is none behind. With a database these are the caller's rules:
//!
//! 1. **The database commits first.** Create a session, or revoke it, in the database; then say so here.
//! 2. **Between [`check`](Sessions::check) and [`confirm`](Sessions::confirm), and between
//!    [`list`](Sessions::list) and [`fill`](Sessions::fill), read the primary database**, never a
//!    replica, which may not have heard of a revoke.
//! 3. **What Redis revoked by itself is yours to finish.** The ids that a [`create`](Sessions::create)
//!    displaced are revoked in the database next, and here once more after that commit: until then
//!    Redis alone knows, and Redis can forget.
//! 4. **A revoke that failed is tried again** until it succeeds; [`ExposedError`] says what stands open
//!    until then.
//!
//! What is promised then: once a revoke has succeeded, no interleaving, no late or second execution,
//! and no loss of the hash makes `check` say [`Active`](Check::Active) again. What remains is a
//! server that itself goes back in time: a failover to a replica that had not heard of the revoke, or a
//! restart from an old snapshot. A session that comes back so reads active until the end of its
//! confirmation at the most: 300 s after the check that led to it. With [`Authority::Redis`] nothing
//! bounds that but the session's own end, and the server must evict nothing.
//!
//! **The flag `session:…:active` is not part of this.** Whoever writes it with
//! [`CacheAdapter::set`](crate::CacheAdapter::set) has no version to write it under, so a late write can
//! bring a revoked session back until the flag's TTL ends. These guarantees are for this store alone.

#[cfg(test)]
pub(crate) mod laws;
mod outcome;
mod reply;
mod row;
mod settings;

use crate::connection::Redis;
use crate::error::{Error, ExposedError, Result, ServerErrorKind};
use crate::key::{SessionId, UserId};
use crate::random::Nonce;
use crate::script::{Call, Operation, own};
use reply::Told;
use settings::{Settings, check_also, check_count};

pub use outcome::{Check, Confirm, Create, Fill, List, Revoked, Touch, Version};
pub use row::{Record, Row, Session};

static CHECK: Operation = Operation::new(|| own("session/check"));
static CONFIRM: Operation = Operation::new(|| own("session/confirm"));
static CREATE: Operation = Operation::new(|| own("session/create"));
static FILL: Operation = Operation::new(|| own("session/fill"));
static LIST: Operation = Operation::new(|| own("session/list"));
static REVOKE: Operation = Operation::new(|| own("session/revoke"));
static REVOKE_ALL: Operation = Operation::new(|| own("session/revoke_all"));
static REVOKE_OTHERS: Operation = Operation::new(|| own("session/revoke_others"));
static TOUCH: Operation = Operation::new(|| own("session/touch"));

/// The sessions of all users. See [the module](self) for the rules.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let redis = auth_adapter_redis::Redis::connect(&server.url()).await?;
/// use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
/// use auth_adapter_redis::session::{Check, Confirm, Row, Sessions};
/// use std::time::{Duration, SystemTime};
///
/// let sessions = Sessions::new(redis);
/// let (user, id) = (UserId::new("42")?, SessionId::new("abc")?);
/// // What the database has committed:
/// let expires = Timestamp::try_from(SystemTime::now() + Duration::from_secs(86_400))?;
/// let row = Row::new(id.clone(), Timestamp::now(), expires);
///
/// let Check::Unknown(version) = sessions.check(&user, &id).await? else { panic!("it is new") };
/// // … the primary database says that it is active …
/// assert_eq!(sessions.confirm(&user, &row, &version).await?, Confirm::Confirmed);
/// assert!(matches!(sessions.check(&user, &id).await?, Check::Active(_)));
///
/// // … the database has committed that it is revoked …
/// sessions.revoke(&user, &[id.clone()], &["user:42"]).await?;
/// assert_eq!(sessions.check(&user, &id).await?, Check::Revoked);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Sessions {
    redis: Redis,
    settings: Settings,
}

/// Who knows best which sessions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Authority {
    /// A database, and Redis is its cache.
    #[default]
    Database,
    /// Redis, and there is nothing behind. It must keep what it is told: `maxmemory-policy noeviction`
    /// and `appendonly yes`.
    Redis,
}

impl Sessions {
    /// Sessions on this handle, with a database behind and any number a user.
    pub fn new(redis: Redis) -> Self {
        Self { redis, settings: Settings::default() }
    }

    /// Adds a session, and displaces the oldest ones by creation time where there are more than
    /// [`with_max`](Self::with_max) then, never the new one. However many clients log in at once, the
    /// maximum holds. One round trip.
    ///
    /// With a database behind, a new session reads [unknown](Check::Unknown) until it is confirmed
    /// or filled, since a late create may meet no trace of its own revoke.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where the row lasts longer than
    /// [`with_longest_session`](Self::with_longest_session) or its record is over 64 KiB;
    /// [`Error::Server`] with `OOM` where the server is full; [`Error::Unavailable`], or
    /// [`Error::Unanswered`]: then create again, which tells of the same displaced sessions.
    pub async fn create(&self, user: &UserId, row: &Row) -> Result<Create> {
        self.check_row(row)?;
        let call = CREATE.call(&self.redis).key("state", &self.state(user));
        let call = call.arg("session", row.id.as_str()).arg("nonce", Nonce::new()?);
        let call = call.arg("created", row.created.as_millis());
        let call = call.arg("expires", row.expires.as_millis());
        let call = call.arg("record", row.record.as_bytes());
        let call = call.arg("max", self.settings.max).arg("database", self.database());
        let told: Told = call.run().await?;
        match &*told.outcome {
            "created" => Ok(Create::Created { displaced: told.ids()? }),
            "revoked" => Ok(Create::Revoked { displaced: told.ids()? }),
            "expired" => Ok(Create::Expired { displaced: told.ids()? }),
            "unfilled" => Ok(Create::NeedsFill(told.version()?)),
            _ => told.unknown(),
        }
    }

    /// Whether a session is active. One round trip, which writes nothing where Redis knows.
    ///
    /// # Errors
    ///
    /// What would also fail on a sound server: [`Error::Server`] with `WRONGTYPE`, [`Error::Reply`]. That
    /// Redis is away, or full where it has to note something, is [`Check::Degraded`] with a database
    /// behind; under [`Authority::Redis`] it is [`Error::Unavailable`], [`Error::Unanswered`] or
    /// [`Error::Server`].
    pub async fn check(&self, user: &UserId, session: &SessionId) -> Result<Check> {
        let call = CHECK.call(&self.redis).key("state", &self.state(user));
        let call = call.arg("session", session.as_str()).arg("nonce", Nonce::new()?);
        let told: Told = match call.arg("database", self.database()).run().await {
            Err(error) if self.settings.has_database() && !error.is_rejection() => {
                return Ok(Check::Degraded { why: error.to_string() });
            }
            told => told?,
        };
        match &*told.outcome {
            "active" => Ok(Check::Active(told.session(session)?)),
            "revoked" => Ok(Check::Revoked),
            "absent" => Ok(Check::Absent),
            "unknown" => Ok(Check::Unknown(told.version()?)),
            _ => told.unknown(),
        }
    }

    /// Brings back what the primary database said after the [`check`](Self::check) that gave this
    /// version: that this session is active. It reads so without the database for 300 s after that
    /// check. Of a session that Redis has, nothing else changes. One round trip.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create). [`Error::InvalidInput`] under [`Authority::Redis`].
    pub async fn confirm(&self, user: &UserId, row: &Row, version: &Version) -> Result<Confirm> {
        self.needs_database()?;
        self.check_row(row)?;
        let call = CONFIRM.call(&self.redis).key("state", &self.state(user));
        let call = call.arg("session", row.id.as_str()).arg("version", &version.text);
        let call = call.arg("asked", version.asked);
        let call = call.arg("created", row.created.as_millis());
        let call = call.arg("expires", row.expires.as_millis());
        let call = call.arg("record", row.record.as_bytes());
        let outcome: String = call.arg("lasts", self.settings.confirmed).run().await?;
        match &*outcome {
            "confirmed" => Ok(Confirm::Confirmed),
            "stale" => Ok(Confirm::Stale),
            "revoked" => Ok(Confirm::Revoked),
            "expired" => Ok(Confirm::Expired),
            _ => Told { outcome, rest: Vec::new() }.unknown(),
        }
    }

    /// Brings back what the primary database said after the [`list`](Self::list),
    /// [`create`](Self::create) or [`check`](Self::check) that gave this version: that these are all
    /// active sessions of the user. They read active, and the list complete, for 300 s after that.
    /// Sessions that Redis has stay, with what it has of them. The maximum is left to the next
    /// [`create`](Self::create). One round trip.
    ///
    /// # Errors
    ///
    /// As [`confirm`](Self::confirm), for each row; and for more than 100,000 of them.
    pub async fn fill(&self, user: &UserId, rows: &[Row], version: &Version) -> Result<Fill> {
        self.needs_database()?;
        check_count("sessions", rows.len())?;
        for row in rows {
            self.check_row(row)?;
        }
        let call = FILL.call(&self.redis).key("state", &self.state(user));
        let call = call.arg("version", &version.text).arg("asked", version.asked);
        let call = call.arg("lasts", self.settings.confirmed).arg("complete", self.settings.list);
        let rows = rows.iter().map(|row| {
            let times = (row.created.as_millis(), row.expires.as_millis());
            (row.id.as_str(), times.0, times.1, row.record.as_bytes())
        });
        let told: Told = call.args("session", rows).run().await?;
        match &*told.outcome {
            "filled" => Ok(Fill::Filled { revoked: told.ids()? }),
            "stale" => Ok(Fill::Stale),
            _ => told.unknown(),
        }
    }

    /// Notes that a session is in use, at most once in 25 s, and never of one that is not known to be
    /// active. It makes nothing last longer. One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Unanswered`] or [`Error::Server`].
    pub async fn touch(&self, user: &UserId, session: &SessionId) -> Result<Touch> {
        let call = TOUCH.call(&self.redis).key("state", &self.state(user));
        let call = call.arg("session", session.as_str());
        let call = call.arg("debounce", self.settings.debounce);
        match call.arg("database", self.database()).run::<i64>().await? {
            0 => Ok(Touch::NotActive),
            1 => Ok(Touch::Recent),
            _ => Ok(Touch::Noted),
        }
    }

    /// All sessions of a user, if Redis knows all of them. An answer of none is an answer: with a
    /// database behind, one that was [filled](Self::fill). New ones are among them before they are
    /// confirmed. One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Unanswered`], or [`Error::Server`], with `OOM` where nothing is
    /// known of the user and the server is full. With a database behind, ask that.
    pub async fn list(&self, user: &UserId) -> Result<List> {
        let call = LIST.call(&self.redis).key("state", &self.state(user));
        let call = call.arg("nonce", Nonce::new()?).arg("database", self.database());
        let told: Told = call.run().await?;
        match &*told.outcome {
            "sessions" => Ok(List::Sessions(told.sessions()?)),
            "unfilled" => Ok(List::NeedsFill(told.version()?)),
            _ => told.unknown(),
        }
    }

    /// Ends sessions for good, and deletes these keys of any type with them, in one script, or does
    /// nothing. It is the same whether Redis knows the sessions or not. One round trip; on a cluster
    /// whose slot is just moving two, see [`Revoked::undeleted`], within half a deadline each.
    ///
    /// # Errors
    ///
    /// [`ExposedError`] says how long a session that was not revoked can read active: with a database
    /// behind as long as the longer of [`with_confirmed_for`](Self::with_confirmed_for) and
    /// [`with_list_for`](Self::with_list_for), else until the session's end, at most
    /// [`with_longest_session`](Self::with_longest_session); or, where that is longer, how long one of
    /// these keys can live, by the TTLs of [`Keys`](crate::key::Keys), 30 days for a key of no pattern
    /// there. Its source is [`Error::InvalidInput`] for a bad key, or one that this store keeps; [`Error::CrossSlot`] on a
    /// cluster for a key outside the user's slot; or what the connection and the server say.
    pub async fn revoke(
        &self,
        user: &UserId,
        sessions: &[SessionId],
        also_delete: &[&str],
    ) -> Result<Revoked, ExposedError> {
        self.end(&REVOKE, user, also_delete, |call, nonce| {
            check_count("sessions", sessions.len())?;
            let call = call.arg("nonce", nonce).arg("longest", self.settings.longest);
            Ok(call.args("session", sessions.iter().map(SessionId::as_str)))
        })
        .await
    }

    /// Ends all sessions of a user that Redis knows, for good, and nothing of what Redis does not know
    /// can be confirmed by what was read before. Else as [`revoke`](Self::revoke).
    ///
    /// # Errors
    ///
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_all(
        &self,
        user: &UserId,
        also_delete: &[&str],
    ) -> Result<Revoked, ExposedError> {
        self.end(&REVOKE_ALL, user, also_delete, |call, nonce| Ok(call.arg("nonce", nonce))).await
    }

    /// Ends all sessions of a user but one. Else as [`revoke_all`](Self::revoke_all).
    ///
    /// # Errors
    ///
    /// As [`revoke`](Self::revoke).
    pub async fn revoke_others(
        &self,
        user: &UserId,
        stays: &SessionId,
        also_delete: &[&str],
    ) -> Result<Revoked, ExposedError> {
        self.end(&REVOKE_OTHERS, user, also_delete, |call, nonce| {
            Ok(call.arg("stays", stays.as_str()).arg("nonce", nonce))
        })
        .await
    }

    /// Runs what ends sessions, once its arguments are bound.
    async fn end(
        &self,
        script: &Operation,
        user: &UserId,
        also: &[&str],
        bind: impl for<'r> Fn(Call<'r>, &Nonce) -> Result<Call<'r>>,
    ) -> Result<Revoked, ExposedError> {
        let state = self.state(user);
        let ending = async {
            check_also(also)?;
            let nonce = Nonce::new()?;
            let redis = self.half_as_patient(also)?;
            let begin = |also: &[&str]| {
                let call = script.call_many(&redis, also.len()).key("state", &state);
                bind(call.keys("also", also.iter().copied()), &nonce)
            };
            match begin(also)?.run().await {
                // The state alone is one key, which is found on either side.
                Err(error) if !also.is_empty() && may_be_moving(&redis, &error) => {
                    let undeleted = also.iter().map(|&key| key.to_owned()).collect();
                    match begin(&[])?.run().await {
                        // What the second was refused says nothing of the first.
                        Err(refused)
                            if error.may_have_executed() && !refused.may_have_executed() =>
                        {
                            Err(error)
                        }
                        told => revoked(told?, undeleted),
                    }
                }
                told => revoked(told?, Vec::new()),
            }
        };
        let what = "sessions were not revoked and may read active";
        let exposed = |error| ExposedError::new(error, what, self.settings.stale_for(also));
        ending.await.map_err(exposed)
    }

    /// Where two calls may be needed, each has half the time.
    fn half_as_patient(&self, also: &[&str]) -> Result<Redis> {
        let redis = self.redis.clone();
        let half = redis.call_deadline() / 2;
        match redis.is_cluster() && !also.is_empty() {
            true => redis.with_call_deadline(half),
            false => Ok(redis),
        }
    }

    fn state(&self, user: &UserId) -> String {
        self.redis.keys().user_state(user)
    }

    fn database(&self) -> u8 {
        u8::from(self.settings.has_database())
    }
}

/// While a slot moves, a call on keys of which one is on neither side is refused until its deadline,
/// which may pass during the last attempt.
fn may_be_moving(redis: &Redis, error: &Error) -> bool {
    let refused = error.server_kind() == Some(ServerErrorKind::TryAgain);
    redis.is_cluster() && (refused || matches!(error, Error::Unanswered { .. }))
}

fn revoked(told: Told, undeleted: Vec<String>) -> Result<Revoked> {
    match &*told.outcome {
        "ended" => Ok(Revoked { ended: told.ids()?, undeleted }),
        _ => told.unknown(),
    }
}
