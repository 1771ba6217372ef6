//! Sessions and refresh tokens.

use auth_adapter_redis::ExposedError;
use auth_adapter_redis::refresh::{Issue, Lookup, Revoke, Rotate};
use auth_adapter_redis::session::{Check, Confirm, Create, Fill, List, Revoked, Touch};

use super::{Column, Operation, answer};
use crate::answer::Answer;
use crate::world::{phone, row, user};

fn ended(outcome: Result<Revoked, ExposedError>) -> Answer {
    answer!(outcome.map(|revoked| revoked.ended.len()), 1 => Right, 0 => Gone)
}

pub fn all() -> Vec<Operation> {
    let mut all = sessions();
    all.extend(tokens());
    all
}

fn sessions() -> Vec<Operation> {
    vec![
        Operation::new("session/check", Column::Degrades, |world| {
            Box::pin(async {
                answer!(
                    world.sessions.check(&user("check"), &phone()).await,
                    Check::Active(_) => Right, Check::Unknown(_) => Gone, Check::Degraded { .. } => Degraded,
                )
            })
        }),
        Operation::new("session/check of an unknown user", Column::Degrades, |world| {
            Box::pin(async {
                answer!(
                    world.sessions.check(&user("unknown"), &phone()).await,
                    Check::Unknown(_) => Right, Check::Degraded { .. } => Degraded,
                )
            })
        }),
        Operation::new("session/list", Column::Reads, |world| {
            Box::pin(async {
                answer!(
                    world.sessions.list(&user("list")).await,
                    List::Sessions(_) => Right, List::NeedsFill(_) => Gone,
                )
            })
        }),
        Operation::new("session/confirm", Column::Grows, |world| {
            Box::pin(async {
                let version = world.version("confirm");
                answer!(
                    world.sessions.confirm(&user("confirm"), &row(), version).await,
                    Confirm::Confirmed => Right, Confirm::Stale => Gone,
                )
            })
        }),
        Operation::new("session/create", Column::Grows, |world| {
            Box::pin(async {
                answer!(
                    world.sessions.create(&user("create"), &row()).await,
                    Create::Created { .. } => Right,
                )
            })
        }),
        Operation::new("session/fill", Column::Grows, |world| {
            Box::pin(async {
                let version = world.version("fill");
                answer!(
                    world.sessions.fill(&user("fill"), &[row()], version).await,
                    Fill::Filled { .. } => Right, Fill::Stale => Gone,
                )
            })
        }),
        Operation::new("session/touch", Column::Grows, |world| {
            Box::pin(async {
                answer!(
                    world.sessions.touch(&user("touch"), &phone()).await,
                    Touch::Noted | Touch::Recent => Right, Touch::NotActive => Gone,
                )
            })
        }),
        Operation::new("session/revoke", Column::Frees, |world| {
            Box::pin(async {
                ended(world.sessions.revoke(&user("revoke"), &[phone()], &["user:revoke"]).await)
            })
        }),
        Operation::new("session/revoke_all", Column::Frees, |world| {
            Box::pin(async { ended(world.sessions.revoke_all(&user("revoke_all"), &[]).await) })
        }),
        Operation::new("session/revoke_others", Column::Frees, |world| {
            Box::pin(async {
                let stays = auth_adapter_redis::key::SessionId::new("laptop").unwrap();
                ended(world.sessions.revoke_others(&user("revoke_others"), &stays, &[]).await)
            })
        }),
    ]
}

fn tokens() -> Vec<Operation> {
    vec![
        Operation::new("refresh/lookup", Column::Reads, |world| {
            Box::pin(async {
                let token = world.refresh_token("lookup");
                answer!(
                    world.tokens.lookup(token).await,
                    Lookup::Current => Right, Lookup::Unknown => Gone,
                )
            })
        }),
        Operation::new("refresh/lookup_hash", Column::Reads, |world| {
            Box::pin(async {
                let hash = world.refresh_token("lookup").hash();
                answer!(world.tokens.lookup_hash(&hash).await, Some(_) => Right, None => Gone)
            })
        }),
        Operation::new("refresh/issue", Column::Grows, |world| {
            Box::pin(async {
                let token = world.refresh_token("issue");
                answer!(
                    world.tokens.issue(token).await,
                    Issue::Issued => Right, Issue::Unknown => Gone,
                )
            })
        }),
        Operation::new("refresh/rotate", Column::Grows, |world| {
            Box::pin(async {
                let token = world.refresh_token("rotate");
                let next = token.next().unwrap();
                answer!(
                    world.tokens.rotate(token, &next, b"response").await,
                    Rotate::Rotated { .. } => Right, Rotate::Unknown => Gone,
                )
            })
        }),
        Operation::new("refresh/revoke", Column::Frees, |world| {
            Box::pin(async {
                let token = world.refresh_token("revoke a family");
                answer!(
                    world.tokens.revoke(token).await,
                    Revoke::Ended => Right, Revoke::Revoked | Revoke::Unknown => Gone,
                )
            })
        }),
    ]
}
