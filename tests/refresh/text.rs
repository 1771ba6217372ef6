//! The text of a token: only what `expose` gives is read, and nothing of it shows.

use auth_adapter_redis::key::{SessionId, UserId};
use auth_adapter_redis::refresh::{Lookup, Rotate};
use auth_adapter_redis::{Error, RefreshToken};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use crate::stage::Stage;

/// The longest text, of two ids of 512 bytes.
const LONGEST: usize = 1438;

fn for_all<S: Strategy>(values: S, holds: impl Fn(S::Value) -> TestCaseResult) {
    let config = Config { failure_persistence: None, ..Config::default() };
    if let Err(error) = TestRunner::new(config).run(&values, holds) {
        panic!("{error}");
    }
}

fn tokens() -> impl Strategy<Value = RefreshToken> {
    let id = || prop_oneof![9 => "[a-zé0-9:._-]{1,40}", 1 => "[aé€]{100,170}"];
    let user = id().prop_filter_map("no user id", |id| UserId::new(id).ok());
    let session = id().prop_filter_map("no session id", |id| SessionId::new(id).ok());
    (user, session, 0..4_u32).prop_map(|(user, session, rotations)| {
        let first = RefreshToken::new(&user, &session).unwrap();
        (0..rotations).fold(first, |token, _| token.next().unwrap())
    })
}

fn is_malformed(text: &str) -> Result<(), TestCaseError> {
    let error = RefreshToken::parse(text).unwrap_err();
    prop_assert_eq!(error.to_string(), "invalid refresh token: is malformed");
    let is_input = matches!(error, Error::InvalidInput { what: "refresh token", .. });
    prop_assert!(is_input);
    Ok(())
}

#[test]
fn what_is_exposed_is_read_as_the_same_token() {
    for_all(tokens(), |token| {
        let text = token.expose();
        prop_assert!(text.len() <= LONGEST);
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
        let read = RefreshToken::parse(&text).unwrap();
        prop_assert_eq!(&read, &token);
        prop_assert_eq!(read.hash(), token.hash());
        prop_assert_eq!(read.expose(), text);
        Ok(())
    });
}

#[test]
fn a_changed_text_is_malformed_or_another_token() {
    for_all((tokens(), any::<prop::sample::Index>(), any::<u8>()), |(token, at, with)| {
        let mut text = token.expose().into_bytes();
        let at = at.index(text.len());
        prop_assume!(text[at] != with && with.is_ascii());
        text[at] = with;
        let text = String::from_utf8(text).unwrap();
        match RefreshToken::parse(&text) {
            Err(_) => is_malformed(&text)?,
            Ok(other) => {
                prop_assert_eq!(other.expose(), text);
                prop_assert_ne!(&other, &token);
                prop_assert_ne!(other.hash(), token.hash());
            }
        }
        Ok(())
    });
}

#[test]
fn any_other_text_is_malformed() {
    let pieces = prop::sample::select(vec!["", ".", "..", "QQ", "QR", "QQ==", "é", " ", "\n", "A"]);
    let text = prop_oneof![
        prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat()),
        "\\PC{0,300}",
        "[A-Za-z0-9_-]{1,80}\\.[A-Za-z0-9_-]{1,80}\\.[A-Za-z0-9_-]{0,69}",
        (1439..5000_usize).prop_map(|length| "A".repeat(length)),
    ];
    for_all(text, |text| is_malformed(&text));
}

#[test]
fn each_rule_of_the_text_is_held() {
    let (user, session) = (UserId::new("42").unwrap(), SessionId::new("phone").unwrap());
    let text = RefreshToken::new(&user, &session).unwrap().expose();
    let tail = text.rsplit('.').next().unwrap();
    assert_eq!(tail.len(), 70);
    for malformed in [
        format!("{text}."),
        format!(".{text}"),
        format!("{text} "),
        format!("{text}="),
        format!("NDI.cGhvbmU.{tail}AA"),
        format!("NDI.cGhvbmU.{}", &tail[..68]),
        format!(".cGhvbmU.{tail}"),
        format!("NDI..{tail}"),
        format!("ew.cGhvbmU.{tail}"),  // {
        format!("Cg.cGhvbmU.{tail}"),  // a line break
        format!("_w.cGhvbmU.{tail}"),  // not UTF-8
        format!("NDJ.cGhvbmU.{tail}"), // bits that no byte has
    ] {
        is_malformed(&malformed).unwrap();
    }
    assert!(RefreshToken::parse(&format!("NDI.cGhvbmU.{tail}")).is_ok());
    let longest = (UserId::new("é".repeat(256)).unwrap(), SessionId::new("s".repeat(512)).unwrap());
    let longest = RefreshToken::new(&longest.0, &longest.1).unwrap();
    assert_eq!(longest.expose().len(), LONGEST);
    assert_eq!(RefreshToken::parse(&longest.expose()).unwrap(), longest);
}

#[test]
fn tokens_have_nothing_secret_in_common_but_their_family() {
    let (user, session) = (UserId::new("42").unwrap(), SessionId::new("phone").unwrap());
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let first = RefreshToken::new(&user, &session).unwrap();
        let second = first.next().unwrap();
        for token in [&first, &second] {
            assert!(seen.insert(token.hash()));
            assert_eq!(token.hash().as_str().len(), 64);
        }
        // The family is bytes 4 to 20 of the tail: some letters of base64 stay, and no others.
        let tail = |token: &RefreshToken| token.expose().rsplit('.').next().unwrap().to_owned();
        let (one, two) = (tail(&first), tail(&second));
        assert_eq!(one[6..26], two[6..26]);
        assert_ne!(one[27..48], two[27..48]);
        assert_ne!(one[48..], two[48..]);
        assert!(seen.insert(auth_adapter_redis::key::TokenHash::new(&one[6..26]).unwrap()));
    }
}

#[tokio::test]
async fn no_changed_text_is_worth_anything() {
    let stage = Stage::new().await;
    let token = stage.next(&stage.first().await).await;
    let text = token.expose();
    let before = stage.fields();
    for at in 0..text.len() {
        for with in ["A", "B", "-", "."] {
            let mut changed = text.clone();
            changed.replace_range(at..=at, with);
            if changed == text {
                continue;
            }
            let Ok(changed) = RefreshToken::parse(&changed) else { continue };
            let found = stage.tokens.lookup(&changed).await.unwrap();
            assert_eq!(found, Lookup::Unknown, "{at} {with}");
            assert_eq!(stage.present(&changed).await, Rotate::Unknown, "{at} {with}");
        }
    }
    stage.unchanged_since(&before);
}
