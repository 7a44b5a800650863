//! Who may write a table: the one pipeline and stream that own it, one process at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use sync_core::{Kind, SinkError};

use super::error::{At, Result};
use super::layout::{Layout, names, sync_folder, write_whole};
use super::manifest::{FORMAT, Owner};

/// The right to write a table, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    _lock: File,
}

/// What lies at the visible path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Visible {
    /// Nothing, or an empty folder that the first publication replaces.
    Absent,
    /// The link of ours, to this version.
    Version(u64),
}

impl Claim {
    /// Claims the table for its owner. Touches nothing that belongs to somebody else.
    pub fn take(layout: &Layout, owner: &Owner) -> Result<(Self, Visible)> {
        check(layout, owner)?;
        fs::create_dir_all(&layout.control).at("make", &layout.control)?;
        let path = layout.lock();
        let lock = File::options().create(true).append(true).open(&path).at("open", &path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(layout)),
            Err(TryLockError::Error(error)) => return Err(error).at("lock", &path),
        }
        // Another process may have made it ours, or its own, between the first look and the lock.
        let visible = check(layout, owner)?;
        let older = load_owner(layout)?.is_some_and(|found| found.format < FORMAT);
        if older || !layout.owner().exists() {
            let text = serde_json::to_vec(owner).at("write", &layout.owner())?;
            write_whole(&layout.owner(), &text)?;
            sync_folder(layout.parent())?;
        }
        Ok((Self { _lock: lock }, visible))
    }
}

fn check(layout: &Layout, owner: &Owner) -> Result<Visible> {
    match load_owner(layout)? {
        Some(found) if found.format > FORMAT => return Err(newer(layout, found.format)),
        Some(found) if (&found.pipeline, &found.stream) != (&owner.pipeline, &owner.stream) => {
            let by = format!("stream `{}` of pipeline `{}`", found.stream, found.pipeline);
            return Err(owned(layout, &layout.visible, &format!("belongs to {by}")));
        }
        _ => {}
    }
    check_visible(layout)
}

/// The owner; none where the folder is absent or was made by a process that died at once.
fn load_owner(layout: &Layout) -> Result<Option<Owner>> {
    let path = layout.owner();
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|_| {
            owned(layout, &layout.control, "has an owner.json that is not ours, or of a newer form")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match layout.control.is_dir() {
            true if names(&layout.control)?.iter().any(|n| n != "lock" && n != "owner.new") => {
                Err(owned(layout, &layout.control, "has files in it that are not ours"))
            }
            _ => Ok(None),
        },
        Err(error) => Err(error).at("read", &path),
    }
}

fn check_visible(layout: &Layout) -> Result<Visible> {
    let path = &layout.visible;
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Visible::Absent),
        other => other.at("look at", path)?,
    };
    if found.is_symlink() {
        let text = fs::read_link(path).at("read", path)?;
        let Some(number) = layout.version_of(&text) else {
            return Err(owned(layout, path, &format!("is a link to {}", text.display())));
        };
        // A link to nothing is a table that was removed by hand.
        let there = layout.version(number).is_dir();
        return Ok(if there { Visible::Version(number) } else { Visible::Absent });
    }
    if !found.is_dir() {
        return Err(owned(layout, path, "is a file"));
    }
    match names(path)?.first() {
        None => Ok(Visible::Absent),
        Some(name) => Err(owned(layout, path, &format!("holds files that are not ours, such as {name}"))),
    }
}

fn owned(layout: &Layout, path: &Path, what: &str) -> SinkError {
    SinkError {
        kind: Kind::Refused,
        code: "destination_owned",
        message: format!("{} {what}", path.display()),
        hint: Some(format!(
            "Give this stream a folder of its own with `path`, or move {} away if it is not needed.",
            if path == layout.visible { &layout.visible } else { path }.display()
        )),
        source: None,
    }
}

fn newer(layout: &Layout, format: u32) -> SinkError {
    SinkError {
        kind: Kind::Refused,
        code: "newer_format",
        message: format!(
            "{} was written in form {format}, newer than this program's",
            layout.visible.display()
        ),
        hint: Some("Use the version of sync that wrote it, or a later one.".into()),
        source: None,
    }
}

fn locked(layout: &Layout) -> SinkError {
    SinkError {
        kind: Kind::Environment,
        code: "destination_locked",
        message: format!("another process is writing {}", layout.visible.display()),
        hint: Some("Wait until it has ended, or stop it.".into()),
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(stream: &str) -> Owner {
        Owner { format: FORMAT, pipeline: "crm".into(), stream: stream.into() }
    }

    /// A table's place after `prepare`, claimed by `crm.companies`: the code of the refusal, or "".
    #[track_caller]
    fn check_claim(prepare: impl FnOnce(&Path), expect: &str) {
        let place = tempfile::tempdir().expect("a folder");
        prepare(place.path());
        let before = listing(place.path());
        let layout = Layout::new(&place.path().join("companies")).expect("a path");
        match Claim::take(&layout, &owner("companies")) {
            Ok(_) => assert_eq!(expect, ""),
            Err(error) => {
                assert_eq!(error.code, expect, "{error:?}");
                assert!(error.hint.is_some(), "{error:?}");
                assert_eq!(before, listing(place.path()), "nothing is touched");
            }
        }
    }

    fn listing(folder: &Path) -> Vec<String> {
        let mut names = names(folder).expect("a folder");
        names.sort();
        names
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let put = |path: std::path::PathBuf, text: &str| {
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        check_claim(|_| {}, "");
        check_claim(|p| fs::create_dir(p.join("companies")).expect("made"), "");
        check_claim(|p| put(p.join("companies/notes.txt"), "mine"), "destination_owned");
        check_claim(|p| put(p.join("companies"), "mine"), "destination_owned");
        check_claim(|p| put(p.join(".companies.sync/notes.txt"), "mine"), "destination_owned");
        check_claim(|p| put(p.join(".companies.sync/owner.json"), "{}"), "destination_owned");
        check_claim(|p| put(p.join(".companies.sync/lock"), ""), "");
        let other = serde_json::to_string(&owner("contacts")).expect("text");
        check_claim(|p| put(p.join(".companies.sync/owner.json"), &other), "destination_owned");
        let future = other.replace("\"format\":2", "\"format\":9");
        check_claim(|p| put(p.join(".companies.sync/owner.json"), &future), "newer_format");
        #[cfg(unix)]
        check_claim(
            |p| std::os::unix::fs::symlink("/elsewhere", p.join("companies")).expect("a link"),
            "destination_owned",
        );
    }

    #[test]
    fn one_process_at_a_time() {
        let place = tempfile::tempdir().expect("a folder");
        let layout = Layout::new(&place.path().join("companies")).expect("a path");
        let first = Claim::take(&layout, &owner("companies")).expect("it is free");
        let error = Claim::take(&layout, &owner("companies")).expect_err("it is taken");
        assert_eq!((error.kind, error.code), (Kind::Environment, "destination_locked"));
        let error = Claim::take(&layout, &owner("contacts")).expect_err("it is another's");
        assert_eq!((error.kind, error.code), (Kind::Refused, "destination_owned"));
        drop(first);
        Claim::take(&layout, &owner("companies")).expect("it is free again");
    }
}
