//! Sessions with a database behind: what was revoked is never active again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::session::{Check, Confirm, Create, Row};

use crate::tally::Tally;
use crate::world::{World, breathe};

/// So many sessions a user, whose tombstones stay.
const A_USER: usize = 50;
/// So many that were revoked are looked at further.
const REMEMBERED: usize = 5;

pub async fn work(world: Arc<World>, at: usize) -> Tally {
    let mut tally = Tally::default();
    let mut number = 0;
    let mut revoked = VecDeque::<(UserId, SessionId)>::new();
    while world.goes_on() {
        let user = UserId::new(format!("{at}-{}", number / A_USER)).unwrap();
        let session = SessionId::new(format!("s{number}")).unwrap();
        number += 1;
        let expires = Timestamp::try_from(SystemTime::now() + Duration::from_secs(600)).unwrap();
        let row = Row::new(session.clone(), Timestamp::now(), expires);
        lives(&world, &mut tally, &user, &row).await;
        // The database has committed that it is over. It is revoked until that succeeds.
        loop {
            let revoke = world.sessions.revoke(&user, std::slice::from_ref(&session), &[]);
            match tally.call("session/revoke", revoke).await {
                Some(_) => break,
                None if !world.goes_on() => return tally,
                None => breathe().await,
            }
        }
        revoked.push_back((user, session));
        if revoked.len() > REMEMBERED {
            revoked.pop_front();
        }
        for (user, session) in &revoked {
            let check = tally.call("session/check", world.sessions.check(user, session)).await;
            if let Some(Check::Active(_)) = check {
                tally.is_wrong(format!("{session} of {user} is active after its revoke"));
            }
        }
    }
    tally
}

/// A session from its login on.
async fn lives(world: &World, tally: &mut Tally, user: &UserId, row: &Row) {
    let sessions = &world.sessions;
    match tally.call("session/create", sessions.create(user, row)).await {
        Some(Create::Created { displaced }) if displaced.is_empty() => {}
        Some(other) => return tally.is_wrong(format!("a new session is {other:?}")),
        None => return breathe().await,
    }
    let version = match tally.call("session/check", sessions.check(user, &row.id)).await {
        Some(Check::Unknown(version)) => version,
        Some(Check::Degraded { .. }) => return,
        other => return tally.is_wrong(format!("a session that nobody confirmed is {other:?}")),
    };
    match tally.call("session/confirm", sessions.confirm(user, row, &version)).await {
        Some(Confirm::Confirmed) => {}
        Some(other) => return tally.is_wrong(format!("its confirm is {other:?}")),
        None => return,
    }
    match tally.call("session/check", sessions.check(user, &row.id)).await {
        Some(Check::Active(_) | Check::Degraded { .. }) => {}
        other => tally.is_wrong(format!("a session that was confirmed is {other:?}")),
    }
}
