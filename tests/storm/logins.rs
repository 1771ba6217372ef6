//! Sessions with a database behind: what was revoked is never active again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::session::{Check, Confirm, Create, Fill, List, Row, Touch, Version};

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
        let before = lives(&world, &mut tally, &user, &row).await;
        // The database has committed that it is over. It is ended until that succeeds.
        while !ends(&world, &mut tally, &user, &session, number).await {
            if !world.goes_on() {
                return tally;
            }
            breathe().await;
        }
        // Whoever asked the database before that.
        if let Some(version) = before {
            let fill = world.sessions.fill(&user, std::slice::from_ref(&row), &version);
            if let Some(Fill::Filled { .. }) = tally.call("session/fill", fill).await {
                tally.is_wrong(format!("{session} of {user} was filled in after its end"));
            }
        }
        if let Some(List::Sessions(sessions)) =
            tally.call("session/list", world.sessions.list(&user)).await
            && !sessions.is_empty()
        {
            tally.is_wrong(format!("{user} has {sessions:?} after all have ended"));
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

/// Ends a session, in one of three ways: whether that is known to be done.
async fn ends(
    world: &World,
    tally: &mut Tally,
    user: &UserId,
    session: &SessionId,
    number: usize,
) -> bool {
    let sessions = &world.sessions;
    let outcome = match number % 3 {
        0 => tally.call("session/revoke_all", sessions.revoke_all(user, &[])).await,
        1 => {
            let stays = SessionId::new("of-nobody").unwrap();
            tally.call("session/revoke_others", sessions.revoke_others(user, &stays, &[])).await
        }
        _ => {
            let revoke = sessions.revoke(user, std::slice::from_ref(session), &[]);
            tally.call("session/revoke", revoke).await
        }
    };
    outcome.is_some()
}

/// A session from its login on, and the version of a list that it is not missing from.
async fn lives(world: &World, tally: &mut Tally, user: &UserId, row: &Row) -> Option<Version> {
    let sessions = &world.sessions;
    match tally.call("session/create", sessions.create(user, row)).await {
        Some(Create::Created { displaced }) if displaced.is_empty() => {}
        Some(other) => tally.is_wrong(format!("a new session is {other:?}")),
        None => {
            breathe().await;
            return None;
        }
    }
    let version = match tally.call("session/check", sessions.check(user, &row.id)).await {
        Some(Check::Unknown(version)) => version,
        Some(Check::Degraded { .. }) => return None,
        other => {
            tally.is_wrong(format!("a session that nobody confirmed is {other:?}"));
            return None;
        }
    };
    match tally.call("session/confirm", sessions.confirm(user, row, &version)).await {
        Some(Confirm::Confirmed) => {}
        Some(other) => tally.is_wrong(format!("its confirm is {other:?}")),
        None => return None,
    }
    match tally.call("session/check", sessions.check(user, &row.id)).await {
        Some(Check::Active(_) | Check::Degraded { .. }) => {}
        other => tally.is_wrong(format!("a session that was confirmed is {other:?}")),
    }
    match tally.call("session/touch", sessions.touch(user, &row.id)).await {
        Some(Touch::NotActive) => tally.is_wrong("an active session cannot be touched".to_owned()),
        Some(Touch::Noted | Touch::Recent) | None => {}
    }
    match tally.call("session/list", sessions.list(user)).await {
        Some(List::NeedsFill(version)) => Some(version),
        Some(List::Sessions(_)) => {
            tally.is_wrong("a list is whole that nobody filled in".to_owned());
            None
        }
        None => None,
    }
}
