//! What several test binaries share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod doctored;
pub mod target;

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use auth_adapter_redis::redis::Value;
use auth_adapter_redis::script::{Call, FromReply, library};
use auth_adapter_redis::testing::{Reply, Server, random_prefix};
use auth_adapter_redis::{Error, ExposedError, Redis, RedisBuilder, Script, ServerErrorKind};
use target::{Own, Place, own, shared};
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::fmt::format::FmtSpan;

/// Longer than any test runs.
pub const LONG: Duration = Duration::from_secs(60);
/// A lease or a TTL that a test waits out.
pub const SHORT: Duration = Duration::from_millis(120);
/// What a busy machine may add to a deadline.
pub const SLACK: Duration = Duration::from_millis(200);
/// Past this something hangs.
pub const HANG: Duration = Duration::from_secs(20);

/// A handle on what this test binary shares, under a prefix of its own.
pub async fn redis() -> Redis {
    let prefix = format!("myapp:{}", random_prefix());
    let redis = patient(shared()).prefix(prefix).build().unwrap();
    redis.connected().await;
    redis
}

/// The user in one of `examples/*.acl`, with the password `pw`.
pub fn least_privilege(file: &str) -> String {
    let line = std::fs::read_to_string(ROOT.join("examples").join(file)).unwrap();
    assert_eq!(line.lines().count(), 1);
    line.trim_end().replace(">PASSWORD", ">pw")
}

/// A handle on what is the test's own.
pub async fn redis_on(place: &impl Place) -> Redis {
    let redis = patient(place).build().unwrap();
    redis.connected().await;
    redis
}

/// Settings for tests of outcomes, not of deadlines: a busy machine must not fail them.
pub fn patient(place: &impl Place) -> RedisBuilder {
    quick(place.url()).call_deadline(Duration::from_secs(10))
}

/// Settings that come back as soon as the server does.
pub fn quick(url: String) -> RedisBuilder {
    let backoff = (Duration::from_millis(5), Duration::from_millis(20));
    Redis::builder().url(url).backoff(backoff.0, backoff.1)
}

/// A script of this crate.
pub fn script(name: &str) -> &'static Script {
    library().get(name).expect("the script is there")
}

/// Begins a call of a lock script on key `lock`.
pub fn on_lock<'a>(name: &str, redis: &'a Redis) -> Call<'a> {
    script(name).call(redis).key("lock", "lock")
}

/// Creates a session as `session/create` does, with nothing behind Redis. Its outcome.
pub async fn create_session(
    redis: &Redis,
    state: &str,
    session: &str,
    expires: u64,
) -> Result<String, Error> {
    let call = script("session/create").call(redis).key("state", state);
    let call = call.arg("session", session).arg("nonce", "a nonce");
    let call = call.arg("created", 1).arg("expires", expires).arg("record", "a record");
    call.arg("max", 0).arg("database", 0).run().await.map(first_of)
}

/// The word that leads a reply.
pub fn first_of(reply: Vec<Value>) -> String {
    String::from_reply(reply.into_iter().next().unwrap()).unwrap()
}

/// Speaks to what is shared as other software would, with the handle's prefix before `key`.
pub fn raw(redis: &Redis, command: &str, key: &str, rest: &[&str]) -> Reply {
    raw_on(shared(), redis, command, key, rest)
}

/// Speaks to a server as other software would.
pub fn raw_on(place: &impl Place, redis: &Redis, command: &str, key: &str, rest: &[&str]) -> Reply {
    let key = format!("{}{key}", redis.prefix());
    let words: Vec<&str> = [command, &key].into_iter().chain(rest.iter().copied()).collect();
    place.command(&words).unwrap()
}

/// The value of a lock as a holder of this crate writes it.
pub fn holder(digit: char) -> String {
    format!("{}:test", digit.to_string().repeat(32))
}

