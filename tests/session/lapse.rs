//! What ends by itself: confirmations, lists, tombstones, and the hash with the last of them.

use super::*;

const BRIEF: Duration = Duration::from_millis(150);

#[tokio::test]
async fn a_confirmation_lapses_and_no_touch_moves_its_end() {
    let mut store = Store::new().await;
    let often = Duration::from_millis(1);
    store.sessions = store.sessions.with_touch_every(often).unwrap();
    store.sessions = store.sessions.with_confirmed_for(BRIEF * 3).unwrap();
    store.login(&row("a", 1)).await;
    let Check::Active(session) = store.check("a").await else { panic!("it is active") };
    let until = session.confirmed_until;
    while let Check::Active(session) = store.check("a").await {
        assert_eq!(session.confirmed_until, until);
        let _ = store.touch("a").await;
    }
    assert!(Timestamp::now() >= until.unwrap());
    assert_eq!(store.touch("a").await, Touch::NotActive);
    // It is still there, and one confirm brings it back.
    let version = store.version("a").await;
    let confirmed = store.sessions.confirm(&user(), &row("a", 1), &version).await.unwrap();
    assert_eq!(confirmed, Confirm::Confirmed);
}

#[tokio::test]
async fn a_confirmation_lasts_from_the_check_and_not_from_its_own_execution() {
    let mut store = Store::new().await;
    store.sessions = store.sessions.with_confirmed_for(BRIEF).unwrap();
    store.sessions = store.sessions.with_list_for(BRIEF).unwrap();
    let version = store.version("a").await;
    let asked = Timestamp::now().as_millis();
    let confirmed = store.sessions.confirm(&user(), &row("a", 1), &version).await.unwrap();
    assert_eq!(confirmed, Confirm::Confirmed);
    let Check::Active(session) = store.check("a").await else { panic!("it is active") };
    assert!(session.confirmed_until.unwrap().as_millis() <= asked + 150);
    let _ = store::until_unknown(&store, "a").await;
    // What was asked for then is too old by now, whoever executes it late.
    let outcome = store.sessions.confirm(&user(), &row("a", 1), &version).await.unwrap();
    assert_eq!(outcome, Confirm::Stale);
    let outcome = store.sessions.fill(&user(), &[row("a", 1)], &version).await.unwrap();
    assert_eq!(outcome, Fill::Stale);
    assert!(matches!(store.check("a").await, Check::Unknown(_)));
}

#[tokio::test]
async fn a_late_confirm_shortens_no_confirmation() {
    let store = Store::new().await;
    let early = store.version("a").await;
    let brief = store.sessions.clone().with_confirmed_for(BRIEF).unwrap();
    store.login(&row("a", 1)).await;
    let Check::Active(before) = store.check("a").await else { panic!("it is active") };
    let _ = brief.confirm(&user(), &row("a", 1), &early).await.unwrap();
    assert_eq!(store.check("a").await, Check::Active(before));
}

#[tokio::test]
async fn a_list_is_complete_for_its_own_time_and_absent_after_it() {
    let mut store = Store::new().await.max(9);
    store.sessions = store.sessions.with_list_for(BRIEF).unwrap();
    store.fill(&[row("a", 1)]).await;
    let began = std::time::Instant::now();
    let wait = async {
        loop {
            match store.list().await {
                List::Sessions(sessions) => assert_eq!(sessions.len(), 1),
                List::NeedsFill(version) => return version,
            }
        }
    };
    let version = tokio::time::timeout(support::HANG, wait).await.unwrap();
    assert!(began.elapsed() >= BRIEF - Duration::from_millis(20));
    assert!(matches!(store.check("a").await, Check::Active(_)), "that is another matter");
    assert!(matches!(store.create(&row("b", 0)).await, Create::NeedsFill(_)));
    let filled = store.sessions.fill(&user(), &[row("a", 1)], &version).await.unwrap();
    assert_eq!(filled, Fill::Filled { revoked: vec![] });
    assert_eq!(store.listed().await, ["a"]);
}

#[tokio::test]
async fn the_hash_lives_as_long_as_its_last_session_or_tombstone() {
    let store = Store::new().await;
    let near = |millis: i64| {
        let left = store.pttl();
        assert!((millis - 5_000..=millis).contains(&left), "{left} is not {millis}");
    };
    store.login(&row_of("a", 1, Duration::from_secs(100))).await;
    near(100_000);
    store.login(&row_of("b", 1, Duration::from_secs(400))).await;
    near(400_000);
    store.login(&row_of("c", 1, Duration::from_secs(200))).await;
    near(400_000);
    store.revoke(&["b"]).await;
    near(400_000);
    let hour = store.sessions.clone().with_longest_session(HOUR).unwrap();
    hour.revoke(&user(), &[id("unknown")], &[]).await.unwrap();
    near(3_600_000);
    store.fill(&[row_of("d", 1, HOUR * 2)]).await;
    near(7_200_000);
    let marked = store.sessions.revoke_all(&user(), &[]).await.unwrap();
    assert_eq!(marked.ended, ids(&["a", "c", "d"]));
    near(86_400_000);
}

#[tokio::test]
async fn what_has_expired_goes_with_whatever_is_written_next() {
    let store = Store::new().await;
    let names = || -> Vec<String> {
        let fields = store.fields().into_iter();
        fields.map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    };
    let brief = store.sessions.clone().with_longest_session(BRIEF).unwrap();
    store.login(&row_of("a", 0, BRIEF)).await;
    brief.revoke(&user(), &[id("b")], &[]).await.unwrap();
    assert_eq!(names(), ["s:a", "s:b", "v"]);
    let _ = store::until_unknown(&store, "a").await;
    while store.check("b").await == Check::Revoked {}
    assert_eq!(names(), ["s:a", "s:b", "v"], "a check does not write");
    let _created = store.create(&row("c", 0)).await;
    assert_eq!(names(), ["s:c", "v"]);
}

#[tokio::test]
async fn a_hash_whose_last_session_ends_now_does_not_become_immortal() {
    let store = Store::new().await;
    for left in 1..30 {
        let _created = store.create(&row_of("a", 1, Duration::from_millis(left))).await;
        if store.exists() {
            assert!(store.pttl() > 0, "{left}");
            store.forget();
        }
    }
}
