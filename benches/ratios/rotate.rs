//! What one rotation of a refresh token costs over the commands that it takes the place of.

use crate::measure::{Goal, Ratio, batch, speedup};
use crate::support::Bench;
use crate::support::family::{families, families_by_hand, rotate, rotate_by_hand};
use crate::support::flood;

use auth_adapter_redis::RefreshTokens;

/// Each batch rotates a family of its own, one rotation after the other. Both sides make the same
/// tokens and hash them.
pub fn vs_commands(bench: &Bench) -> Ratio {
    let refresh = RefreshTokens::new(bench.redis());
    let ours = async |calls| {
        let family = families(bench, 1).await[0].clone();
        flood(1, calls, |range| rotate(refresh.clone(), family.clone(), range.len())).await
    };
    let theirs = async |calls| {
        let family = families_by_hand(bench, 1).await[0].clone();
        let connection = &bench.connection;
        flood(1, calls, |range| rotate_by_hand(connection.clone(), family.clone(), range.len()))
            .await
    };
    let samples = bench.runtime.block_on(async {
        let (our_calls, their_calls) = (batch(1, &ours).await, batch(1, &theirs).await);
        speedup(
            async || ours(our_calls).await / our_calls as u32,
            async || theirs(their_calls).await / their_calls as u32,
        )
        .await
    });
    Ratio {
        name: "rotate_vs_commands",
        goal: Goal::AtLeast(2.0),
        samples,
        what: "time: HGET, HSET and PEXPIRE in turn over one RefreshTokens::rotate, 1 in flight",
    }
}
