//! The moments at which a process can die or a disk can fill: each step that changes the disk passes one.
//!
//! In a test, the n-th of them fails; a debug build can be told to die at one ([`sync_core::fault`]). Since nothing is written between a failed step and the end of the
//! table, what is on disk then is what a process leaves that dies there.

use std::fs::File;
use std::io;

#[cfg(test)]
thread_local! {
    static LEFT: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
    static STRUCK: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A moment.
#[track_caller]
pub(super) fn point() -> io::Result<()> {
    #[cfg(test)]
    match LEFT.get() {
        Some(0) => {
            STRUCK.set(true);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Some(left) => LEFT.set(Some(left - 1)),
        None => {}
    }
    sync_core::fault::seam()
}

/// A write that can be cut in the middle.
#[track_caller]
pub(super) fn torn(bytes: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    if cfg!(not(debug_assertions)) {
        return write(bytes);
    }
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    write(head)?;
    point()?;
    write(tail)
}

/// Brings a file or folder to the disk. Tests do not wait for it: they cannot tell the difference.
#[track_caller]
pub(super) fn sync(file: &File) -> io::Result<()> {
    point()?;
    if cfg!(test) { Ok(()) } else { file.sync_all() }
}

/// Lets so many moments of this thread pass before every one fails; none means that all pass.
#[cfg(test)]
pub(super) fn after(moments: Option<u64>) {
    LEFT.set(moments);
    STRUCK.set(false);
}

/// Whether a moment has failed.
#[cfg(test)]
pub(super) fn struck() -> bool {
    STRUCK.get()
}
