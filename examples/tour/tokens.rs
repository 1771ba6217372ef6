//! Chapters 10 and 11: a refresh token in two tabs of its owner, and one in the hands of a thief.

use std::time::Duration;

use auth_adapter_redis::RefreshToken;
use auth_adapter_redis::key::{SessionId, UserId};
use auth_adapter_redis::refresh::{Issue, Lookup, Rotate};
use auth_adapter_redis::session::{Check, Confirm};
use tokio::time::{interval, timeout};

use crate::Result;
use crate::claims::Claims;
use crate::database::Database;
use crate::sessions::{log_in, row};
use crate::stage::{Instance, MOBILE_USER};

/// The story of the thief is told faster than with the 30 seconds that a window has by default.
const WINDOW: Duration = Duration::from_millis(200);
const ASK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn second_tab(
    instances: &[Instance],
    database: &Database,
    claims: &mut Claims,
) -> Result<()> {
    let [one, two, three] = instances else { return Err("no three instances".into()) };
    let first = begin(one, database, "browser").await?;
    let nexts = [first.next()?, first.next()?];
    let responses = [nexts[0].expose(), nexts[1].expose()];
    let tokens = [one.tokens(), two.tokens()];
    println!("  Two tabs present the same token at once, to {} and to {} …", one.name, two.name);
    let (left, right) = tokio::join!(
        tokens[0].rotate(&first, &nexts[0], responses[0].as_bytes()),
        tokens[1].rotate(&first, &nexts[1], responses[1].as_bytes()),
    );
    let (winner, other) = match (left?, right?) {
        (Rotate::Rotated { .. }, other) => (0, other),
        (other, Rotate::Rotated { .. }) => (1, other),
        (left, right) => return Err(format!("nobody won: {left:?}, {right:?}").into()),
    };
    println!("  {} rotated it", instances[winner].name);
    let replayed = Rotate::Replayed { response: responses[winner].clone().into_bytes() };
    claims.claim(other == replayed, "The other tab was given the same response, byte for byte.");

    let second = &nexts[winner];
    let third = second.next()?;
    let rotated = three.tokens().rotate(second, &third, b"a response").await?;
    claims.claim(
        matches!(rotated, Rotate::Rotated { .. }),
        &format!("With the token in it {} refreshes the session once more.", three.name),
    );
    let slow = two.tokens().rotate(&first, &first.next()?, b"a response").await?;
    let (user, session) = (first.user(), first.session());
    let active = are_active(instances, user, session).await?;
    claims.claim(
        slow == Rotate::Superseded && active == instances.len(),
        &format!("A tab that slept through both is refused ({slow:?}), and nobody is logged out."),
    );
    Ok(())
}

pub async fn thief(instances: &[Instance], database: &Database, claims: &mut Claims) -> Result<()> {
    let [one, two, three] = instances else { return Err("no three instances".into()) };
    let first = begin(one, database, "laptop-again").await?;
    let (user, session) = (first.user(), first.session());
    let forged = RefreshToken::new(user, session)?;
    let told = two.tokens().rotate(&forged, &forged.next()?, b"").await?;
    let active = are_active(instances, user, session).await?;
    claims.claim(
        told == Rotate::Unknown && active == instances.len(),
        &format!("Who merely knows the session's id gets nothing ({told:?}) and ends nothing."),
    );

    let stolen = first.expose();
    println!("  A thief copies the token, and its owner refreshes: the window is {WINDOW:?} …");
    let second = first.next()?;
    let tokens = one.tokens().with_window(WINDOW)?;
    let rotated = tokens.rotate(&first, &second, b"a response").await?;
    if !matches!(rotated, Rotate::Rotated { .. }) {
        return Err(format!("its owner was told {rotated:?}").into());
    }
    timeout(PATIENCE, closed(two, &first)).await??;

    let stolen = RefreshToken::parse(&stolen)?;
    let told = two.tokens().rotate(&stolen, &stolen.next()?, b"").await?;
    claims.claim(
        matches!(told, Rotate::Reused { .. }),
        &format!("The thief presents it to {}: {told:?}.", two.name),
    );
    // Redis has ended it by itself: the database is told next.
    database.log_out(session);
    let mut revoked = 0;
    for instance in instances {
        let check = instance.sessions().check(user, session).await?;
        revoked += usize::from(check == Check::Revoked);
    }
    claims.claim(revoked == instances.len(), "The same script ended the session, on all three.");
    let told = three.tokens().rotate(&second, &second.next()?, b"").await?;
    claims.claim(
        told == Rotate::Revoked,
        "The token after it is worth nothing either, whichever of the two has it.",
    );
    Ok(())
}

/// Logs in on a device, and gives the first token of that session, which reads active then.
async fn begin(instance: &Instance, database: &Database, device: &str) -> Result<RefreshToken> {
    let (user, row) = (UserId::new(MOBILE_USER)?, row(device)?);
    log_in(instance, database, &user, &row).await?;
    let sessions = instance.sessions();
    if let Check::Unknown(version) = sessions.check(&user, &row.id).await?
        && let Some(row) = database.active(&row.id)
    {
        let confirmed = sessions.confirm(&user, &row, &version).await?;
        if confirmed != Confirm::Confirmed {
            return Err(format!("the login is {confirmed:?}").into());
        }
    }
    let first = RefreshToken::new(&user, &row.id)?;
    match instance.tokens().issue(&first).await? {
        Issue::Issued => Ok(first),
        other => Err(format!("the first token is {other:?}").into()),
    }
}

/// On how many instances the session reads active.
async fn are_active(instances: &[Instance], user: &UserId, session: &SessionId) -> Result<usize> {
    let mut active = 0;
    for instance in instances {
        let check = instance.sessions().check(user, session).await?;
        active += usize::from(matches!(check, Check::Active(_)));
    }
    Ok(active)
}

/// Until nothing replays the response to this token any more.
async fn closed(instance: &Instance, token: &RefreshToken) -> Result<()> {
    let mut ticks = interval(ASK_EVERY);
    while instance.tokens().lookup(token).await? != Lookup::Spent {
        ticks.tick().await;
    }
    Ok(())
}
