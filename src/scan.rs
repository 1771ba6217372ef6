//! Walking over the strings of some names, page by page.

use redis::cmd;

use crate::connection::{Place, Redis};
use crate::error::{Error, Result};
use crate::script::decode;

/// About so many keys are looked at in one command: the server does nothing else meanwhile.
const PAGE: usize = 1000;

/// So often a walk begins anew at most.
const ANEW: usize = 10;
/// Where a walk begins, and what says that it has ended.
const FIRST: &str = "0";

/// A walk over a server, or over every primary of a cluster in turn and back again. What is there from its
/// first page to its last is found; what comes or goes meanwhile may be, and anything more than once.
///
/// A cursor means nothing to another server, nor to the same after a restart: where the connection was
/// replaced meanwhile the walk begins anew, but for a connection of the caller's, of which that is not known.
/// A key whose slot moves from where the walk has yet to go to where it has been is met on the way back; and
/// where other nodes serve the cluster at the end than at the beginning it begins anew.
pub(crate) struct Scan<'a> {
    redis: &'a Redis,
    glob: String,
    /// There, and on a cluster back.
    places: Vec<Place<'a>>,
    at: usize,
    cursor: String,
    /// The connection on which the place was asked for its first page.
    on: Option<u64>,
    begun_anew: usize,
}

impl<'a> Scan<'a> {
    /// The strings whose keys match, after the handle's prefix.
    ///
    /// # Errors
    ///
    /// As [`Redis::places`].
    pub(crate) async fn new(redis: &'a Redis, glob: &str) -> Result<Self> {
        let glob = format!("{}{glob}", literally(redis.prefix()));
        let places = there_and_back(redis).await?;
        let (at, cursor, on, begun_anew) = (0, FIRST.to_owned(), None, 0);
        Ok(Self { redis, glob, places, at, cursor, on, begun_anew })
    }

    /// Some more keys, without the prefix, or none where there are no more. A key that is no text is left
    /// out. One round trip, on a cluster one more at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<String>>> {
        let Some(place) = self.places.get(self.at) else {
            return self.ends().await;
        };
        let on = place.connection();
        if self.cursor == FIRST {
            self.on = on;
        }
        let mut scan = cmd("SCAN");
        scan.arg(&self.cursor).arg("MATCH").arg(&self.glob).arg("COUNT").arg(PAGE);
        let reply = place.command(scan.arg("TYPE").arg("string")).await?;
        let (cursor, page): (String, Vec<Vec<u8>>) = decode("SCAN", reply)?;
        if place.connection() != on || self.on != on {
            self.begins_anew()?;
        } else if cursor == FIRST {
            self.at += 1;
            self.cursor = cursor;
        } else {
            self.cursor = cursor;
        }
        let texts = page.into_iter().filter_map(|key| String::from_utf8(key).ok());
        let prefix = self.redis.prefix();
        Ok(Some(texts.filter_map(|key| key.strip_prefix(prefix).map(str::to_owned)).collect()))
    }

    /// At the end: whether it was the end of all that there is by now.
    async fn ends(&mut self) -> Result<Option<Vec<String>>> {
        if !self.redis.is_cluster() {
            return Ok(None);
        }
        let places = there_and_back(self.redis).await?;
        if places.iter().map(Place::name).eq(self.places.iter().map(Place::name)) {
            return Ok(None);
        }
        (self.places, self.at) = (places, 0);
        self.begins_anew()?;
        Ok(Some(Vec::new()))
    }

    fn begins_anew(&mut self) -> Result<()> {
        self.cursor = FIRST.to_owned();
        self.begun_anew += 1;
        match self.begun_anew <= ANEW {
            true => Ok(()),
            false => Err(Error::Unavailable("what is walked over does not stay".to_owned())),
        }
    }
}

async fn there_and_back(redis: &Redis) -> Result<Vec<Place<'_>>> {
    let mut places = redis.places().await?;
    if places.len() > 1 {
        places.sort_by_key(Place::name);
        let back: Vec<_> = places.iter().rev().skip(1).cloned().collect();
        places.extend(back);
    }
    Ok(places)
}

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
