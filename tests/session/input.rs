//! What is refused before anything is sent.

use super::*;

fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::InvalidInput { .. })), "{outcome:?}");
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_sent() {
    let server = own();
    let redis: Redis = redis_on(&server).await;
    let sessions = Sessions::new(redis.clone());
    let store = Store::on(redis);
    let version: Version = store.version("a").await;
    let sent = || server.command_calls("evalsha") + server.command_calls("eval");
    let before = sent();
    let long = row_of("a", 0, HOUR * 24 * 31);
    let mut ends_first = row("a", 0);
    std::mem::swap(&mut ends_first.created, &mut ends_first.expires);
    let large = row("a", 0).with_record(vec![0; 64 * 1024 + 1]);
    for row in [long, ends_first, large] {
        refused(sessions.create(&user(), &row).await);
        refused(sessions.confirm(&user(), &row, &version).await);
        refused(sessions.fill(&user(), &[row], &version).await);
    }
    let alone = sessions.clone().with_authority(Authority::Redis);
    refused(alone.confirm(&user(), &row("a", 0), &version).await);
    refused(alone.fill(&user(), &[], &version).await);
    let rows: Vec<Row> = Vec::new();
    assert!(rows.is_empty());
    let many = vec![id("a"); 100_001];
    refused(not_revoked(sessions.revoke(&user(), &many, &[]).await));
    let many = vec!["k"; 100_001];
    refused(not_revoked_for(HOUR * 24 * 30, sessions.revoke_all(&user(), &many).await));
    let failed = alone.revoke_all(&user(), &[""]).await.unwrap_err();
    let days = |days| HOUR * 24 * days;
    assert_eq!(failed.stale_for, days(30), "until they expire, which is no later");
    let brief = alone.clone().with_longest_session(days(1)).unwrap();
    assert_eq!(brief.revoke_all(&user(), &[""]).await.unwrap_err().stale_for, days(1));
    assert_eq!(sent(), before);
    for duration in [Duration::ZERO, Duration::from_nanos(999_999), Duration::MAX] {
        refused(sessions.clone().with_longest_session(duration));
        refused(sessions.clone().with_confirmed_for(duration));
        refused(sessions.clone().with_list_for(duration));
        refused(sessions.clone().with_touch_every(duration));
    }
    refused(sessions.with_max(0));
    for millis in [-1, 1 << 48, i64::MAX] {
        refused(Timestamp::from_millis(millis));
    }
    refused(SessionId::new(""));
}
