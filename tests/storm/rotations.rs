//! Refresh tokens of one honest client each: whatever it has to repeat, it stays logged in.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::refresh::{Issue, RefreshToken, Rotate};
use auth_adapter_redis::session::{Create, Row};

use crate::tally::Tally;
use crate::world::{World, breathe};

pub async fn work(world: Arc<World>, at: usize) -> Tally {
    let mut tally = Tally::default();
    let (user, session) = (
        UserId::new(format!("client-{at}")).unwrap(),
        SessionId::new(format!("device-{at}")).unwrap(),
    );
    let expires = Timestamp::try_from(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    let row = Row::new(session.clone(), Timestamp::now(), expires);
    let mut token = RefreshToken::new(&user, &session).unwrap();
    loop {
        match tally.call("session/create alone", world.alone.create(&user, &row)).await {
            Some(Create::Created { .. }) => break,
            Some(other) => tally.is_wrong(format!("a new session is {other:?}")),
            None => breathe().await,
        }
    }
    loop {
        match tally.call("refresh/issue", world.tokens.issue(&token)).await {
            Some(Issue::Issued) => break,
            Some(other) => tally.is_wrong(format!("an issue is {other:?}")),
            None => breathe().await,
        }
    }
    while world.goes_on() {
        let next = token.next().unwrap();
        // Until it is answered, as a client does.
        loop {
            let rotate = world.tokens.rotate(&token, &next, b"the response");
            match tally.call("refresh/rotate", rotate).await {
                Some(Rotate::Rotated { .. }) => break,
                Some(other) => {
                    tally.is_wrong(format!("an honest client's rotation is {other:?}"));
                    return tally;
                }
                None if !world.goes_on() => return tally,
                None => breathe().await,
            }
        }
        token = next;
        tally.call("refresh/lookup", world.tokens.lookup(&token)).await;
    }
    tally
}
