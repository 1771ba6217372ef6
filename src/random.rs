//! Random bytes of the system, for whatever nobody may guess.

use crate::error::{Error, Result};

/// So many random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Unavailable(format!("the system gave no random bytes: {error}")))?;
    Ok(bytes)
}
