//! How much of a run may wait in memory between its stages, in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts the bytes that pages and batches hold while they wait.
///
/// The reader asks for the next page only while there is room, so a slow destination stops it before it
/// spends another request. One page may go over the bound: its size is known only when it is there.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    bound: usize,
    held: AtomicUsize,
    freed: Notify,
}

impl Gate {
    pub(crate) fn new(bound: usize) -> Self {
        Self(Arc::new(Inner { bound, held: AtomicUsize::new(0), freed: Notify::new() }))
    }

    /// Waits until there is room.
    pub(crate) async fn room(&self) {
        loop {
            let freed = self.0.freed.notified();
            if self.0.held.load(Ordering::Acquire) < self.0.bound {
                return;
            }
            freed.await;
        }
    }

    /// Counts so many bytes until the result is dropped.
    pub(crate) fn hold(&self, bytes: usize) -> Held {
        self.0.held.fetch_add(bytes, Ordering::AcqRel);
        Held { gate: self.clone(), bytes }
    }
}

/// Bytes that are in memory.
pub(crate) struct Held {
    gate: Gate,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.0.held.fetch_sub(self.bytes, Ordering::AcqRel);
        self.gate.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reader_waits_until_bytes_are_freed() {
        let gate = Gate::new(10);
        gate.room().await;
        let first = gate.hold(8);
        gate.room().await;
        let second = gate.hold(8);
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.expect("the task ends once there is room");
        drop(second);
    }
}