/// Whether an error is the server's of this kind.
#[track_caller]
pub fn assert_server<T: std::fmt::Debug>(outcome: Result<T, Error>, kind: ServerErrorKind) {
    match outcome {
        Err(Error::Server(error)) if error.kind == kind => {}
        other => panic!("expected {kind:?}, got {other:?}"),
    }
}

/// The error in one that says what is exposed for how long.
#[track_caller]
pub fn exposed<T>(
    outcome: Result<T, ExposedError>,
    what: &str,
    stale_for: Duration,
) -> Result<T, Error> {
    outcome.map_err(|failed| {
        assert_eq!(failed.stale_for, stale_for);
        let said = format!("{what} for up to {stale_for:?}: {}", failed.error);
        assert_eq!(failed.to_string(), said);
        failed.error
    })
}

/// A server that is full: reads and deletes go, what grows does not.
pub fn full_server() -> Own {
    let server = own();
    let used = server.info_field("memory", "used_memory").unwrap();
    assert!(used.parse::<u64>().unwrap() > 1024);
    set(&server, "maxmemory", "1024");
    server
}

/// `CONFIG SET`.
pub fn set(server: &Server, name: &str, value: &str) {
    let reply = server.command(&["CONFIG", "SET", name, value]).unwrap();
    assert_eq!(reply.text(), Some("OK"), "{reply:?}");
}

/// A server whose last save has failed, so that it refuses what writes.
pub struct FailsToSave<'a> {
    server: &'a Server,
    in_the_way: std::path::PathBuf,
}

pub fn fail_to_save(server: &Server) -> FailsToSave<'_> {
    let dir = server.command(&["CONFIG", "GET", "dir"]).unwrap();
    let in_the_way = std::path::Path::new(dir.array().unwrap()[1].text().unwrap()).join("dump.rdb");
    let _none = std::fs::remove_file(&in_the_way);
    std::fs::create_dir(&in_the_way).unwrap();
    set(server, "save", "3600 1");
    let fails = FailsToSave { server, in_the_way };
    fails.save("err");
    let told = server.command(&["SET", "m", "v"]).unwrap();
    assert!(told.error().is_some_and(|told| told.starts_with("MISCONF")), "{told:?}");
    fails
}

impl FailsToSave<'_> {
    /// It saves again, and writes.
    pub fn mend(self) {
        std::fs::remove_dir(&self.in_the_way).unwrap();
        self.save("ok");
    }

    fn save(&self, ends: &str) {
        self.server.command(&["BGSAVE"]).unwrap();
        let field = |name| self.server.info_field("persistence", name).unwrap();
        let began = std::time::Instant::now();
        while field("rdb_bgsave_in_progress") != "0" || field("rdb_last_bgsave_status") != ends {
            assert!(began.elapsed() < HANG, "its save ends with {ends}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The folder of the package.
pub static ROOT: LazyLock<&std::path::Path> =
    LazyLock::new(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")));

/// Waits until there is a connection and a call on it passes.
pub async fn comes_alive(redis: &Redis) {
    tokio::time::timeout(HANG, redis.connected()).await.expect("it comes alive");
    // A caller that tries again at once, in the one thread that the reconnect loop has too.
    tokio::time::timeout(HANG, async { while redis.ping().await.is_err() {} }).await.unwrap();
}

/// Waits until something holds that a server or a task brings about by itself.
pub async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(HANG, wait).await.expect("it comes to hold");
}

/// The events that this thread emits as long as the guard lives.
pub fn events() -> (Log, tracing::subscriber::DefaultGuard) {
    events_and(FmtSpan::NONE)
}

/// The same, and so much of spans.
pub fn events_and(spans: FmtSpan) -> (Log, tracing::subscriber::DefaultGuard) {
    /// With one subscriber alone `tracing` asks only the thread that comes by an event first
    /// whether anyone wants it, which may be another test's.
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
    LazyLock::force(&ANOTHER);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_span_events(spans)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// What was logged.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// How many events say so.
    pub fn count(&self, what: &str) -> usize {
        self.text().lines().filter(|line| line.contains(what)).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
