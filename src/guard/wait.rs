//! How long one waits for a lock that another holds, before it is worth asking again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A release is not told: one looks after so long.
const RECHECK: Duration = Duration::from_millis(100);

/// Waits until it is worth trying again: until the holder's lease has ended, or it may have been
/// released meanwhile, or `ends`. `left` is the time left of the lease; none where it has no end or
/// nothing is known of it.
pub(super) async fn for_turn(left: Option<Duration>, ends: Instant) {
    // A lease in its last millisecond has none left, and is still held.
    let wait = left.map_or(RECHECK, |left| (left + Duration::from_millis(1)).min(RECHECK));
    sleep_until(ends.min(Instant::now() + wait)).await;
}
