//! What nobody may see: not in the database of the server, not in output.

use std::collections::BTreeMap;

use auth_adapter_redis::refresh::{Lookup, Rotate};
use auth_adapter_redis::{Error, RefreshToken};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use crate::LATER;
use crate::exposed::not_rotated;
use crate::stage::{HEAD, LINEAGE, Stage, response};
use crate::support::events;
use crate::support::target::own;

/// Ways in which bytes could be written down.
fn spelt(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let listed = format!("{bytes:?}");
    vec![
        bytes.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        BASE64_STANDARD.encode(bytes).into_bytes(),
        BASE64_URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
        listed.trim_matches(['[', ']']).as_bytes().to_vec(),
    ]
}

/// All that is secret about a token, however it is written.
fn secrets(token: &RefreshToken) -> Vec<Vec<u8>> {
    let text = token.expose();
    let tail = BASE64_URL_SAFE_NO_PAD.decode(text.rsplit('.').next().unwrap()).unwrap();
    let (family, secret) = (&tail[4..20], &tail[20..]);
    let parts = [text.as_bytes(), &tail, family, secret, &response(token)];
    parts.into_iter().flat_map(spelt).collect()
}

fn shows(text: &[u8], secret: &[u8]) -> bool {
    text.windows(secret.len()).any(|part| part == secret)
}

/// All keys and values of a server.
fn everything(stage: &Stage) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let keys = stage.server().command(&["KEYS", "*"]).unwrap();
    let dump = |key: &[u8]| {
        let dumped = stage.server().command(&[b"HGETALL", key]).unwrap();
        let words = dumped.array().expect("all are hashes").iter();
        words.flat_map(|word| word.bytes().unwrap().to_vec()).collect()
    };
    let keys = keys.array().unwrap().iter().map(|key| key.bytes().unwrap());
    keys.map(|key| (key.to_vec(), dump(key))).collect()
}

#[tokio::test]
async fn no_key_and_no_value_holds_a_secret() {
    let stage = Stage::on(own()).await;
    let first = stage.first().await;
    let second = stage.next(&first).await;
    let third = stage.next(&second).await;
    assert!(matches!(stage.present(&second).await, Rotate::Replayed { .. }));
    let check = |when: &str| {
        let everything = everything(&stage);
        assert!(!everything.is_empty());
        for (key, value) in everything {
            for secret in [&first, &second, &third].into_iter().flat_map(secrets) {
                assert!(!shows(&key, &secret) && !shows(&value, &secret), "{when}");
            }
        }
    };
    check("after two rotations");
    stage.age(LATER);
    assert!(matches!(stage.present(&first).await, Rotate::Reused { .. }));
    check("after a reuse");
}

#[tokio::test]
async fn no_output_shows_a_secret() {
    let (log, _listening) = events();
    let stage = Stage::new().await;
    let first = stage.first().await;
    let second = first.next().unwrap();
    let mut shown = format!("{first:?} {second:#?} {:?}", stage.tokens);
    for (presented, next) in
        [(&first, &second), (&first, &first.next().unwrap()), (&second, &first)]
    {
        let outcome = stage.tokens.rotate(presented, next, &response(next)).await;
        shown += &format!("{outcome:?} {outcome:#?}");
        shown += &outcome.err().map(|error| error.to_string()).unwrap_or_default();
    }
    assert!(shown.contains("Replayed"), "{shown}");
    let error = RefreshToken::parse(&format!("{}!", first.expose())).unwrap_err();
    shown += &format!("{error} {error:?} {}", log.text());
    for secret in [&first, &second].into_iter().flat_map(secrets) {
        assert!(!shows(shown.as_bytes(), &secret), "{shown}");
    }
    assert!(!shown.contains(first.hash().as_str()), "{shown}");
}

#[tokio::test]
async fn a_payload_that_was_changed_does_not_open() {
    let stage = Stage::new().await;
    let first = stage.first().await;
    let next = first.next().unwrap();
    let _rotated = stage.tokens.rotate(&first, &next, b"response").await.unwrap();
    let packed = stage.packed();
    let payload = HEAD + LINEAGE..packed.len() - "a record".len();
    assert_eq!(payload.len(), 12 + 8 + 16, "nonce, response, tag");
    for at in payload {
        let mut changed = packed.clone();
        changed[at] ^= 1;
        stage.set_packed(&changed);
        let outcome = stage.tokens.rotate(&first, &first.next().unwrap(), b"").await;
        let error = not_rotated(outcome).unwrap_err();
        assert!(matches!(error, Error::Reply { .. }), "{error:?}");
        assert!(error.to_string().contains("does not open"), "{error}");
    }
    stage.set_packed(&packed);
    let opened = Rotate::Replayed { response: b"response".to_vec() };
    assert_eq!(stage.present(&first).await, opened);
}

/// Of another session or generation, put where this one's was.
#[tokio::test]
async fn a_payload_of_another_token_does_not_open() {
    let (stage, other) = (Stage::new().await, Stage::new().await);
    let first = stage.first().await;
    stage.next(&first).await;
    let theirs = other.first().await;
    other.next(&theirs).await;
    let (mut packed, their_packed) = (stage.packed(), other.packed());
    assert_eq!(packed.len(), their_packed.len());
    packed[HEAD + LINEAGE..].copy_from_slice(&their_packed[HEAD + LINEAGE..]);
    stage.set_packed(&packed);
    let outcome = stage.tokens.rotate(&first, &first.next().unwrap(), b"").await;
    let outcome = not_rotated(outcome);
    assert!(matches!(outcome, Err(Error::Reply { .. })), "{outcome:?}");
    assert_eq!(stage.tokens.lookup(&first).await.unwrap(), Lookup::Replay);
}

#[tokio::test]
async fn the_payload_goes_with_the_next_script_after_its_window() {
    let stage = Stage::new().await;
    let second = stage.next(&stage.first().await).await;
    let with_payload = stage.lineage();
    assert!(with_payload > LINEAGE + response(&second).len());
    assert_eq!(stage.create("tablet").await, "created");
    assert_eq!(stage.lineage(), with_payload, "not before");
    stage.age(LATER);
    assert_eq!(stage.create("laptop").await, "created");
    assert_eq!(stage.lineage(), LINEAGE);
    stage.next(&second).await;
}
