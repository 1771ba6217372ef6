//! The users of `examples/*.acl` can do what this crate needs, and nothing that it does not.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use auth_adapter_redis::circuit::Circuit;
use auth_adapter_redis::key::{SessionId, Timestamp, UserId, slot};
use auth_adapter_redis::lock::{Acquire, AcquireFenced, Channel, Leases, Place, Steal, Told};
use auth_adapter_redis::rate::Quota;
use auth_adapter_redis::script::library;
use auth_adapter_redis::session::{Authority, Check, Create, Row};
use auth_adapter_redis::testing::{Cluster, SentinelGroup, Server, random_prefix};
use auth_adapter_redis::{
    Cache, Error, ExposedError, FencedStrings, Locks, RateLimiter, Redis, RedisBuilder,
    RefreshToken, RefreshTokens, ServerErrorKind, Sessions,
};
use support::{
    HANG, LONG, ROOT, assert_server, create_session, events, least_privilege as user, quick,
};

const DEADLINE: Duration = Duration::from_millis(300);
/// In epoch milliseconds.
const IN_2100: u64 = 4_102_444_800_000;

#[test]
fn the_readme_shows_the_same_lines() {
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = one_line(std::fs::read_to_string(ROOT.join("README.md")).unwrap());
    for file in ["least-privilege.acl", "least-privilege-sentinel.acl"] {
        let line = user(file).replace(">pw", ">PASSWORD");
        assert!(readme.contains(&line), "{file}");
    }
}

/// The rights in a line, and each with the line that lacks it alone.
fn one_less(line: &str) -> Vec<(String, String)> {
    let rights: BTreeSet<_> = line.split(' ').filter(|word| word.starts_with('+')).collect();
    let less = |right: &str| {
        let words = line.split(' ').filter(|&word| word != right);
        words.collect::<Vec<_>>().join(" ")
    };
    rights.into_iter().map(|right| (right.to_owned(), less(right))).collect()
}

/// Gives a server this user, in place of the one it had, and ends that one's connections.
fn set_user(server: &Server, line: &str) {
    let _none = server.command(&["ACL", "DELUSER", "auth"]).unwrap();
    let words: Vec<_> = ["ACL", "SETUSER"].into_iter().chain(line.split(' ').skip(1)).collect();
    assert_eq!(server.command(&words).unwrap().text(), Some("OK"));
}

fn login(url: String) -> RedisBuilder {
    quick(url).username("auth").password("pw").prefix("myapp:").client_name("auth-1")
}

/// Does all that the crate can do. What was amiss, in words: an error, or a warning in the log.
async fn all_of(builder: RedisBuilder, replace: impl AsyncFn(&Redis)) -> Result<(), String> {
    let (log, _listening) = events();
    let redis = builder.call_deadline(DEADLINE).build().unwrap();
    let connected = tokio::time::timeout(DEADLINE * 2, redis.connected());
    if connected.await.is_err() {
        return Err(redis.ping().await.unwrap_err().to_string());
    }
    let outcome = every_operation(&redis).await.map_err(|error| error.to_string());
    if outcome.is_ok() {
        replace(&redis).await;
    }
    let warned = log.text().lines().find(|line| line.contains("was refused")).map(str::to_owned);
    outcome.and(warned.map_or(Ok(()), Err))
}

async fn every_operation(redis: &Redis) -> Result<(), Error> {
    let (cache, locks) = (Cache::new(redis.clone()), Leases::new(redis.clone()));
    redis.ping().await?;
    cache.set("{k}a", "v", LONG).await?;
    cache.get("{k}a").await?;
    cache.delete("{k}a").await?;
    cache.delete_many(&["{k}a", "{k}b"]).await?;
    let Acquire::Acquired(token) = locks.acquire("lock", LONG).await? else { panic!("it is free") };
    let again = locks.retry_acquire("lock", token.clone(), LONG).await?;
    assert!(matches!(again, Acquire::Acquired(_)));
    let _left = locks.extend("lock", &token, LONG * 2).await?;
    let _left = locks.extend_many(&[("lock", &token, LONG * 3)]).await?;
    locks.peek("lock").await?;
    assert_eq!(locks.list("lo").await?.len(), 1);
    let _freed = locks.release("lock", &token).await?;
    fences(redis, &locks).await?;
    waits(redis, &locks).await?;
    let (limiter, quota) = (RateLimiter::new(redis.clone()), Quota::per_hour(5));
    let _allowed = limiter.check("{k}rate", &quota, 1).await?;
    let _allowed = limiter.check_many(&[("{k}rate", quota), ("{k}too", quota)], 1).await?;
    limiter.peek("{k}rate", &quota).await?;
    limiter.reset("{k}rate", &quota).await.map_err(failed)?;
    every_operation_on_sessions(redis).await?;
    refresh_tokens(redis).await?;
    library().load(redis).await
}

