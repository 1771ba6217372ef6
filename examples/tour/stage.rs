//! The server, and the three instances on it.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::key::{SessionId, UserId};
use auth_adapter_redis::testing::{Server, random_prefix};
use auth_adapter_redis::{Cache, RateLimiter, Redis, RedisCacheAdapter, RefreshTokens, Sessions};
use tokio::time::timeout;

use crate::Result;
use crate::claims::Claims;

pub const NAMES: [&str; 3] = ["api-1", "api-2", "api-3"];
pub const USERS: [&str; 2] = ["42", "43"];
/// Who logs in and out in the chapters on sessions and tokens.
pub const MOBILE_USER: &str = "44";
/// The bucket of attempts to log in as that user.
pub const ATTEMPTS: &str = "login:44";
/// What the chapters on locks guard, and the lock.
pub const REPORT: &str = "{report}:text";
pub const REPORT_LOCK: &str = "{report}:lock";
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// One process of the auth server, with all that it has of Redis: its own connection.
#[derive(Clone)]
pub struct Instance {
    pub name: &'static str,
    pub redis: Redis,
    pub cache: Arc<RedisCacheAdapter>,
}

impl Instance {
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.redis.clone())
    }

    pub fn tokens(&self) -> RefreshTokens {
        RefreshTokens::new(self.redis.clone())
    }

    pub fn limiter(&self) -> RateLimiter {
        RateLimiter::new(self.redis.clone())
    }
}

pub struct Stage {
    /// None where the server is the one at `REDIS_URL`.
    server: Option<Arc<Server>>,
    url: String,
    prefix: String,
}

impl Stage {
    pub async fn set() -> Result<Self> {
        match env::var("REDIS_URL") {
            Ok(url) if !url.is_empty() => Self::on_given(url).await,
            _ => Self::on_private(),
        }
    }

    async fn on_given(url: String) -> Result<Self> {
        let redis = Redis::connect(&url).await?;
        if let Err(error) = redis.ping().await {
            let why = error.to_string();
            let why = why.lines().next().unwrap_or_default();
            return Err(format!("the server at REDIS_URL does not answer: {why}").into());
        }
        let prefix = random_prefix();
        let scheme = url.split("://").next().unwrap_or_default();
        let what = match scheme.split_once('+').map(|(_, what)| what) {
            Some("cluster") => "the cluster",
            Some("sentinel") => "the primary that the Sentinels name",
            _ => "the server",
        };
        println!("On {what} at REDIS_URL, under the prefix {prefix}");
        Ok(Self { server: None, url, prefix })
    }

    fn on_private() -> Result<Self> {
        let server = Server::start()?;
        let (major, minor, patch) = server.version();
        let program = match server.is_valkey() {
            true => "Valkey",
            false => "Redis",
        };
        println!("On a private {program} {major}.{minor}.{patch}");
        Ok(Self { url: server.url(), prefix: random_prefix(), server: Some(server.into()) })
    }

    /// The private server, which may be watched and broken.
    pub fn server(&self) -> Option<&Arc<Server>> {
        self.server.as_ref()
    }

    pub async fn instances(&self, claims: &mut Claims) -> Result<Vec<Instance>> {
        let mut instances = Vec::new();
        for name in NAMES {
            instances.push(self.start(name).await?);
        }
        claims.claim(
            instances.iter().all(|instance| instance.redis.is_connected()),
            "Three instances are connected: api-1, api-2 and api-3.",
        );
        Ok(instances)
    }

    pub async fn start(&self, name: &'static str) -> Result<Instance> {
        let redis =
            Redis::builder().url(&self.url).client_name(name).prefix(&self.prefix).build()?;
        // A server need not wait for Redis; a story about its answers has to.
        if timeout(CONNECT_WITHIN, redis.connected()).await.is_err() {
            return Err(format!("{name} found no Redis within {CONNECT_WITHIN:?}").into());
        }
        let cache = RedisCacheAdapter::new(redis.clone()).into();
        Ok(Instance { name, redis, cache })
    }

    /// Deletes what the tour may have left at `REDIS_URL`, and tells whether nothing is left. A
    /// private server has nothing to keep tidy.
    pub async fn clear(&self) -> Option<bool> {
        if self.server.is_some() {
            return None;
        }
        Some(self.delete_all().await.is_ok_and(|left| left == 0))
    }

    async fn delete_all(&self) -> Result<usize> {
        let redis = Redis::connect(&self.url).await?.with_prefix(&self.prefix)?;
        let mut keys = vec![redis.keys().cleanup_lock().to_owned(), ATTEMPTS.to_owned()];
        let user = UserId::new(MOBILE_USER)?;
        keys.extend([redis.keys().user(&user), redis.keys().user_state(&user)]);
        for user in USERS {
            keys.extend(keys_of(&redis, user)?);
        }
        let beside = [format!("{REPORT}::fenced"), format!("{REPORT_LOCK}::fence")];
        keys.extend([REPORT.to_owned(), REPORT_LOCK.to_owned()].into_iter().chain(beside));
        let cache = Cache::new(redis);
        cache.delete_many_by_slot(&keys).await?;
        let mut left = 0;
        for key in &keys {
            left += usize::from(cache.get(key).await?.is_some());
        }
        Ok(left)
    }
}

/// All that the instances keep of a user with two sessions, the session list first.
pub fn keys_of(redis: &Redis, user: &str) -> Result<Vec<String>> {
    let keys = redis.keys();
    let id = UserId::new(user)?;
    let laptop = SessionId::new(format!("{user}-laptop"))?;
    let phone = SessionId::new(format!("{user}-phone"))?;
    Ok(vec![
        keys.user(&id),
        keys.sessions_active(&id),
        keys.session_active(&id, &laptop),
        keys.session_active(&id, &phone),
    ])
}
