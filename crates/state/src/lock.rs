//! One process at a time runs a pipeline.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::StateError;

/// The lock of a pipeline, held as long as this value lives.
///
/// It is the operating system's lock on the file, so it dies with the process whatever kills it; the process
/// id inside is only there to be named in a refusal. The file itself stays: removing it would let two
/// processes lock two files of the same name.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(path: &Path, pipeline: &str) -> Result<Self, StateError> {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|e| StateError::io(path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateError::Locked { pipeline: pipeline.to_owned(), pid: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StateError::Lock { path: path.to_owned(), source });
            }
        }
        write_pid(&mut file).map_err(|e| StateError::io(path, e))?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The next holder writes its own id; an emptied file keeps a refusal in between from naming us.
        let _ = self.0.set_len(0);
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}

#[cfg(test)]
mod tests {
    use sync_core::Explain;

    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it_and_a_dropped_lock_is_free() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("p.lock");
        std::fs::write(&path, "4294967295 and more").expect("a file left by a dead process");

        let held = Lock::take(&path, "p").expect("nobody holds it");
        let refused = Lock::take(&path, "p").expect_err("it is held");
        assert_eq!(refused.code(), "pipeline_locked");
        let me = std::process::id();
        assert_eq!(refused.to_string(), format!("pipeline `p` is already being run by process {me}"));

        drop(held);
        Lock::take(&path, "p").expect("it is free again");
    }

    #[test]
    fn a_lock_without_an_id_is_still_a_lock() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("p.lock");
        let foreign = File::create(&path).expect("a file");
        foreign.try_lock().expect("nobody holds it");
        let refused = Lock::take(&path, "p").expect_err("it is held");
        assert_eq!(refused.to_string(), "pipeline `p` is already being run by another process");
    }
}
