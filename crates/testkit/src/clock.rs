//! Two clocks that tests control, one that jumps while everybody waits and one that is moved by hand; and the
//! machine's own, for tests of whole processes.

use std::sync::Mutex;
use std::time::Duration;

use sync_core::{BoxFuture, Clock, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

/// Where both clocks start: 2026-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Time of the tokio runtime it lives in, meant for `#[tokio::test(start_paused = true)]`: there, time stands
/// still while any task can run, and jumps to the next sleeper when none can. A test of hours takes
/// milliseconds and always runs the same way.
///
/// Sleeps are as coarse as tokio's: whole milliseconds, rounded up.
pub struct Virtual {
    started: Instant,
    epoch: Mutex<Timestamp>,
}

impl Virtual {
    /// Starts at [`EPOCH`]. Must be called inside the runtime whose time it tells.
    #[expect(clippy::new_without_default, reason = "not a value: it depends on the runtime around it")]
    #[expect(clippy::disallowed_methods, reason = "this is a clock")]
    pub fn new() -> Self {
        Self { started: Instant::now(), epoch: Mutex::new(EPOCH) }
    }

    /// Lets time pass, waking whoever slept that long.
    pub async fn advance(&self, duration: Duration) {
        tokio::time::advance(duration).await;
    }

    /// Sets the wall clock alone, forward or back, as a person or an NTP daemon would.
    pub fn set_wall(&self, now: Timestamp) {
        *self.epoch.lock().expect("no holder panics") = now.minus(self.started.elapsed());
    }
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        self.epoch.lock().expect("no holder panics").plus(self.started.elapsed())
    }
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The clock of this machine, for tests that run the real binary.
pub struct Machine {
    started: std::time::Instant,
}

impl Default for Machine {
    #[expect(clippy::disallowed_methods, reason = "this is a clock")]
    fn default() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

impl Clock for Machine {
    #[expect(clippy::disallowed_methods, reason = "this is a clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).expect("a time of this epoch"))
    }
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that moves only when told to. Needs no runtime to be read.
pub struct Manual {
    elapsed: watch::Sender<Duration>,
    wall: Mutex<Timestamp>,
}

impl Default for Manual {
    fn default() -> Self {
        Self::new()
    }
}

impl Manual {
    /// Stands at [`EPOCH`].
    pub fn new() -> Self {
        Self { elapsed: watch::Sender::new(Duration::ZERO), wall: Mutex::new(EPOCH) }
    }

    /// Moves both wall time and monotonic time on, waking whoever slept that long.
    pub fn advance(&self, duration: Duration) {
        let mut wall = self.wall.lock().expect("no holder panics");
        *wall = wall.plus(duration);
        self.elapsed.send_modify(|elapsed| *elapsed += duration);
    }

    /// Sets the wall clock alone, forward or back.
    pub fn set_wall(&self, now: Timestamp) {
        *self.wall.lock().expect("no holder panics") = now;
    }
}

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        *self.wall.lock().expect("no holder panics")
    }
    fn monotonic(&self) -> Duration {
        *self.elapsed.borrow()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut seen = self.elapsed.subscribe();
        let until = *seen.borrow() + duration;
        Box::pin(async move {
            // A clock that is gone will never strike.
            if seen.wait_for(|elapsed| *elapsed >= until).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_jumps_to_the_next_sleeper_and_both_clocks_agree() {
        let clock = Virtual::new();
        clock.sleep(Duration::from_hours(5)).await;
        assert_eq!(clock.monotonic(), Duration::from_hours(5));
        assert_eq!(clock.now(), EPOCH.plus(Duration::from_hours(5)));
        clock.set_wall(EPOCH);
        assert_eq!((clock.now(), clock.monotonic()), (EPOCH, Duration::from_hours(5)));
        clock.advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), EPOCH.plus(Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_only_who_slept_long_enough() {
        let clock = Manual::new();
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00.000000Z");
        let (short, long) = (clock.sleep(Duration::from_secs(1)), clock.sleep(Duration::from_secs(3)));
        clock.advance(Duration::from_secs(2));
        short.await;
        tokio::select! {
            biased;
            () = long => panic!("slept two seconds of three"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(clock.monotonic(), Duration::from_secs(2));
    }
}
