//! Refresh tokens of honest clients: whatever one has to repeat, it stays logged in until it logs
//! out, and is not logged in after that.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::refresh::{Issue, Lookup, RefreshToken, Rotate};
use auth_adapter_redis::session::{Create, Row};

use crate::tally::Tally;
use crate::world::{World, breathe};

/// So often a client refreshes before it logs out.
const ROTATIONS: usize = 50;

pub async fn work(world: Arc<World>, at: usize) -> Tally {
    let mut tally = Tally::default();
    let user = UserId::new(format!("client-{at}")).unwrap();
    let mut device = 0;
    while world.goes_on() {
        device += 1;
        let session = SessionId::new(format!("device-{device}")).unwrap();
        if client(&world, &mut tally, &user, &session).await.is_none() {
            break;
        }
    }
    tally
}

/// From a login to the logout. None where the world ends before.
async fn client(
    world: &World,
    tally: &mut Tally,
    user: &UserId,
    session: &SessionId,
) -> Option<()> {
    let expires = Timestamp::try_from(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    let row = Row::new(session.clone(), Timestamp::now(), expires);
    let mut token = RefreshToken::new(user, session).unwrap();
    loop {
        match tally.call("session/create alone", world.alone.create(user, &row)).await {
            Some(Create::Created { .. }) => break,
            Some(other) => tally.is_wrong(format!("a new session is {other:?}")),
            None => again(world).await?,
        }
    }
    loop {
        match tally.call("refresh/issue", world.tokens.issue(&token)).await {
            Some(Issue::Issued) => break,
            Some(other) => tally.is_wrong(format!("an issue is {other:?}")),
            None => again(world).await?,
        }
    }
    for _ in 0..ROTATIONS {
        let next = token.next().unwrap();
        // Until it is answered, as a client does.
        loop {
            let rotate = world.tokens.rotate(&token, &next, b"the response");
            match tally.call("refresh/rotate", rotate).await {
                Some(Rotate::Rotated { .. }) => break,
                Some(other) => {
                    tally.is_wrong(format!("an honest client's rotation is {other:?}"));
                    return None;
                }
                None => again(world).await?,
            }
        }
        token = next;
        match tally.call("refresh/lookup", world.tokens.lookup(&token)).await {
            Some(Lookup::Current) | None => {}
            Some(other) => tally.is_wrong(format!("the current token is {other:?}")),
        }
    }
    while tally.call("refresh/revoke", world.tokens.revoke(&token)).await.is_none() {
        again(world).await?;
    }
    let next = token.next().unwrap();
    let rotate = world.tokens.rotate(&token, &next, b"the response");
    match tally.call("refresh/rotate", rotate).await {
        Some(Rotate::Revoked) | None => {}
        Some(other) => tally.is_wrong(format!("a rotation after the logout is {other:?}")),
    }
    Some(())
}

/// Before the next try, unless the world ends.
async fn again(world: &World) -> Option<()> {
    breathe().await;
    world.goes_on().then_some(())
}
