//! A server that is there and does not decide.

use super::*;

#[tokio::test]
async fn a_full_server_denies_itself_and_this_process_lets_pass_its_share() {
    let server = full_server();
    let limiter = limiter_on(&redis_on(&server).await).with_share(0.25).unwrap();
    for allowed in [true, true, false] {
        let decision = limiter.check("k", &EIGHT, 1).await.unwrap();
        let kind = decision.error().and_then(Error::server_kind);
        assert_eq!(kind, Some(ServerErrorKind::OutOfMemory));
        assert_eq!(decision.is_allowed(), allowed);
    }
    let check = in_process(limiter.check_many(&[("{k}", EIGHT)], 1).await);
    assert!(check.is_allowed());
}

#[tokio::test]
async fn an_answer_that_was_lost_is_decided_here_and_may_count_there_as_well() {
    let server = own_behind_proxy();
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    comes_alive(&redis).await;
    let limiter = limiter_on(&redis);
    // The server has the script from now on.
    assert!(by_redis(limiter.check("k", &EIGHT, 1).await).is_allowed());
    let proxy = server.proxy();
    proxy.silence_replies();
    let decision = limiter.check("k", &EIGHT, 8).await.unwrap();
    assert!(decision.is_allowed());
    assert!(decision.error().is_some_and(Error::may_have_executed), "{decision:?}");
    assert!(!in_process(limiter.check("k", &EIGHT, 1).await).is_allowed());
    proxy.pass();
    comes_alive(&redis).await;
    assert!(matches!(limiter.check("k", &EIGHT, 1).await, Ok(Decision::Redis(_))));
}
