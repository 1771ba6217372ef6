//! The clock by which a lease is counted in this process, and how far it is trusted.

use std::time::Duration;

/// An instant of a clock that only goes forward and also counts while the machine is suspended, which
/// [`std::time::Instant`] does not do on Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(since_boot())
    }

    /// The time from `earlier` to here; zero where it is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    pub(crate) fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }
}

#[cfg(unix)]
fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // That of Apple's systems counts a suspend; on others it is the best there is.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let now = clock_gettime(CLOCK);
    // Neither is negative.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// The clock of Windows counts a suspend.
#[cfg(not(unix))]
fn since_boot() -> Duration {
    use std::sync::LazyLock;
    use std::time::Instant;

    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    FIRST.elapsed()
}

/// By one part in so many two clocks may differ in their pace.
pub(crate) const DRIFT: u32 = 100;

/// For how long a holder may trust in a lease of this length, counted from before it was asked for: less
/// a hundredth, by which the clocks of two machines may differ in their pace, and 2 ms for a server
/// that counts whole milliseconds. Both as the
/// [Redlock implementations](https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/)
/// take them.
pub(crate) fn trusted(lease: Duration) -> Duration {
    lease.saturating_sub(lease / DRIFT + Duration::from_millis(2))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn it_goes_at_the_pace_of_an_instant() {
        let (began, moment) = (Instant::now(), Moment::now());
        std::thread::sleep(Duration::from_millis(20));
        let counted = Moment::now().since(moment);
        assert!(counted >= Duration::from_millis(20) && counted <= began.elapsed());
    }

    #[test]
    fn what_is_later_is_no_time_ago() {
        let now = Moment::now();
        assert_eq!(now.since(now.after(Duration::from_secs(1))), Duration::ZERO);
        assert!(now.after(Duration::MAX) > now);
    }

    #[test]
    fn a_lease_is_trusted_less_a_hundredth_and_two_milliseconds() {
        assert_eq!(trusted(Duration::from_secs(10)), Duration::from_millis(9898));
        assert_eq!(trusted(Duration::from_millis(2)), Duration::ZERO);
        assert_eq!(trusted(Duration::ZERO), Duration::ZERO);
    }
}
