//! The thread that brings a table's log from the kernel to the disk.
//!
//! A commit hands its bytes to the kernel, which is enough to survive the death of the process. This thread
//! makes them survive a power cut too: within a second of the commit, or once 8 MiB have gathered. It works
//! beside the writing, and the writing waits for it only when a further 8 MiB have gathered meanwhile. A
//! second after a commit means also when no other commit follows, so a clock looked at by the next commit
//! would not do.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(1);
const BYTES: u64 = 8 << 20;

pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    file: Option<Arc<File>>,
    /// Bytes handed to the kernel and not yet asked to be on disk.
    unsynced: u64,
    /// Whether the thread is at it.
    syncing: bool,
    stop: bool,
    failed: Option<io::Error>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }
}

impl Syncer {
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("log-sync".into()).spawn(move || work(&theirs))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Turns to a new file, which is on disk already. The one before is not needed any more.
    pub fn follow(&self, file: Arc<File>) {
        let mut state = self.shared.state();
        state.file = Some(file);
        state.unsynced = 0;
    }

    /// Says that `bytes` more were committed. Returns the error of an earlier sync, once.
    pub fn committed(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.shared.state();
        state.unsynced += bytes;
        self.shared.changed.notify_all();
        while state.unsynced >= BYTES && state.syncing && state.failed.is_none() {
            state = self.shared.changed.wait(state).expect("no holder of the lock panics");
        }
        state.failed.take().map_or(Ok(()), Err)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in there has nothing left to tell anybody.
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared) {
    let wait = "no holder of the lock panics";
    let mut state = shared.state();
    loop {
        state = shared.changed.wait_while(state, |s| s.unsynced == 0 && !s.stop).expect(wait);
        let early = |s: &mut State| s.unsynced < BYTES && !s.stop;
        state = shared.changed.wait_timeout_while(state, PERIOD, early).expect(wait).0;
        if state.unsynced > 0
            && let Some(file) = state.file.clone()
        {
            state.unsynced = 0;
            state.syncing = true;
            drop(state);
            let result = file.sync_data();
            state = shared.state();
            state.syncing = false;
            if let Err(error) = result {
                state.failed = Some(error);
            }
            shared.changed.notify_all();
        }
        if state.stop {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_bytes_do_not_wait_for_ever_and_stopping_syncs_the_rest() {
        let file = Arc::new(tempfile::tempfile().expect("a file"));
        let syncer = Syncer::start().expect("a thread");
        syncer.follow(file);
        for _ in 0..20 {
            syncer.committed(BYTES).expect("synced");
        }
        let shared = syncer.shared.clone();
        drop(syncer);
        assert_eq!(shared.state().unsynced, 0);
    }
}
