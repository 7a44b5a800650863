//! Time, and the wish to stop, as things that are handed down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::{BoxFuture, Timestamp, Uptime};

/// The only way to tell time.
///
/// Contract: `now` is wall time and may step either way; `monotonic` never decreases and has no meaning but
/// its differences; `sleep` waits on the monotonic clock and may be dropped at any moment.
pub trait Clock: Send + Sync {
    /// Wall time, UTC. For what is written down.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment of this process. For waiting and measuring.
    fn monotonic(&self) -> Duration;
    /// Time since the machine began. For what processes agree on. A clock that knows of no machine tells its own time.
    fn uptime(&self) -> Uptime {
        Uptime { boot: String::new(), since: self.monotonic() }
    }
    /// Waits for `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The wish to stop, seen by everyone who was given a copy.
///
/// Nobody is forced: each holder stops at the next moment that leaves nothing half-done.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    /// Asks every holder to stop. Asking twice is asking once.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Whether somebody asked.
    pub fn asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until somebody asks; for ever, if nobody does.
    pub async fn wait(&self) {
        let mut seen = self.0.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = seen.wait_for(|asked| *asked).await;
    }
}
