//! The packed lineage, byte by byte: what another version of this crate may find in a hash.

use crate::stage::{HEAD, Stage, now, number};
use crate::support::script;

const ARGS: [[u8; 32]; 4] = [[0xfa; 32], [0xa0; 32], [0xa1; 32], [0xa2; 32]];

#[tokio::test]
async fn a_lineage_is_packed_as_it_always_was() {
    let [family, first, second, third] = &ARGS;
    let stage = Stage::new().await;
    let begin = |name| {
        let call = script(name).call(&stage.redis).key("state", &stage.state());
        call.arg("session", "phone").arg("family", &family[..])
    };
    let head = stage.packed();
    assert_eq!(head.len(), HEAD + "a record".len());
    assert_eq!(number(&head[..6]), stage.expires);
    assert_eq!((&head[6..8], &head[HEAD..]), (&b"\0\0"[..], &b"a record"[..]));

    let before = now();
    let call = begin("refresh/issue").arg("generation", 0x01020304).arg("token", &first[..]);
    assert_eq!(call.run::<String>().await.unwrap(), "issued");
    let issued = stage.packed();
    let rotated = &issued[HEAD + 4..HEAD + 10];
    assert!((before..=now()).contains(&number(rotated)));
    let expected = [
        &head[..6],
        &[0, 112],
        &head[8..HEAD],
        &[1, 2, 3, 4],
        rotated,
        rotated,
        family,
        first,
        &[0; 32],
        b"a record",
    ];
    assert_eq!(issued, expected.concat());

    let rotate = async |generation: u32, token: &[u8], next: &[u8], window: u64| {
        let call = begin("refresh/rotate").arg("generation", generation).arg("token", token);
        let call = call.arg("next", next).arg("payload", &b"a payload"[..]);
        let call = call.arg("window", window).arg("nonce", "a nonce");
        let (outcome, expires): (String, i64) = call.run().await.unwrap();
        assert_eq!((&*outcome, expires), ("rotated", stage.expires as i64));
        stage.packed()
    };
    let packed = rotate(0x01020304, first, second, 30_000).await;
    let rotated = number(&packed[HEAD + 4..HEAD + 10]);
    assert!((before..=now()).contains(&rotated));
    let expected = [
        &head[..6],
        &[0, 121],
        &head[8..HEAD],
        &[1, 2, 3, 5],
        &rotated.to_be_bytes()[2..],
        &(rotated + 30_000).to_be_bytes()[2..],
        family,
        second,
        first,
        b"a payload",
        b"a record",
    ];
    assert_eq!(packed, expected.concat());

    let packed = rotate(0x01020305, second, third, 0).await;
    let rotated = &packed[HEAD + 4..HEAD + 10];
    let expected = [
        &head[..6],
        &[0, 112],
        &head[8..HEAD],
        &[1, 2, 3, 6],
        rotated,
        rotated,
        family,
        third,
        second,
        b"a record",
    ];
    assert_eq!(packed, expected.concat(), "no payload without a window");
}
