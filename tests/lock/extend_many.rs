//! Several leases at one instant.

use super::support::script;
use super::*;

/// Of these two, in one slot.
const BOTH: [&str; 2] = ["{lock}one", "{lock}too"];

async fn run_extend_many(redis: &Redis, holder: &str, ttl: i64) -> Result<Vec<i64>, Error> {
    let call = script("lock/extend_many").call_many(redis, 2).keys("lock", BOTH);
    call.args("holder", [(holder, ttl), (holder, ttl)]).run().await
}

async fn acquired_both(leases: &Leases, ttl: Duration) -> [LockToken; 2] {
    let [one, too] = BOTH.map(|key| leases.acquire(key, ttl));
    let (one, too) = tokio::join!(one, too);
    [one, too].map(|outcome| match outcome.unwrap() {
        Acquire::Acquired(token) => token,
        other => panic!("expected the lock, got {other:?}"),
    })
}

fn ends(redis: &Redis) -> [i64; 2] {
    BOTH.map(|key| raw(redis, "PTTL", key, &[]).int().unwrap())
}

#[tokio::test]
async fn gives_left_of_each_after_moving_the_ends_later() {
    let (_, redis) = locks().await;
    for key in BOTH {
        raw(&redis, "SET", key, &[&holder('a'), "PX", "10000"]);
    }
    assert_eq!(run_extend_many(&redis, &holder('a'), LEASE).await.unwrap(), [LEASE; 2]);
    assert!(ends(&redis).iter().all(|&left| left > LEASE - 5_000));
}

#[tokio::test]
async fn gives_0_for_the_one_that_another_holds_and_extends_the_other() {
    let redis = redis().await;
    raw(&redis, "SET", BOTH[0], &[&holder('b'), "PX", "10000"]);
    raw(&redis, "SET", BOTH[1], &[&holder('a'), "PX", "10000"]);
    assert_eq!(run_extend_many(&redis, &holder('a'), LEASE).await.unwrap(), [0, LEASE]);
    let [others, ours] = ends(&redis);
    assert!(others <= 10_000 && ours > LEASE - 5_000);
}

#[tokio::test]
async fn each_goes_by_its_own_token_and_ttl() {
    let (locks, redis) = locks().await;
    let [one, too] = acquired_both(&locks, Duration::from_secs(10)).await;
    let wanted = [(BOTH[0], &one, LONG), (BOTH[1], &too, LONG * 2)];
    let left = |left| Extend::Extended { left };
    let told = locks.extend_many(&wanted).await.unwrap();
    assert_eq!(told, [left(LONG), left(LONG * 2)]);
    let swapped = [(BOTH[0], &too, LONG), (BOTH[1], &one, LONG)];
    assert_eq!(locks.extend_many(&swapped).await.unwrap(), [Extend::NotOurs; 2]);
    assert!(ends(&redis)[1] > 2 * LEASE - 5_000);
}

#[tokio::test]
async fn it_brings_back_none_that_ended_and_shortens_none() {
    let (locks, redis) = locks().await;
    let [one, too] = acquired_both(&locks, LONG).await;
    raw(&redis, "DEL", BOTH[0], &[]);
    let short = Duration::from_millis(1);
    let told = locks.extend_many(&[(BOTH[0], &one, short), (BOTH[1], &too, short)]).await;
    let told = told.unwrap();
    assert_eq!(told[0], Extend::NotOurs);
    assert!(matches!(told[1], Extend::Extended { left } if left > LONG / 2), "{told:?}");
    assert!(raw(&redis, "GET", BOTH[0], &[]).is_nil());
    assert!(ends(&redis)[1] > LEASE - 5_000);
}

#[tokio::test]
async fn fails_wrongtype_and_extends_none() {
    let (locks, redis) = locks().await;
    let [one, too] = acquired_both(&locks, Duration::from_secs(10)).await;
    raw(&redis, "DEL", BOTH[1], &[]);
    raw(&redis, "LPUSH", BOTH[1], &["x"]);
    let told = locks.extend_many(&[(BOTH[0], &one, LONG), (BOTH[1], &too, LONG)]).await;
    assert_server(told, ServerErrorKind::WrongType);
    let [before, list] = ends(&redis);
    assert!(before <= 10_000 && list == -1);
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_sent_and_nothing_takes_no_trip() {
    let server = own();
    let locks = Leases::new(redis_on(&server).await);
    let token = acquired(&locks, LONG).await;
    let calls = || server.command_calls("evalsha") + server.command_calls("eval");
    let before = calls();
    assert_eq!(locks.extend_many(&[]).await.unwrap(), []);
    let lists = [
        vec![("lock", &token, LONG), ("", &token, LONG)],
        vec![("lock", &token, LONG), ("lock", &token, Duration::ZERO)],
        vec![("lock", &token, LONG); 1001],
    ];
    for list in lists {
        let refused = locks.extend_many(&list).await;
        assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
    }
    assert_eq!(calls(), before);
    assert_eq!(locks.extend_many(&vec![("lock", &token, LONG); 1000]).await.unwrap().len(), 1000);
}
