//! How long to wait between attempts.

use std::time::Duration;

/// Doubling from `min` to `max`, each wait drawn between half of that and all of it, so that many
/// instances do not come back at the same moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

/// Where the caller says nothing of it.
pub(super) const DEFAULT_BACKOFF: Backoff =
    Backoff { min: Duration::from_millis(50), max: Duration::from_secs(2) };

impl Backoff {
    /// The wait after so many failures and one more.
    pub(super) fn wait(&self, failures: u32) -> Duration {
        let full = self.min.saturating_mul(1 << failures.min(20)).min(self.max);
        let draw = getrandom::u32().unwrap_or(u32::MAX);
        full.mul_f64(0.5 + 0.5 * f64::from(draw) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_its_maximum_and_never_waits_less_than_half() {
        let backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(2) };
        for (failures, full) in [(0, 50), (1, 100), (5, 1600), (6, 2000), (4_000_000, 2000)] {
            let full = Duration::from_millis(full);
            for _ in 0..100 {
                let wait = backoff.wait(failures);
                assert!(wait >= full / 2 && wait <= full, "{failures}: {wait:?}");
            }
        }
    }
}
