//! The packed format, byte by byte as the server writes it. What is in Redis outlives a release: from
//! 0.1.0 on a change of it is a change that has to read the old one too.

use super::*;
use auth_adapter_redis::testing::Reply;

fn field(store: &Store, name: &str) -> Vec<u8> {
    let reply = store.raw("HGET", &[name]);
    assert!(!reply.is_nil(), "{name}");
    reply.bytes().unwrap().to_vec()
}

fn millis(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[tokio::test]
async fn a_hash_has_these_fields_and_no_others() {
    let store = Store::new().await.max(2);
    let expires = Timestamp::from_millis(0x7fff_0102_0304).unwrap();
    let created = Timestamp::from_millis(0x7ffe_0102_0304).unwrap();
    let late = Row::new(id("late"), created, expires).with_record([0, 255, b'r']);
    let sessions = store.sessions.clone().with_longest_session(HOUR * 24 * 365 * 99).unwrap();
    let version = store.version("x").await;
    let before = Timestamp::now().as_millis() - 1_000;
    let old = row("old", 2);
    let filled = sessions.fill(&user(), &[old.clone(), row("b", 1)], &version).await.unwrap();
    assert_eq!(filled, Fill::Filled { revoked: vec![] });
    let _displaced = sessions.create(&user(), &late).await.unwrap();
    store.revoke(&["unknown"]).await;
    let names: Vec<_> = store.fields().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"c"[..], b"s:b", b"s:late", b"s:old", b"s:unknown", b"v"]);

    let packed = field(&store, "s:late");
    assert_eq!(packed[..6], [0x7f, 0xff, 0x01, 0x02, 0x03, 0x04], "expires");
    assert_eq!(packed[6..8], [0; 2], "no lineage");
    assert_eq!(packed[8..14], [0x7f, 0xfe, 0x01, 0x02, 0x03, 0x04], "created");
    let seen = millis(&packed[14..20]);
    assert!((before..before + 60_000).contains(&seen), "last seen {seen}");
    assert_eq!(packed[20..26], [0; 6], "never confirmed");
    assert_eq!(packed[26..], [0, 255, b'r'], "the record");
    let confirmed = millis(&field(&store, "s:b")[20..26]);
    assert!((before + 300_000..before + 360_000).contains(&confirmed), "{confirmed}");

    let tombstone = field(&store, "s:old");
    assert_eq!(millis(&tombstone[..6]), old.expires.as_millis(), "until when");
    assert_eq!(tombstone[6..8], [255; 2], "a length that no lineage has");
    assert_eq!(&tombstone[8..], b"late", "who displaced it");
    let tombstone = field(&store, "s:unknown");
    assert_eq!(tombstone[6..], [255; 2], "nobody displaced it");
    let thirty_days = millis(&tombstone[..6]) - 30 * 86_400_000;
    assert!((before..before + 60_000).contains(&thirty_days), "{thirty_days}");

    let complete = String::from_utf8(field(&store, "c")).unwrap().parse::<u64>().unwrap();
    assert_eq!(complete, confirmed);
    let version = String::from_utf8(field(&store, "v")).unwrap();
    let (nonce, micros) = version.split_once(':').unwrap();
    assert!(nonce.len() == 32 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()), "{nonce}");
    let micros = micros.parse::<u64>().unwrap() / 1000;
    assert!((before..before + 60_000).contains(&micros), "{micros}");
}

#[tokio::test]
async fn a_call_that_ends_all_leaves_a_mark_of_its_own_for_a_day() {
    let store = Store::new().await;
    store.login(&row("a", 1)).await;
    store.sessions.revoke_all(&user(), &[]).await.unwrap();
    let fields = store.fields();
    let [(a, _), (mark, till), (v, version)] = &fields[..] else { panic!("{fields:?}") };
    // The nonce may sort before or after.
    let (a, mark, till) = if a == b"s:a" { (a, mark, till) } else { (mark, a, &fields[0].1) };
    assert_eq!((&a[..], &v[..]), (&b"s:a"[..], &b"v"[..]));
    assert_eq!(mark[2..], version[..32]);
    assert_eq!(till[8..], version[..32]);
    let left = millis(&till[..6]) - Timestamp::now().as_millis();
    assert!((86_300_000..=86_400_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_lineage_in_a_session_is_passed_over_and_kept() {
    let store = Store::new().await;
    store.login(&row("a", 1).with_record("record")).await;
    let mut packed = field(&store, "s:a");
    packed.splice(6..8, [0, 112]);
    packed.splice(26..26, [7; 112]);
    let key = format!("{}{}", store.redis.prefix(), store.state());
    let words: [&[u8]; 4] = [b"HSET", key.as_bytes(), b"s:a", &packed];
    assert_eq!(support::target::shared().command(&words).unwrap(), Reply::Int(0));
    let Check::Active(session) = store.check("a").await else { panic!("it is active") };
    assert_eq!(session.record.as_bytes(), b"record");
    let version = store.version("b").await;
    let confirmed = store.sessions.confirm(&user(), &row("a", 9), &version).await.unwrap();
    assert_eq!(confirmed, Confirm::Confirmed);
    store.fill(&[row("a", 9)]).await;
    let kept = field(&store, "s:a");
    assert_eq!((&kept[..8], &kept[26..]), (&packed[..8], &packed[26..]));
}

#[tokio::test]
#[cfg(feature = "serde")]
async fn a_record_is_any_bytes_or_json() {
    use auth_adapter_redis::session::Record;

    let store = Store::new().await;
    let device = ("laptop".to_owned(), 7u8);
    store.login(&row("a", 1).with_record(Record::from_json(&device).unwrap())).await;
    let Check::Active(session) = store.check("a").await else { panic!("it is active") };
    assert_eq!(session.record.as_bytes(), br#"["laptop",7]"#);
    assert_eq!(session.json::<(String, u8)>().unwrap(), device);
    assert!(session.json::<u8>().is_err());
}
