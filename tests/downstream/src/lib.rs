//! Seats of a theatre: scripts of this crate's own, called through `auth_adapter_redis`.

use std::sync::LazyLock;

use auth_adapter_redis::{Error, Redis, Script, ScriptLibrary, scripts};

static LIBRARY: LazyLock<ScriptLibrary> = LazyLock::new(|| {
    ScriptLibrary::new(scripts!("$CARGO_MANIFEST_DIR/scripts")).expect("tests check them")
});
static CLAIM: LazyLock<&Script> = LazyLock::new(|| own("seat/claim"));
static COUNT: LazyLock<&Script> = LazyLock::new(|| own("seat/count"));

/// The seats of one house.
#[derive(Debug, Clone)]
pub struct Seats {
    redis: Redis,
}

impl Seats {
    /// The seats on this handle.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Gives a seat to a guest; whether it is the guest's now.
    pub async fn claim(&self, seat: &str, guest: &str) -> Result<bool, Error> {
        let call = CLAIM.call(&self.redis).key("seat", seat).arg("guest", guest);
        let theirs: i64 = call.run().await?;
        Ok(theirs == 1)
    }

    /// How many of these seats a guest has.
    pub async fn count(&self, seats: &[&str], guest: &str) -> Result<i64, Error> {
        let call = COUNT.call_many(&self.redis, seats.len());
        call.keys("seat", seats.iter().copied()).arg("guest", guest).run().await
    }
}

/// All scripts of this crate.
pub fn library() -> &'static ScriptLibrary {
    &LIBRARY
}

fn own(name: &str) -> &'static Script {
    library().get(name).expect("tests check the names")
}
