//! Walking over the strings of some names, page by page.

use redis::cmd;

use crate::connection::{Place, Redis};
use crate::error::Result;
use crate::script::decode;

/// About so many keys are looked at in one command: the server does nothing else meanwhile.
const PAGE: usize = 1000;

/// A walk over a server, or over every primary of a cluster in turn. What is there from its first page to
/// its last is found; what comes or goes meanwhile may be, and anything more than once.
pub(crate) struct Scan<'a> {
    redis: &'a Redis,
    glob: String,
    places: Vec<Place<'a>>,
    cursor: String,
}

impl<'a> Scan<'a> {
    /// The strings whose keys match, after the handle's prefix.
    ///
    /// # Errors
    ///
    /// As [`Redis::places`].
    pub(crate) async fn new(redis: &'a Redis, glob: &str) -> Result<Self> {
        let glob = format!("{}{glob}", literally(redis.prefix()));
        let places = redis.places().await?;
        Ok(Self { redis, glob, places, cursor: FIRST.to_owned() })
    }

    /// Some more keys, without the prefix, or none where there are no more. A key that is no text is left
    /// out. One round trip.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<String>>> {
        let Some(place) = self.places.last() else { return Ok(None) };
        let mut scan = cmd("SCAN");
        scan.arg(&self.cursor).arg("MATCH").arg(&self.glob).arg("COUNT").arg(PAGE);
        let reply = place.command(scan.arg("TYPE").arg("string")).await?;
        let (cursor, page): (String, Vec<Vec<u8>>) = decode("SCAN", reply)?;
        if cursor == FIRST {
            self.places.pop();
        }
        self.cursor = cursor;
        let texts = page.into_iter().filter_map(|key| String::from_utf8(key).ok());
        let prefix = self.redis.prefix();
        Ok(Some(texts.filter_map(|key| key.strip_prefix(prefix).map(str::to_owned)).collect()))
    }
}

/// Where a walk begins, and what says that it has ended.
const FIRST: &str = "0";

/// A pattern that only this text matches.
pub(crate) fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
