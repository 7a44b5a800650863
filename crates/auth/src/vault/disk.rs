//! Files that belong to their owner alone, and are written whole or not at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use sync_core::Clock;
use sync_core::fault::seam;

use crate::vault::VaultError;

/// A vault of a thousand credentials has a megabyte; more is not a vault.
const SIZE_MAX: u64 = 32 << 20;

/// Makes a folder, and those above it, for its owner alone.
pub(crate) fn make_folder(path: &Path) -> Result<(), VaultError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| failed(path, "made", source))
}

/// The bytes of a file; nothing, if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, VaultError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, "read", source)),
    };
    let mut bytes = Vec::new();
    let read = file.take(SIZE_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|source| failed(path, "read", source))?;
    if bytes.len() as u64 > SIZE_MAX {
        let why = format!("it is larger than {} MB", SIZE_MAX >> 20);
        return Err(VaultError::Damaged { path: path.to_owned(), why });
    }
    Ok(Some(bytes))
}

/// Puts bytes in the place of a file. A process that dies on the way leaves the old file or the new one; the disk has
/// it when this returns.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let failed = |source| failed(path, "written", source);
    seam().and_then(|()| fs::remove_file(&part).or_else(absent)).map_err(failed)?;
    let mut file = private(&part).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    drop(file);
    seam().and_then(|()| fs::rename(&part, path)).and_then(|()| seam()).map_err(failed)?;
    sync_folder(path).map_err(failed)
}

/// One that a dead process left may have other permissions, so it goes first.
fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A rename is on the disk when its folder is.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let here = Path::new(".");
        File::open(if folder.as_os_str().is_empty() { here } else { folder })?.sync_all()?;
    }
    Ok(())
}

/// Refuses what others may read or change.
#[cfg(unix)]
pub(crate) fn check_private(path: &Path, what: &'static str) -> Result<(), VaultError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = match fs::metadata(path) {
        Ok(found) => found.permissions().mode() & 0o7777,
        Err(source) => return Err(failed(path, "read", source)),
    };
    let others = mode & 0o077;
    if others == 0 {
        return Ok(());
    }
    Err(VaultError::Permissive { path: path.to_owned(), mode, what })
}

/// Elsewhere a profile's folder is closed to others as it is.
#[cfg(not(unix))]
pub(crate) fn check_private(_path: &Path, _what: &'static str) -> Result<(), VaultError> {
    Ok(())
}

/// A lock between processes, held as long as this lives. The file stays: removing it would let two processes lock two
/// files of one name.
pub(crate) struct Held(#[expect(dead_code, reason = "dropping it lets go of the lock")] File);

fn lock_file(path: &Path) -> Result<File, VaultError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| failed(path, "locked", source))
}

/// Waits for a lock that is held for milliseconds: while a file is read and written.
pub(crate) fn lock(path: &Path) -> Result<Held, VaultError> {
    let file = lock_file(path)?;
    file.lock().map_err(|source| failed(path, "locked", source))?;
    Ok(Held(file))
}

/// Waits for a lock that is held while somebody talks to a provider.
pub(crate) async fn lock_in_time(
    path: &Path,
    clock: &dyn Clock,
    patience: Duration,
) -> Result<Held, VaultError> {
    let file = lock_file(path)?;
    let since = clock.monotonic();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Held(file)),
            Err(TryLockError::Error(source)) => return Err(failed(path, "locked", source)),
            Err(TryLockError::WouldBlock) => {}
        }
        if clock.monotonic().saturating_sub(since) > patience {
            return Err(VaultError::Busy { path: path.to_owned(), seconds: patience.as_secs() });
        }
        clock.sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn failed(path: &Path, doing: &'static str, source: io::Error) -> VaultError {
    VaultError::Io { path: path.to_owned(), doing, source }
}
