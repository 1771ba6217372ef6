//! Refresh tokens.

use std::time::Duration;

use auth_adapter_redis::refresh::{Issue, Lookup, RefreshToken, RefreshTokens, Revoke, Rotate};
use auth_adapter_redis::{Cache, Error, ExposedError, Sessions};

use super::operation::{Noun, Operation};
use super::support::LONG;
use super::user::{id, log_in, state, user};
use super::world::World;

pub struct Rotating {
    world: World,
    ours: RefreshTokens,
    theirs: RefreshTokens,
    sessions: Sessions,
    first: RefreshToken,
    second: RefreshToken,
    /// Another that is made of the first.
    rival: RefreshToken,
}

impl Noun for Rotating {
    const OPERATIONS: &'static [Operation] = &[
        Operation::new("refresh/issue", ["issued"; 3]),
        Operation::new("refresh/lookup", ["current"; 3]).reads(),
        Operation::new("refresh/rotate", ["rotated"; 3]),
        Operation::new("refresh/rotate", ["replayed for the rival"; 3])
            .case("a moment ago")
            .reads(),
        Operation::new("refresh/rotate", ["reused"; 3]).case("long ago"),
        Operation::new("refresh/revoke", ["ended", "revoked", "revoked"]),
        Operation::new("GET", ["cached"; 3]).reads(),
    ];

    fn new(world: World) -> Self {
        let ours = RefreshTokens::new(world.caller.clone());
        let theirs = RefreshTokens::new(world.direct.clone());
        let sessions = Sessions::new(world.direct.clone());
        let first = RefreshToken::new(&user(), &id("a")).unwrap();
        let (second, rival) = (first.next().unwrap(), first.next().unwrap());
        Self { world, ours, theirs, sessions, first, second, rival }
    }

    async fn prepare(&self, operation: &Operation) {
        log_in(&self.sessions, "a").await;
        if operation.name == "refresh/issue" {
            return;
        }
        assert_eq!(self.theirs.issue(&self.first).await.unwrap(), Issue::Issued);
        let window = match operation.case {
            "a moment ago" => RefreshTokens::WINDOW,
            "long ago" => Duration::ZERO,
            _ => {
                let cache = Cache::new(self.world.direct.clone());
                let key = self.world.direct.keys().refresh_token(&self.first.hash());
                return cache.set(&key, "cached", LONG).await.unwrap();
            }
        };
        let theirs = self.theirs.clone().with_window(window).unwrap();
        let rotated = theirs.rotate(&self.first, &self.rival, b"for the rival").await.unwrap();
        assert!(matches!(rotated, Rotate::Rotated { .. }), "{rotated:?}");
    }

    async fn call(&self, operation: &Operation) -> Result<String, Error> {
        let (ours, first) = (&self.ours, &self.first);
        let told = match operation.name {
            "refresh/issue" => match ours.issue(first).await? {
                Issue::Issued => "issued",
                _ => "not issued",
            },
            "refresh/lookup" => match ours.lookup(first).await? {
                Lookup::Current => "current",
                _ => "not current",
            },
            "refresh/rotate" => match sent(ours.rotate(first, &self.second, b"for us").await)? {
                Rotate::Rotated { .. } => "rotated",
                Rotate::Replayed { response } => {
                    return Ok(format!("replayed {}", String::from_utf8_lossy(&response)));
                }
                Rotate::Reused { .. } => "reused",
                _ => "not rotated",
            },
            "refresh/revoke" => match sent(ours.revoke(first).await)? {
                Revoke::Ended => "ended",
                Revoke::Revoked => "revoked",
                Revoke::Unknown => "unknown",
            },
            "GET" => return Ok(ours.lookup_hash(&first.hash()).await?.unwrap_or_default()),
            other => panic!("say here how {other} is called"),
        };
        Ok(told.to_owned())
    }

    /// Another device logs in.
    async fn meddle(&self, _: &Operation) {
        log_in(&self.sessions, "another").await;
    }

    fn state(&self) -> String {
        let tokens = [("ours", &self.first), ("next", &self.second), ("the rival", &self.rival)];
        state(&self.world, &tokens)
    }
}

/// What was sent, without what it leaves exposed.
fn sent<T>(told: Result<T, ExposedError>) -> Result<T, Error> {
    told.map_err(|exposed| exposed.error)
}
