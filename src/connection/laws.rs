//! What holds for every URL, and for whatever a server says of itself.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use redis::{ProtocolVersion, Value};

use super::Redis;
use super::address::Address;
use super::cluster::laws::{redirections, slot_map};
use super::deadline::Deadline;
use super::reply::decode;
use super::sentinel::laws::fields;
use super::url::{Endpoint, Place, ServerAddress};
use crate::error::Error;

/// What no message has.
pub(crate) const SECRET: &str = "hunter2";

/// What is said of a URL has nothing of it; and what it says is said by another in the usual form.
pub(crate) fn url(url: &str) {
    let builder = Redis::builder().url(url);
    is_silent(&format!("{builder:?}"));
    let endpoint = match Endpoint::parse(url) {
        Ok(endpoint) => endpoint,
        Err(error @ Error::Config(_)) => {
            is_silent(&error.to_string());
            return assert!(build(builder).is_err(), "{error}");
        }
        Err(other) => panic!("{other:?}"),
    };
    let printed = print(&endpoint);
    let again = Endpoint::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(said(&again), said(&endpoint), "{printed}");
    let hosts = said(&endpoint).0.contains(SECRET);
    match build(builder) {
        Err(error) => is_silent(&error),
        Ok(handle) => assert!(hosts || !handle.contains(SECRET), "{handle}"),
    }
}

/// Whom a URL names, and by which password, is told as it was before it was encoded.
pub(crate) fn login(user: &str, password: &str) {
    let (name, word) = (encode(user), encode(password));
    let login = format!("{name}:{word}@");
    let at_sentinels = format!("sentinel_username={name}&sentinel_password={word}");
    for url in [
        format!("redis://{login}h/1"),
        format!("unix:///s?user={name}&pass={word}"),
        format!("redis+cluster://{login}h,i"),
        format!("redis+sentinel://{login}h/main?{at_sentinels}"),
    ] {
        let Endpoint { settings, place, .. } = Endpoint::parse(&url).unwrap();
        let told = (settings.username().unwrap_or(""), settings.password().unwrap_or(""));
        assert_eq!(told, (user, password), "{url}");
        if let Place::Sentinel { login, .. } = place {
            let told = (login.username.as_deref(), login.password.as_deref());
            assert_eq!(told, (Some(user), Some(password)), "{url}");
        }
    }
}

/// What a server says of itself is understood, or nothing is made of it.
pub(crate) fn reply(value: &Value) {
    let deadline = Deadline::after(std::time::Duration::from_secs(1));
    let is_error = matches!(value, Value::ServerError(_));
    match decode(Ok(value.clone()), deadline) {
        Ok(decoded) => assert!(!is_error && decoded == *value),
        Err(Error::Server(error)) => {
            assert!(is_error);
            redirections(&error.message);
        }
        Err(other) => panic!("{other:?}"),
    }
    slot_map(value);
    fields(value);
}

fn is_silent(text: &str) {
    assert!(!text.contains(SECRET), "{text}");
}

/// What the builder makes of it, in words. It has no time to connect.
fn build(builder: super::RedisBuilder) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    builder.build().map(|redis| format!("{redis:?}")).map_err(|error| error.to_string())
}

/// All that a URL says: where, and how.
fn said(endpoint: &Endpoint) -> (String, String) {
    let Endpoint { place, tls, settings, names_protocol } = endpoint;
    let (username, password) = (settings.username(), settings.password());
    let mut how = format!("{tls:?} {names_protocol} {username:?} {password:?} {}", settings.db());
    if *names_protocol {
        how += &format!(" {:?}", settings.protocol());
    }
    if let Place::Sentinel { login, .. } = place {
        how += &format!(" {:?} {:?}", login.username, login.password);
    }
    (format!("{place:?}"), how)
}

fn print(endpoint: &Endpoint) -> String {
    let Endpoint { place, tls, settings, names_protocol } = endpoint;
    let mut login = encode(settings.username().unwrap_or_default());
    if let Some(password) = settings.password() {
        login += &format!(":{}", encode(password));
    }
    if settings.username().is_some() || settings.password().is_some() {
        login.push('@');
    }
    let s = if tls.is_some() { "s" } else { "" };
    let mut query = Vec::new();
    if *names_protocol {
        let resp3 = settings.protocol() == ProtocolVersion::RESP3;
        query.push(format!("protocol={}", if resp3 { 3 } else { 2 }));
    }
    let (front, fragment) = match place {
        Place::Server(ServerAddress::Tcp(address)) => {
            (format!("redis{s}://{login}{address}/{}", settings.db()), *tls == Some(true))
        }
        Place::Server(ServerAddress::Unix(path)) => {
            query.push(format!("db={}", settings.db()));
            query.extend(settings.username().map(|user| format!("user={}", encode(user))));
            query.extend(settings.password().map(|word| format!("pass={}", encode(word))));
            let path = percent_encode(path.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
            (format!("unix://{}", path.to_string().replace("%2F", "/")), false)
        }
        Place::Sentinel { sentinels, service, login: at_sentinels } => {
            let name = at_sentinels.username.as_ref();
            query.extend(name.map(|name| format!("sentinel_username={}", encode(name))));
            let word = at_sentinels.password.as_ref();
            query.extend(word.map(|word| format!("sentinel_password={}", encode(word))));
            let (hosts, service) = (hosts(sentinels), encode(service));
            (format!("redis{s}+sentinel://{login}{hosts}/{service}/{}", settings.db()), false)
        }
        Place::Cluster(nodes) => (format!("redis{s}+cluster://{login}{}", hosts(nodes)), false),
    };
    let fragment = if fragment { "#insecure" } else { "" };
    format!("{front}?{}{fragment}", query.join("&"))
}

fn hosts(addresses: &[Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn encode(text: &str) -> String {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}
