//! Sessions of a user lie in one slot with the keys that go with them.

use super::*;
use auth_adapter_redis::Sessions;
use auth_adapter_redis::key::{Keys, SessionId, Timestamp, UserId};
use auth_adapter_redis::session::{Check, Create, Row};

fn named() -> (UserId, SessionId, Row) {
    let (user, id) = (UserId::new("42").unwrap(), SessionId::new("a").unwrap());
    let expires = std::time::SystemTime::now() + LONG;
    let row = Row::new(id.clone(), Timestamp::now(), Timestamp::try_from(expires).unwrap());
    (user, id, row)
}

#[tokio::test]
async fn keys_outside_the_users_slot_are_refused_before_anything_is_sent() {
    let (cluster, redis) = primaries(1).await;
    let sessions = Sessions::new(redis);
    let (user, id, _) = named();
    for also in [&["user:7"][..], &["user:{42}", "user:{7}"]] {
        let failed = sessions.revoke(&user, std::slice::from_ref(&id), also).await.unwrap_err();
        assert!(matches!(failed.error, Error::CrossSlot { .. }), "{failed}");
        let failed = sessions.revoke_all(&user, also).await.unwrap_err();
        assert!(matches!(failed.error, Error::CrossSlot { .. }), "{failed}");
        assert_eq!(failed.stale_for, Keys::USER_TTL);
    }
    assert_eq!(cluster.command_calls("evalsha") + cluster.command_calls("eval"), 0);
    sessions.revoke(&user, &[id], &["user:{42}", "session:{42}:a:active"]).await.unwrap();
}

#[tokio::test]
async fn while_the_slot_moves_sessions_are_revoked_without_the_keys_rather_than_not_at_all() {
    let (cluster, redis) = primaries(2).await;
    let patience = DEADLINE * 2;
    let sessions = Sessions::new(redis.clone().with_call_deadline(patience).unwrap());
    let cache = Cache::new(redis);
    let (user, id, row) = named();
    let created = sessions.create(&user, &row).await.unwrap();
    assert_eq!(created, Create::Created { displaced: vec![] });
    cache.set("user:{42}", "v", LONG).await.unwrap();
    let from = cluster.primary_of_key("{42}").unwrap();
    let to = cluster.nodes().iter().find(|node| node.port() != from.port()).unwrap();
    let half = cluster.begin_move(slot(b"42"), to).unwrap();
    half.move_keys(1).unwrap();
    // One of the two keys is here, one there, and a third is nowhere.
    let also = ["user:{42}", "user:{42}:absent"];
    let began = Instant::now();
    let revoked = sessions.revoke(&user, std::slice::from_ref(&id), &also).await.unwrap();
    assert!(began.elapsed() < patience + SLACK, "{:?}", began.elapsed());
    assert_eq!(
        (&revoked.ended[..], &revoked.undeleted[..]),
        (std::slice::from_ref(&id), &also.map(String::from)[..])
    );
    assert_eq!(sessions.check(&user, &id).await.unwrap(), Check::Revoked);
    assert!(cache.get("user:{42}").await.unwrap().is_some());
    for undeleted in &revoked.undeleted {
        cache.delete(undeleted).await.unwrap();
    }
    let all = sessions.revoke_all(&user, &also).await.unwrap();
    assert_eq!((all.ended.len(), all.undeleted.len()), (0, 2));
    half.finish().unwrap();
    assert!(sessions.revoke_all(&user, &also).await.unwrap().undeleted.is_empty());
    assert_eq!(sessions.check(&user, &id).await.unwrap(), Check::Revoked);
}

/// What is asked next, without the keys, is refused before it is sent.
#[tokio::test]
async fn a_revoke_that_was_executed_and_not_answered_is_not_said_to_be_unsent() {
    let builder = Cluster::builder().primaries(1).replicas_each(0).behind_proxies();
    let cluster = builder.start().unwrap();
    let redis = patient(&cluster).await;
    library().load(&redis).await.unwrap();
    let (node, proxy) = (&cluster.nodes()[0], &cluster.proxies()[0]);
    ok(&node.command(&["SET", "user:{42}", "v"]).unwrap());
    proxy.silence_replies();
    let sessions = Sessions::new(redis);
    let revoking =
        tokio::spawn(async move { sessions.revoke_all(&named().0, &["user:{42}"]).await });
    until(|| node.command(&["EXISTS", "user:{42}"]).unwrap().int() == Some(0)).await;
    proxy.refuse();
    let failed = revoking.await.unwrap().unwrap_err();
    assert!(failed.error.may_have_executed(), "{failed}");
}
