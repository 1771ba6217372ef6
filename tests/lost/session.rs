//! Sessions, with a database behind.

use std::sync::Mutex;

use auth_adapter_redis::key::SessionId;
use auth_adapter_redis::session::{
    Check, Confirm, Create, Fill, List, Revoked, Row, Touch, Version,
};
use auth_adapter_redis::{Error, ExposedError, Sessions};

use super::operation::{Noun, Operation};
use super::user::{id, log_in, row, see_long_ago, state, state_key, user, version};
use super::world::World;

pub struct Stored {
    world: World,
    ours: Sessions,
    theirs: Sessions,
    /// The same row each time.
    row: Row,
    version: Mutex<Option<Version>>,
}

impl Noun for Stored {
    const OPERATIONS: &'static [Operation] = &[
        Operation::new("session/check", ["unknown under what is there"; 3])
            .case("forgotten")
            .or("degraded"),
        Operation::new("session/check", ["active"; 3]).reads().or("degraded"),
        Operation::new("session/confirm", ["confirmed"; 3]).case("forgotten"),
        Operation::new("session/create", ["created"; 3]),
        Operation::new("session/create", ["created for b"; 3]).case("full"),
        Operation::new("session/create", ["unfilled under what is there"; 3])
            .case("forgotten, full"),
        Operation::new("session/fill", ["filled"; 3]).case("forgotten"),
        Operation::new("session/list", ["a b"; 3]).case("full").reads(),
        Operation::new("session/list", ["unfilled under what is there"; 3]).case("forgotten"),
        Operation::new("session/touch", ["noted", "recent", "recent"]),
        // What they ended is not known any more, but to a repeat of that very call.
        Operation::new("session/revoke", ["ended a", "ended ", "ended "]),
        Operation::new("session/revoke", ["ended a", "ended ", "ended "]).case("with a key"),
        Operation::new("session/revoke_all", ["ended a b", "ended a b", "ended "]),
        Operation::new("session/revoke_others", ["ended b", "ended b", "ended "]),
    ];

    fn new(world: World) -> Self {
        let ours = Sessions::new(world.caller.clone());
        let theirs = Sessions::new(world.direct.clone());
        Self { world, ours, theirs, row: row("new", 0), version: Mutex::default() }
    }

    async fn prepare(&self, operation: &Operation) {
        let cached = self.cached();
        self.world.raw("SET", &cached, &["cached"]);
        match (operation.name, operation.case) {
            ("session/confirm" | "session/fill", _) => {
                self.keep(version(&self.theirs, "new").await);
            }
            (_, "forgotten" | "forgotten, full") => {}
            (_, "full") => {
                let asked = version(&self.theirs, "a").await;
                let rows = [row("a", 10), row("b", 20)];
                let filled = self.theirs.fill(&user(), &rows, &asked).await.unwrap();
                assert!(matches!(filled, Fill::Filled { .. }), "{filled:?}");
            }
            _ => {
                log_in(&self.theirs, "a").await;
                log_in(&self.theirs, "b").await;
                see_long_ago(&self.world, "a");
            }
        }
    }

    async fn call(&self, operation: &Operation) -> Result<String, Error> {
        let (user, a, cached) = (user(), id("a"), self.cached());
        let ours = match operation.case.ends_with("full") {
            true => self.ours.clone().with_max(2).unwrap(),
            false => self.ours.clone(),
        };
        let kept = self.version.lock().unwrap().clone();
        Ok(match (operation.name, operation.case) {
            ("session/check", _) => match ours.check(&user, &a).await? {
                Check::Unknown(version) => self.under("unknown", &version),
                Check::Active(_) => "active".to_owned(),
                Check::Degraded { .. } => "degraded".to_owned(),
                other => format!("{other:?}"),
            },
            ("session/confirm", _) => match ours.confirm(&user, &self.row, &kept.unwrap()).await? {
                Confirm::Confirmed => "confirmed".to_owned(),
                other => format!("{other:?}"),
            },
            ("session/create", _) => match ours.create(&user, &self.row).await? {
                Create::Created { displaced } if displaced.is_empty() => "created".to_owned(),
                Create::Created { displaced } => format!("created for {}", names(displaced)),
                Create::NeedsFill(version) => self.under("unfilled", &version),
                other => format!("{other:?}"),
            },
            ("session/fill", _) => {
                let rows = std::slice::from_ref(&self.row);
                match ours.fill(&user, rows, &kept.unwrap()).await? {
                    Fill::Filled { revoked } if revoked.is_empty() => "filled".to_owned(),
                    other => format!("{other:?}"),
                }
            }
            ("session/list", _) => match ours.list(&user).await? {
                List::Sessions(sessions) => names(sessions.into_iter().map(|s| s.id)),
                List::NeedsFill(version) => self.under("unfilled", &version),
            },
            ("session/touch", _) => match ours.touch(&user, &a).await? {
                Touch::Noted => "noted",
                Touch::Recent => "recent",
                Touch::NotActive => "not active",
            }
            .to_owned(),
            ("session/revoke", "") => ended(ours.revoke(&user, &[a], &[]).await)?,
            ("session/revoke", _) => ended(ours.revoke(&user, &[a], &[&cached]).await)?,
            ("session/revoke_all", _) => ended(ours.revoke_all(&user, &[&cached]).await)?,
            ("session/revoke_others", _) => ended(ours.revoke_others(&user, &a, &[&cached]).await)?,
            (other, _) => panic!("say here how {other} is called"),
        })
    }

    /// All are revoked, or forgotten; or another logs in, which keeps the version.
    async fn meddle(&self, operation: &Operation) {
        match (operation.name, operation.case) {
            ("session/create", "" | "full") => {
                let _revoked = self.theirs.revoke_all(&user(), &[]).await.unwrap();
            }
            ("session/confirm" | "session/fill", _) => log_in(&self.theirs, "another").await,
            (_, "forgotten" | "forgotten, full") => {
                log_in(&self.theirs, "another").await;
                self.world.raw("DEL", &state_key(&self.world), &[]);
            }
            _ => {
                log_in(&self.theirs, "another").await;
                self.world.raw("SET", &self.cached(), &["cached anew"]);
            }
        }
    }

    fn state(&self) -> String {
        state(&self.world, &[]) + &self.world.string(&self.cached())
    }
}

impl Stored {
    /// A key that goes with the sessions.
    fn cached(&self) -> String {
        self.world.direct.keys().user(&user())
    }

    /// Whether it is the version that the server has.
    fn under(&self, what: &str, version: &Version) -> String {
        let there = self.world.raw("HGET", &state_key(&self.world), &["v"]);
        let is_there =
            format!("{version:?}").starts_with(&format!("Version({},", there.text().unwrap()));
        format!("{what} under {}", if is_there { "what is there" } else { "another" })
    }

    fn keep(&self, version: Version) {
        *self.version.lock().unwrap() = Some(version);
    }
}

fn names(ids: impl IntoIterator<Item = SessionId>) -> String {
    let mut names: Vec<_> = ids.into_iter().map(|id| id.to_string()).collect();
    names.sort();
    names.join(" ")
}

fn ended(told: Result<Revoked, ExposedError>) -> Result<String, Error> {
    let Revoked { ended, undeleted, .. } = told.map_err(|failed| failed.error)?;
    assert_eq!(undeleted.len(), 0);
    Ok(format!("ended {}", names(ended)))
}
