//! Lua scripts with a contract that code reads, and the one way to call them.
//!
//! Another crate embeds a `scripts/` folder of its own in the same way:
//!
//! ```
//! use auth_adapter_redis::{ScriptLibrary, scripts};
//!
//! let library = ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/scripts"))?;
//! assert_eq!(library.get("lock/release").unwrap().contract().keys[0].name, "lock");
//! # Ok::<(), auth_adapter_redis::script::ContractError>(())
//! ```
//!
//! A script is `noun/verb.lua` and opens with its header, then with the lines that bind the
//! header's names:
//!
//! ```lua
//! --[[
//!   lock/release: delete the lock if the token still owns it.
//!
//!   KEYS   lock    string: token, colon, owner
//!   ARGV   holder  the caller's token, colon, owner
//!   GIVES  int     1 freed, 0 no longer ours
//!   FAILS  WRONGTYPE
//!   REPEAT same
//!   COST   O(1)
//! ]]
//! local lock = KEYS[1]
//! local holder = ARGV[1]
//! ```
//!
//! - The title is the script's path; what follows the colon says what it does.
//! - `KEYS` and `ARGV` list one name a line, in order. `key...`, at the end, is any number of them,
//!   which the script takes from `KEYS` or `ARGV` itself; every other name is bound by the lines
//!   below the header, an argument either as it is or by `tonumber`.
//! - `GIVES` lists a shape and its outcomes, each led by its value or, where it has many, a name.
//! - `FAILS` lists the codes of the errors that the script can raise.
//! - `REPEAT` is `same` where a second execution changes nothing that matters, else `counts`.
//! - A line `-- @include shared/name` is replaced by `shared/name.lua`, one level deep.

/// Embeds a folder of scripts for [`ScriptLibrary::new`], as in
/// `scripts!("$CARGO_MANIFEST_DIR/scripts")`.
#[macro_export]
macro_rules! scripts {
    ($path:tt) => {{
        // `include_dir!` names its own crate, which a crate that depends on this one need not know.
        #[allow(unused_imports)]
        use $crate::__private::include_dir;
        static SCRIPTS: include_dir::Dir<'static> = include_dir::include_dir!($path);
        &SCRIPTS
    }};
}

mod call;
mod contract;
#[cfg(test)]
pub(crate) mod laws;
mod library;
mod reply;

use std::sync::LazyLock;

pub use crate::error::ContractError;
pub use call::Call;
pub use contract::{Contract, Given, Outcome, Param, Repeat};
pub use library::{Script, ScriptLibrary};
pub(crate) use reply::decode;
pub use reply::{FromReply, shape_of};

/// One operation of this crate, found at its first use.
pub(crate) type Operation = LazyLock<&'static Script>;

/// This crate's own scripts, as for [`ScriptLibrary::load`].
pub fn library() -> &'static ScriptLibrary {
    static OWN: LazyLock<ScriptLibrary> = LazyLock::new(|| {
        ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/scripts")).expect("tests check them")
    });
    &OWN
}

pub(crate) fn own(name: &str) -> &'static Script {
    library().get(name).expect("tests check the names")
}
