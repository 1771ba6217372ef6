//! A whole refresh as the README shows it, database first.

use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::key::Timestamp;
use auth_adapter_redis::refresh::{Issue, Lookup};
use auth_adapter_redis::session::{Check, Confirm, Row};
use auth_adapter_redis::{RefreshToken, RefreshTokens, Sessions};
use tokio::task::JoinSet;

use crate::LATER;
use crate::stage::Stage;
use crate::support::ROOT;

#[path = "../../examples/refresh.rs"]
mod example;
use example::{Answer, Database, refresh};

/// A session in the database and in Redis, and its first token.
async fn logged_in() -> (Stage, Arc<Database>, RefreshToken) {
    let (stage, database) = (Stage::new().await, Arc::new(Database::default()));
    let first = stage.first().await;
    database.log_in(&first);
    (stage, database, first)
}

fn sessions(stage: &Stage) -> Sessions {
    Sessions::new(stage.redis.clone())
}

async fn ask(stage: &Stage, database: &Database, token: &RefreshToken) -> Answer {
    refresh(database, &sessions(stage), &stage.tokens, &token.expose()).await.unwrap()
}

#[track_caller]
fn given(answer: Answer) -> RefreshToken {
    let Answer::Ok(bytes) = answer else { panic!("{answer:?}") };
    RefreshToken::parse(&String::from_utf8(bytes).unwrap()).unwrap()
}

#[test]
fn the_readme_shows_the_example() {
    let [readme, example] =
        ["README.md", "examples/refresh.rs"].map(|file| std::fs::read_to_string(ROOT.join(file)));
    let example = example.unwrap();
    let begin = example.find("async fn refresh(").unwrap();
    let end = example.find("/// Stands for a database").unwrap();
    assert!(readme.unwrap().contains(example[begin..end].trim_end()));
}

/// Tabs that ask until they are answered: all of them end up with the one token that both know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tabs_at_once_are_all_given_the_same_token() {
    let (stage, database, mut token) = logged_in().await;
    for _ in 0..30 {
        let mut tabs = JoinSet::new();
        for _ in 0..8 {
            let (database, tokens) = (Arc::clone(&database), stage.tokens.clone());
            let sessions = sessions(&stage);
            let text = token.expose();
            tabs.spawn(async move {
                loop {
                    match refresh(&database, &sessions, &tokens, &text).await.unwrap() {
                        Answer::TryAgain => tokio::task::yield_now().await,
                        answer => return given(answer),
                    }
                }
            });
        }
        let given = tabs.join_all().await;
        assert!(given.iter().all(|next| *next == given[0]));
        token = given[0].clone();
        assert!(database.is_current(&token));
        assert_eq!(stage.tokens.lookup(&token).await.unwrap(), Lookup::Current);
    }
}

#[tokio::test]
async fn a_slow_tab_is_stale_and_a_thief_ends_the_session_in_both() {
    let (stage, database, first) = logged_in().await;
    let second = given(ask(&stage, &database, &first).await);
    assert_eq!(given(ask(&stage, &database, &first).await), second);
    let third = given(ask(&stage, &database, &second).await);
    assert_eq!(ask(&stage, &database, &first).await, Answer::Stale);
    assert!(database.is_current(&third));
    stage.age(LATER);
    assert_eq!(ask(&stage, &database, &first).await, Answer::LogIn);
    assert!(!database.is_current(&third));
    assert_eq!(stage.check().await, "revoked");
    assert_eq!(ask(&stage, &database, &third).await, Answer::LogIn);
}

#[tokio::test]
async fn a_redis_that_is_behind_is_brought_up_and_replays_again() {
    let (stage, database, first) = logged_in().await;
    let packed = stage.packed();
    let second = given(ask(&stage, &database, &first).await);
    let third = given(ask(&stage, &database, &second).await);
    stage.set_packed(&packed);
    let fourth = given(ask(&stage, &database, &third).await);
    assert_eq!(stage.tokens.lookup(&fourth).await.unwrap(), Lookup::Current);
    assert_eq!(given(ask(&stage, &database, &third).await), fourth);
    assert_eq!(ask(&stage, &database, &first).await, Answer::Stale);
}

#[tokio::test]
async fn a_redis_that_has_forgotten_or_is_away_logs_nobody_out() {
    let (stage, database, first) = logged_in().await;
    stage.raw("DEL", &[]);
    let second = given(ask(&stage, &database, &first).await);
    assert_eq!(ask(&stage, &database, &first).await, Answer::TryAgain, "it was a moment ago");
    let away = auth_adapter_redis::Redis::connect("unix:///nowhere/server.sock").await.unwrap();
    let away = RefreshTokens::new(away.with_call_deadline(Duration::from_millis(50)).unwrap());
    let third =
        given(refresh(&database, &sessions(&stage), &away, &second.expose()).await.unwrap());
    assert!(database.is_current(&third));
}

/// A session that a request has brought back has no tokens here, and a thief still ends it.
#[tokio::test]
async fn a_reuse_of_what_redis_has_forgotten_ends_the_session_there_too() {
    let (stage, database, first) = logged_in().await;
    let second = given(ask(&stage, &database, &first).await);
    stage.raw("DEL", &[]);
    let sessions = sessions(&stage);
    let (user, id) = (second.user(), second.session());
    let Check::Unknown(version) = sessions.check(user, id).await.unwrap() else { panic!("gone") };
    let row = Row::new(id.clone(), Timestamp::now(), stage.expiry());
    let confirmed = sessions.confirm(user, &row, &version).await.unwrap();
    assert_eq!(confirmed, Confirm::Confirmed);
    database.age(&first);
    assert_eq!(ask(&stage, &database, &first).await, Answer::LogIn);
    assert!(!database.is_current(&second));
    assert_eq!(sessions.check(user, id).await.unwrap(), Check::Revoked);
    let late = sessions.confirm(user, &row, &version).await.unwrap();
    assert_eq!(late, Confirm::Revoked);
}

#[tokio::test]
async fn what_the_database_revoked_is_refused_though_redis_has_not_heard() {
    let (stage, database, first) = logged_in().await;
    database.revoke(&first);
    assert_eq!(stage.tokens.lookup(&first).await.unwrap(), Lookup::Current);
    assert_eq!(ask(&stage, &database, &first).await, Answer::LogIn);
    assert_eq!(stage.tokens.issue(&first).await.unwrap(), Issue::Issued);
    for text in ["", "a.b.c", &first.next().unwrap().expose()] {
        assert_eq!(
            refresh(&database, &sessions(&stage), &stage.tokens, text).await.unwrap(),
            Answer::LogIn
        );
    }
}