/// In another slot than that of the lock, since half a slot refuses two keys that are not there.
async fn fences(redis: &Redis, locks: &Leases) -> Result<(), Error> {
    let acquired = locks.acquire_fenced("{f}lock", LONG).await?;
    let AcquireFenced::Acquired { token, fence } = acquired else { panic!("it is free") };
    let again = locks.retry_acquire_fenced("{f}lock", token, LONG).await?;
    assert!(matches!(again, AcquireFenced::Acquired { .. }));
    let seen = locks.inspect("{f}lock").await?.expect("it is held");
    let stolen = locks.steal("{f}lock", &seen, LONG).await?;
    let Steal::Stolen { token, .. } = stolen else { panic!("it was just seen") };
    let _freed = locks.release("{f}lock", &token).await?;
    let _set = FencedStrings::new(redis.clone()).check_and_set("{f}k", "v", fence).await?;
    Ok(())
}

/// One who waits is told by `PUBLISH`; a place of which nobody hears is dropped, and the next is served.
async fn waits(redis: &Redis, leases: &Leases) -> Result<(), Error> {
    let locks = Locks::new(redis.clone());
    let Acquire::Acquired(token) = leases.acquire("{q}lock", LONG).await? else { panic!() };
    let unheard = Place::new(Told::Published(Channel::new()?), LONG)?;
    let asks = Place::new(Told::Never, LONG)?;
    let guards = [locks.try_acquire("{q}a", LONG).await?, locks.try_acquire("{q}b", LONG).await?];
    let [one, two] = guards.map(|outcome| outcome.guard().expect("it is free"));
    let _queued = leases.join("{q}lock", one.token(), LONG, &unheard, LONG).await?;
    let _queued = leases.join("{q}lock", two.token(), LONG, &asks, Duration::ZERO).await?;
    assert_eq!(leases.inspect("{q}lock").await?.expect("it is held").waiters, 2);
    let _freed = leases.hand_over("{q}lock", &token).await?;
    if leases.peek("{q}lock").await?.is_none() {
        return Err(Error::Config("PUBLISH was refused".to_owned()));
    }
    let waits = async {
        while leases.inspect("{q}lock").await?.is_none_or(|held| held.waiters == 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        leases.leave("{q}lock", two.token(), &asks).await
    };
    let (guard, left) = tokio::join!(locks.acquire("{q}lock", LONG, HANG), waits);
    let _freed = left?;
    let _freed = guard?.guard().expect("it was handed over").release().await?;
    Ok(())
}

async fn every_operation_on_sessions(redis: &Redis) -> Result<(), Error> {
    let sessions = Sessions::new(redis.clone()).with_touch_every(Duration::from_millis(1))?;
    // One that no check before has left anything of.
    let (user, id) = (UserId::new(random_prefix())?, SessionId::new("a")?);
    let also = redis.keys().user(&user);
    let expires = Timestamp::try_from(std::time::SystemTime::now() + LONG)?;
    let row = Row::new(id.clone(), Timestamp::now(), expires);
    let version = match sessions.check(&user, &id).await? {
        Check::Unknown(version) => version,
        // As an error of any other operation.
        Check::Degraded { why } => return Err(Error::Config(why)),
        known => panic!("nothing is known of it, and it is {known:?}"),
    };
    let _filled = sessions.fill(&user, &[], &version).await?;
    let Create::Created { .. } = sessions.create(&user, &row).await? else { panic!("it is new") };
    let _confirmed = sessions.confirm(&user, &row, &version).await?;
    let _noted = sessions.touch(&user, &id).await?;
    let _sessions = sessions.list(&user).await?;
    let alone = sessions.clone().with_authority(Authority::Redis);
    let _active = alone.check(&user, &id).await?;
    sessions.revoke_others(&user, &id, &[]).await.map_err(failed)?;
    sessions.revoke(&user, &[id], &[&also]).await.map_err(failed)?;
    sessions.revoke_all(&user, &[]).await.map_err(failed)?;
    Ok(())
}

async fn refresh_tokens(redis: &Redis) -> Result<(), Error> {
    let tokens = RefreshTokens::new(redis.clone()).with_window(Duration::ZERO)?;
    let (user, session) = (UserId::new("42")?, SessionId::new("phone")?);
    create_session(redis, &redis.keys().user_state(&user), "phone", IN_2100).await?;
    let first = RefreshToken::new(&user, &session)?;
    let second = first.next()?;
    let _issued = tokens.issue(&first).await?;
    let _current = tokens.lookup(&first).await?;
    let _rotated = tokens.rotate(&first, &second, b"response").await.map_err(failed)?;
    let _reused = tokens.rotate(&first, &first.next()?, b"response").await.map_err(failed)?;
    let _revoked = tokens.revoke(&second).await.map_err(failed)?;
    tokens.lookup_hash(&first.hash()).await.map(drop)
}

fn failed(exposed: ExposedError) -> Error {
    exposed.error
}

async fn nothing(_: &Redis) {}

/// Has the handle replace its connection, as it does when a server hangs.
async fn replace(server: &Server, redis: &Redis) {
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    tokio::time::timeout(HANG, async { while redis.ping().await.is_err() {} }).await.unwrap();
}

#[tokio::test]
async fn the_user_can_do_all_and_one_right_less_is_too_little() {
    let server = Server::start().unwrap();
    let line = user("least-privilege.acl");
    let check = async |line: &str| {
        server.flush_scripts().unwrap();
        // What the check before could not end.
        server.command(&["FLUSHALL"]).unwrap();
        set_user(&server, line);
        all_of(login(server.url()), async |redis| replace(&server, redis).await).await
    };
    assert_eq!(check(&line).await, Ok(()));
    let denied = server.command(&["ACL", "LOG"]).unwrap();
    assert_eq!(denied.array().unwrap().len(), 0, "nothing was tried in vain: {denied:?}");
    // These are for Sentinel and for a cluster, below, and one who may not unsubscribe is told of a lock
    // that is not waited for any more.
    let elsewhere = ["+role", "+cluster|slots", "+cluster|info", "+asking", "+unsubscribe"];
    for (right, line) in one_less(&line) {
        let outcome = check(&line).await;
        assert_eq!(outcome.is_ok(), elsewhere.contains(&&*right), "{right}: {outcome:?}");
    }
}

#[tokio::test]
async fn behind_sentinels_it_needs_to_ask_the_role() {
    let group = SentinelGroup::builder().replicas(0).sentinels(1).down_after(LONG * 60);
    let group = group.start().unwrap();
    let (server, sentinel) = (&group.servers()[0], &group.sentinels()[0]);
    let (line, names) = (user("least-privilege.acl"), user("least-privilege-sentinel.acl"));
    let check = async |line: &str, names: &str| {
        set_user(server, line);
        set_user(sentinel, names);
        let builder = login(group.url()).sentinel_username("auth").sentinel_password("pw");
        all_of(builder, nothing).await
    };
    assert_eq!(check(&line, &names).await, Ok(()));
    for server in [server, sentinel] {
        let denied = server.command(&["ACL", "LOG"]).unwrap();
        assert_eq!(denied.array().unwrap().len(), 0, "{denied:?}");
    }
    let without_role = line.replace(" +role", "");
    let outcome = check(&without_role, &names).await;
    assert!(outcome.as_ref().is_err_and(|why| why.contains("NOPERM")), "{outcome:?}");
    for (right, names) in one_less(&names) {
        let outcome = check(&line, &names).await;
        // Without the last the handle works, and hears of no failover.
        assert_eq!(outcome.is_ok(), right == "+subscribe", "{right}: {outcome:?}");
    }
    for right in [" +subscribe", " &+switch-master", " &+promoted-slave"] {
        let (log, _listening) = events();
        set_user(sentinel, &names.replace(right, ""));
        let builder = login(group.url()).sentinel_username("auth").sentinel_password("pw");
        let _redis = builder.build().unwrap();
        support::until(|| log.count("a Sentinel is not listened to") > 0).await;
    }
}

#[tokio::test]
async fn on_a_cluster_it_needs_the_slots_and_asking() {
    let cluster = Cluster::builder().primaries(2).replicas_each(0).start().unwrap();
    let line = user("least-privilege.acl");
    let sharded = "+spublish +ssubscribe +sunsubscribe";
    let is_sharded = cluster.nodes()[0].version() >= (7, 0, 0);
    let line = if is_sharded { format!("{line} {sharded}") } else { line };
    let moving = slot(b"myapp:lock");
    let from = cluster.primary_of_slot(moving).unwrap();
    let to = cluster.nodes().iter().find(|node| node.port() != from.port()).unwrap();
    // Whatever is asked for in this slot is asked for on the other side.
    let half = cluster.begin_move(moving, to).unwrap();
    let check = async |line: &str| {
        cluster.nodes().iter().for_each(|node| set_user(node, line));
        all_of(login(cluster.url()), nothing).await
    };
    assert_eq!(check(&line).await, Ok(()));
    for node in cluster.nodes() {
        let denied = node.command(&["ACL", "LOG"]).unwrap();
        assert_eq!(denied.array().unwrap().len(), 0, "{denied:?}");
    }
    for right in [" +cluster|slots", " +asking"] {
        let outcome = check(&line.replace(right, "")).await;
        assert!(outcome.as_ref().is_err_and(|why| why.contains("NOPERM")), "{right}: {outcome:?}");
    }
    half.finish().unwrap();
}

/// Whoever may not ask has each call find out that the cluster is still down.
#[tokio::test]
async fn of_a_cluster_that_is_down_it_needs_to_ask_whether_it_is_up() {
    let cluster = Cluster::builder().primaries(1).replicas_each(0).start().unwrap();
    let (node, line) = (&cluster.nodes()[0], user("least-privilege.acl"));
    node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "yes"]).unwrap();
    for may_ask in [true, false] {
        let line = if may_ask { line.clone() } else { line.replace(" +cluster|info", "") };
        set_user(node, &line);
        let redis = login(cluster.url()).call_deadline(DEADLINE).build().unwrap();
        redis.connected().await;
        node.command(&["CLUSTER", "DELSLOTS", "0"]).unwrap();
        let cache = Cache::new(redis.clone());
        while cache.set("k", "v", LONG).await.is_ok() {}
        let why = |node: &Circuit| node.why.as_deref().is_some_and(|why| why.ends_with(" is down"));
        let denied = || node.command(&["ACL", "LOG"]).unwrap().array().unwrap().len();
        match may_ask {
            true => support::until(|| redis.circuits().borrow().iter().any(why)).await,
            false => support::until(|| denied() > 0).await,
        }
        assert_eq!(denied() == 0, may_ask);
        node.command(&["CLUSTER", "ADDSLOTS", "0"]).unwrap();
        cluster.wait_until_settled(HANG).unwrap();
    }
}

#[tokio::test]
async fn it_can_do_nothing_else_and_nothing_elsewhere() {
    let server = Server::start().unwrap();
    set_user(&server, &user("least-privilege.acl"));
    let redis = login(server.url()).build().unwrap();
    redis.connected().await;
    let elsewhere = Cache::new(redis.clone().with_prefix("other:").unwrap());
    assert_server(elsewhere.get("k").await, ServerErrorKind::NoPermission);
    assert_server(elsewhere.delete_many(&["k"]).await, ServerErrorKind::NoPermission);
    let url = server.url().replace("redis://", "redis://auth:pw@");
    let client = auth_adapter_redis::redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for words in [
        &["KEYS", "*"][..],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["ACL", "LIST"],
        &["SCRIPT", "FLUSH"],
        &["PUBLISH", "other:c", "m"],
        &["CLIENT", "LIST"],
        &["LPUSH", "myapp:l", "v"],
    ] {
        let outcome: Result<(), _> = auth_adapter_redis::redis::cmd(words[0])
            .arg(&words[1..])
            .query_async(&mut connection)
            .await;
        assert_eq!(outcome.unwrap_err().code(), Some("NOPERM"), "{words:?}");
    }
}
