//! A folder of scripts: expanded, hashed and checked once, then called by name.

use std::collections::BTreeMap;
use std::path::Path;

use include_dir::{Dir, File};

use super::call::Call;
use super::contract::Contract;
use super::reply::decode;
use crate::connection::Redis;
use crate::error::{ContractError, Error, Result};

/// The folder whose files are no operations but parts of them.
const SHARED: &str = "shared";
/// A line that begins so is replaced by the fragment that it names.
const INCLUDE: &str = "-- @include ";
/// What no other line has.
pub(super) const MARK: &str = "@include";

/// The scripts of one embedded folder, by `noun/verb`. Made once, kept for the life of the process.
///
/// See [`scripts!`](crate::scripts) and [the module](crate::script) for the form of a script.
#[derive(Debug)]
pub struct ScriptLibrary {
    scripts: BTreeMap<String, Script>,
}

/// One script: its contract, its source with the fragments in place, and its hash.
#[derive(Debug)]
pub struct Script {
    contract: Contract,
    source: String,
    sha: String,
}

impl ScriptLibrary {
    /// Reads an embedded folder.
    ///
    /// # Errors
    ///
    /// [`ContractError`] names the first script whose header, binding lines or includes break the
    /// form that [the module](crate::script) describes.
    pub fn new(dir: &'static Dir<'static>) -> Result<Self, ContractError> {
        let mut files = Vec::new();
        collect(dir, &mut files);
        let mut fragments = BTreeMap::new();
        let mut operations = Vec::new();
        for file in files {
            let name = file.path().with_extension("").to_string_lossy().into_owned();
            let refuse = |why: &str| ContractError { script: name.clone(), why: why.to_owned() };
            let text = file.contents_utf8().ok_or_else(|| refuse("is not UTF-8"))?;
            if name.split('/').count() != 2 {
                return Err(refuse("must lie at noun/verb.lua"));
            }
            match name.split_once('/') {
                Some((SHARED, _)) => drop(fragments.insert(name.clone(), text)),
                _ => operations.push((name.clone(), text)),
            }
        }
        let mut scripts = BTreeMap::new();
        for (name, text) in operations {
            let script = Script::new(&name, text, &fragments)
                .map_err(|why| ContractError { script: name.clone(), why })?;
            scripts.insert(name, script);
        }
        Ok(Self { scripts })
    }

    /// The script called `noun/verb`.
    pub fn get(&self, name: &str) -> Option<&Script> {
        self.scripts.get(name)
    }

    /// All scripts, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Script> {
        self.scripts.values()
    }

    /// Puts every script on the server, on a cluster on every primary, so that no later call pays
    /// for it. Not needed: a call whose script is missing brings it along. One round trip a script.
    ///
    /// # Errors
    ///
    /// The first [`Error`] of a call; [`Error::Reply`] where the server hashes differently.
    pub async fn load(&self, redis: &Redis) -> Result<()> {
        for script in self.iter() {
            let mut load = redis::Cmd::with_capacity(3, script.source.len() + 16);
            load.arg("SCRIPT").arg("LOAD").arg(&script.source);
            for reply in redis.everywhere(&load).await? {
                let sha: String = decode("SCRIPT LOAD", reply)?;
                if sha != script.sha {
                    return Err(Error::Reply {
                        call: "SCRIPT LOAD".to_owned(),
                        expected: script.sha.clone(),
                        got: sha,
                    });
                }
            }
        }
        Ok(())
    }
}

impl Script {
    fn new(name: &str, text: &str, fragments: &BTreeMap<String, &str>) -> Result<Self, String> {
        let source = expand(text, fragments)?;
        Ok(Self {
            contract: Contract::parse(name, &source)?,
            sha: sha1_smol::Sha1::from(&source).digest().to_string(),
            source,
        })
    }

    /// `noun/verb`.
    pub fn name(&self) -> &str {
        &self.contract.title
    }

    /// What its header promises.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The source as it is sent and hashed.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The hash by which the server knows it.
    pub fn sha(&self) -> &str {
        &self.sha
    }

    /// Begins a call on `redis`; the names of the header are bound in order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use auth_adapter_redis::{Redis, ScriptLibrary, scripts};
    /// # let server = auth_adapter_redis::testing::Server::start()?;
    /// # let redis = Redis::connect(&server.url()).await?;
    /// # static LIBRARY: std::sync::LazyLock<ScriptLibrary> =
    /// #     std::sync::LazyLock::new(|| ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/scripts")).unwrap());
    /// let release = LIBRARY.get("lock/release").unwrap();
    /// let freed: i64 = release.call(&redis).key("lock", "job").arg("holder", "token:me").run().await?;
    /// assert_eq!(freed, 0);
    /// # Ok(()) }
    /// ```
    pub fn call<'a>(&'static self, redis: &'a Redis) -> Call<'a> {
        Call::new(self, redis, 0)
    }

    /// Begins a call whose last key stands for `count` keys, to be bound by
    /// [`keys`](Call::keys).
    pub fn call_many<'a>(&'static self, redis: &'a Redis, count: usize) -> Call<'a> {
        Call::new(self, redis, count)
    }
}

fn collect(dir: &'static Dir<'static>, into: &mut Vec<&'static File<'static>>) {
    let lua = |file: &&File<'_>| file.path().extension() == Some(Path::new("lua").as_os_str());
    into.extend(dir.files().filter(lua));
    for inner in dir.dirs() {
        collect(inner, into);
    }
}

pub(super) fn expand(text: &str, fragments: &BTreeMap<String, &str>) -> Result<String, String> {
    let mut source = String::with_capacity(text.len());
    for line in text.lines() {
        match included(line)? {
            None => source.push_str(line),
            Some(name) => {
                let fragment = fragments
                    .get(name)
                    .ok_or_else(|| format!("includes {name:?}, which is not there"))?;
                if fragment.contains(MARK) {
                    return Err(format!("includes {name:?}, which includes again"));
                }
                source.push_str(fragment.trim_end());
            }
        }
        source.push('\n');
    }
    Ok(source)
}

/// The fragment that a line names. What only looks like an include would be a mere comment.
fn included(line: &str) -> Result<Option<&str>, String> {
    match line.strip_prefix(INCLUDE).map(str::trim) {
        Some(name) if !name.is_empty() => Ok(Some(name)),
        None if !line.contains(MARK) => Ok(None),
        _ => Err(format!("`{}` is no include: write `{INCLUDE}shared/name`", line.trim())),
    }
}
