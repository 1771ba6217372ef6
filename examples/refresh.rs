//! A whole refresh, database first: two tabs at once, and a tab that was slow.
//!
//! Start it against `REDIS_URL` or a Redis on this machine. The database is one in memory.
#![allow(dead_code, reason = "tests use a part of it")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};
use std::{env, error::Error};

use auth_adapter_redis::key::{SessionId, Timestamp, TokenHash, UserId};
use auth_adapter_redis::refresh::{Issue, Lookup, Rotate};
use auth_adapter_redis::{Redis, RefreshToken, RefreshTokens, Sessions, session};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the database says to a presented token.
pub(crate) enum Consumed {
    /// It was the current one: it is consumed now, and the next one is current.
    Now,
    /// It was consumed before, so long ago.
    Before(Duration),
    /// It is none of an active session.
    Never,
}

/// What the client is told.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// These bytes, with the next token.
    Ok(Vec<u8>),
    /// To ask again in a moment.
    TryAgain,
    /// To take the token that another tab was given.
    Stale,
    /// To log in.
    LogIn,
}

pub(crate) async fn refresh(
    database: &Database,
    sessions: &Sessions,
    tokens: &RefreshTokens,
    presented: &str,
) -> Result<Answer> {
    let Ok(presented) = RefreshToken::parse(presented) else {
        return Ok(Answer::LogIn);
    };
    let next = presented.next()?;
    match database.consume(&presented, &next) {
        Consumed::Now => {
            let response = next.expose().into_bytes();
            let mut told = tokens.rotate(&presented, &next, &response).await;
            if let Ok(Rotate::Unknown) = told {
                // Redis is behind: it is brought up to where the database was a moment ago.
                if let Ok(Issue::Issued) = tokens.issue(&presented).await {
                    told = tokens.rotate(&presented, &next, &response).await;
                }
            }
            if let Ok(Rotate::Revoked | Rotate::Reused { .. }) = told {
                return end(database, sessions, &presented).await;
            }
            // Redis knows of it, has no such session, or is away: the database has said yes.
            Ok(Answer::Ok(response))
        }
        Consumed::Before(ago) => match tokens.lookup(&presented).await {
            Ok(Lookup::Replay | Lookup::Superseded | Lookup::Spent) => {
                match tokens.rotate(&presented, &next, b"").await? {
                    Rotate::Replayed { response } => Ok(Answer::Ok(response)),
                    Rotate::Superseded => Ok(Answer::Stale),
                    _ => end(database, sessions, &presented).await,
                }
            }
            // Whoever consumed it has not told Redis yet, or could not.
            Ok(Lookup::Current | Lookup::Unknown) | Err(_) if ago < RefreshTokens::WINDOW => {
                Ok(Answer::TryAgain)
            }
            _ => end(database, sessions, &presented).await,
        },
        Consumed::Never => Ok(Answer::LogIn),
    }
}

/// A consumed token came back: its session ends, in the database first, then in Redis, whatever that
/// knows of it.
async fn end(database: &Database, sessions: &Sessions, presented: &RefreshToken) -> Result<Answer> {
    database.revoke(presented);
    sessions.revoke(presented.user(), &[presented.session().clone()], &[]).await?;
    Ok(Answer::LogIn)
}

/// Stands for a database: each method is one transaction.
#[derive(Default)]
pub(crate) struct Database(Mutex<HashMap<SessionId, Row>>);

struct Row {
    current: TokenHash,
    consumed: HashMap<TokenHash, Instant>,
    active: bool,
}

impl Database {
    pub(crate) fn log_in(&self, first: &RefreshToken) {
        let row = Row { current: first.hash(), consumed: HashMap::new(), active: true };
        self.0.lock().unwrap().insert(first.session().clone(), row);
    }

    pub(crate) fn consume(&self, presented: &RefreshToken, next: &RefreshToken) -> Consumed {
        let mut rows = self.0.lock().unwrap();
        let row = rows.get_mut(presented.session()).filter(|row| row.active);
        let Some(row) = row else { return Consumed::Never };
        let hash = presented.hash();
        if row.current == hash {
            row.current = next.hash();
            row.consumed.insert(hash, Instant::now());
            return Consumed::Now;
        }
        row.consumed.get(&hash).map_or(Consumed::Never, |at| Consumed::Before(at.elapsed()))
    }

    pub(crate) fn revoke(&self, presented: &RefreshToken) {
        if let Some(row) = self.0.lock().unwrap().get_mut(presented.session()) {
            row.active = false;
        }
    }

    /// As if its tokens had been consumed an hour earlier.
    pub(crate) fn age(&self, token: &RefreshToken) {
        let mut rows = self.0.lock().unwrap();
        let row = rows.get_mut(token.session()).expect("it is there");
        row.consumed.values_mut().for_each(|at| *at -= Duration::from_secs(3600));
    }

    pub(crate) fn is_current(&self, token: &RefreshToken) -> bool {
        let rows = self.0.lock().unwrap();
        rows.get(token.session()).is_some_and(|row| row.active && row.current == token.hash())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1/".to_owned());
    let redis = Redis::connect(&url).await?.with_prefix("example:")?;
    let (user, id) = (UserId::new("42")?, SessionId::new(format!("{:?}", Instant::now()))?);
    let (database, sessions) = (Database::default(), Sessions::new(redis.clone()));
    let tokens = RefreshTokens::new(redis);

    let first = RefreshToken::new(&user, &id)?;
    database.log_in(&first);
    let expires = Timestamp::try_from(SystemTime::now() + Duration::from_secs(60))?;
    let row = session::Row::new(id, Timestamp::now(), expires);
    let _created = sessions.create(&user, &row).await?;
    let _issued = tokens.issue(&first).await?;

    let first = first.expose();
    let refresh = async |text: &str| refresh(&database, &sessions, &tokens, text).await;
    let (one, two) = tokio::join!(refresh(&first), refresh(&first));
    let (one, two) = (one?, two?);
    println!("two tabs at once: {}, {}", name(&one), name(&two));
    let Answer::Ok(second) = one else { return Err("no answer".into()) };
    let second = String::from_utf8(second)?;
    println!("the second token: {}", name(&refresh(&second).await?));
    println!("the first once more, a slow tab: {}", name(&refresh(&first).await?));
    Ok(())
}

fn name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Ok(_) => "a new token",
        Answer::TryAgain => "try again",
        Answer::Stale => "refused, and the session lives",
        Answer::LogIn => "log in",
    }
}
