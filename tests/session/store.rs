//! What the tests of sessions share: a store with one user, and what that user's database says.

use std::time::Duration;

use super::support::{HANG, raw, redis};
use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::session::{
    Authority, Check, Confirm, Create, Fill, List, Revoked, Row, Touch, Version,
};
use auth_adapter_redis::testing::Reply;
use auth_adapter_redis::{Redis, Sessions};

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn user() -> UserId {
    UserId::new("42").unwrap()
}

pub fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

pub fn ids(names: &[&str]) -> Vec<SessionId> {
    names.iter().map(|name| id(name)).collect()
}

/// A session that is so many seconds old and lasts an hour more.
pub fn row(name: &str, age: u64) -> Row {
    row_of(name, age, HOUR)
}

/// The same for any time.
pub fn row_of(name: &str, age: u64, left: Duration) -> Row {
    let now = Timestamp::now().as_millis() as i64;
    let time = |millis| Timestamp::from_millis(millis).unwrap();
    let created = time(now - age as i64 * 1000);
    Row::new(id(name), created, time(now + left.as_millis() as i64))
}

/// One that ended a second ago.
pub fn expired(name: &str) -> Row {
    let mut row = row(name, 2);
    row.expires = Timestamp::from_millis(row.created.as_millis() as i64 + 1000).unwrap();
    row
}

/// Waits until a session has lapsed.
pub async fn until_unknown(store: &Store, name: &str) -> Version {
    let wait = async {
        loop {
            match store.check(name).await {
                Check::Unknown(version) => return version,
                Check::Active(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                other => panic!("{name}: {other:?}"),
            }
        }
    };
    tokio::time::timeout(HANG, wait).await.expect("it lapses")
}

pub struct Store {
    pub sessions: Sessions,
    pub redis: Redis,
}

impl Store {
    pub async fn new() -> Self {
        Self::on(redis().await)
    }

    pub fn on(redis: Redis) -> Self {
        Self { sessions: Sessions::new(redis.clone()), redis }
    }

    /// Without a database behind.
    pub fn alone(self) -> Self {
        Self { sessions: self.sessions.with_authority(Authority::Redis), ..self }
    }

    pub fn max(self, max: usize) -> Self {
        Self { sessions: self.sessions.with_max(max).unwrap(), ..self }
    }

    pub async fn check(&self, name: &str) -> Check {
        self.sessions.check(&user(), &id(name)).await.unwrap()
    }

    /// The version under which a session is unknown.
    pub async fn version(&self, name: &str) -> Version {
        match self.check(name).await {
            Check::Unknown(version) => version,
            other => panic!("{name} is not unknown but {other:?}"),
        }
    }

    pub async fn create(&self, row: &Row) -> Create {
        self.sessions.create(&user(), row).await.unwrap()
    }

    /// Creates a session and confirms it.
    pub async fn login(&self, row: &Row) {
        let created = self.create(row).await;
        assert!(matches!(created, Create::Created { .. }), "{created:?}");
        let version = self.version(row.id.as_str()).await;
        let confirmed = self.sessions.confirm(&user(), row, &version).await.unwrap();
        assert_eq!(confirmed, Confirm::Confirmed);
    }

    /// Fills the list with these.
    pub async fn fill(&self, rows: &[Row]) {
        let version = self.version("none of them").await;
        let filled = self.sessions.fill(&user(), rows, &version).await.unwrap();
        assert!(matches!(filled, Fill::Filled { .. }), "{filled:?}");
    }

    pub async fn list(&self) -> List {
        self.sessions.list(&user()).await.unwrap()
    }

    /// The ids in a complete list.
    pub async fn listed(&self) -> Vec<String> {
        match self.list().await {
            List::Sessions(sessions) => sessions.iter().map(|s| s.id.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    pub async fn revoke(&self, names: &[&str]) -> Revoked {
        self.sessions.revoke(&user(), &ids(names), &[]).await.unwrap()
    }

    pub async fn touch(&self, name: &str) -> Touch {
        self.sessions.touch(&user(), &id(name)).await.unwrap()
    }

    /// The key of all of it.
    pub fn state(&self) -> String {
        self.redis.keys().user_state(&user())
    }

    /// Speaks of the hash to the server.
    pub fn raw(&self, command: &str, rest: &[&str]) -> Reply {
        raw(&self.redis, command, &self.state(), rest)
    }

    pub fn exists(&self) -> bool {
        self.raw("EXISTS", &[]).int() == Some(1)
    }

    /// What an eviction does.
    pub fn forget(&self) {
        assert_eq!(self.raw("DEL", &[]).int(), Some(1));
    }

    pub fn pttl(&self) -> i64 {
        self.raw("PTTL", &[]).int().unwrap()
    }

    /// All fields with their values, sorted.
    pub fn fields(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let all = self.raw("HGETALL", &[]);
        let words: Vec<_> = all.array().unwrap().iter().map(|w| w.bytes().unwrap()).collect();
        let mut fields: Vec<_> =
            words.chunks(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec())).collect();
        fields.sort();
        fields
    }

    /// A string and a list of the user's in one slot with the state.
    pub fn cached(&self) -> (String, String) {
        let (string, list) = (self.redis.keys().user(&user()), format!("{}:more", self.state()));
        assert_eq!(raw(&self.redis, "SET", &string, &["cached"]).text(), Some("OK"));
        assert_eq!(raw(&self.redis, "LPUSH", &list, &["cached"]).int(), Some(1));
        (string, list)
    }
}

/// It has no length of a lineage.
pub fn is_tombstone(packed: &[u8]) -> bool {
    packed[6..8] == [255; 2]
}
