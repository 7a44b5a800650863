//! Making a version and switching it in.
//!
//! A version is a folder of hard links to data files, with its manifest. Everything in it is on disk before
//! the link that readers follow turns to it, in one rename. Files that did not change are the same files in
//! both versions, so a version costs what changed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sync_core::{Kind, SinkError};

use super::error::{At, Result};
use super::fault;
use super::layout::{Layout, MANIFEST, sync_folder, write_whole};
use super::manifest::{Manifest, Version};

/// Versions that stay for readers who are still at them, the visible one included.
const KEPT: usize = 3;

/// Makes a version of files that lie elsewhere, and shows it to readers. On disk when this returns.
pub(super) fn publish(layout: &Layout, manifest: Manifest, files: &[PathBuf]) -> Result<Version> {
    let number = layout.versions()?.last().map_or(1, |last| last + 1);
    let folder = layout.version(number);
    fault::point().and_then(|()| fs::create_dir(&folder)).at("make", &folder)?;
    let mut folders = BTreeSet::new();
    for (file, path) in manifest.files.iter().zip(files) {
        if let Some(inner) = file.folder.as_ref().map(|name| folder.join(name))
            && !folders.contains(&inner)
        {
            fault::point().and_then(|()| fs::create_dir(&inner)).at("make", &inner)?;
            folders.insert(inner);
        }
        let link = file.place(&folder);
        fault::point().and_then(|()| fs::hard_link(path, link)).or_else(|e| linked(e, path))?;
    }
    folders.iter().try_for_each(|inner| sync_folder(inner))?;
    let text = serde_json::to_vec_pretty(&manifest).at("write", &folder)?;
    // Syncs the folder too, and with it the links.
    write_whole(&folder.join(MANIFEST), &text)?;
    sync_folder(&layout.control)?;
    switch(layout, number)?;
    Ok(Version { number, manifest })
}

/// Turns the link that readers follow.
fn switch(layout: &Layout, number: u64) -> Result<()> {
    let fresh = layout.control.join("link");
    super::layout::remove(&fresh)?;
    fault::point()
        .and_then(|()| symlink(&layout.link_text(number), &fresh))
        .or_else(|e| linked(e, &fresh))?;
    let visible = &layout.visible;
    if fs::symlink_metadata(visible).is_ok_and(|found| found.is_dir()) {
        // Empty when the table was opened. If it is not any more, this fails and leaves it alone.
        fault::point().and_then(|()| fs::remove_dir(visible)).at("replace the folder", visible)?;
    }
    fault::point().and_then(|()| fs::rename(&fresh, visible)).at("switch", visible)?;
    sync_folder(layout.parent())
}

/// A file system without links says so in several ways, none of them clear.
fn linked(error: io::Error, path: &Path) -> Result<()> {
    const NOT_PERMITTED: i32 = 1;
    if error.raw_os_error() == Some(NOT_PERMITTED) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, error)).at("link", path);
    }
    Err(error).at("link", path)
}

#[cfg(unix)]
fn symlink(text: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(text, path)
}

#[cfg(not(unix))]
fn symlink(_text: &Path, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Removes versions that a process made and died before it showed them: those above the visible one without a
/// manifest, or with the rows of the log that is still to be shown. Others above it were shown once, and somebody turned
/// the link back by hand; they stay.
pub(super) fn remove_unshown(layout: &Layout, visible: Option<u64>, log: Option<u64>) -> Result<()> {
    for number in layout.versions()?.into_iter().filter(|number| Some(*number) > visible) {
        let (folder, gone) = (layout.version(number), layout.gone(number));
        let epoch = fs::read(folder.join(MANIFEST))
            .ok()
            .and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
        let unshown = match epoch {
            None => true,
            Some(manifest) => log.is_some_and(|log| manifest.epoch >= log),
        };
        if unshown {
            fault::point().and_then(|()| fs::rename(&folder, &gone)).at("remove", &folder)?;
            fault::point().and_then(|()| fs::remove_dir_all(&gone)).at("remove", &gone)?;
        }
    }
    Ok(())
}

/// Removes versions that are too old for a reader to be at.
///
/// A version goes out of sight in one step before its files go: a reader that came by its number finds all of it
/// or nothing.
pub(super) fn prune(layout: &Layout) -> Result<()> {
    let numbers = layout.versions()?;
    for number in &numbers[..numbers.len().saturating_sub(KEPT)] {
        let (folder, gone) = (layout.version(*number), layout.gone(*number));
        fault::point().and_then(|()| fs::rename(&folder, &gone)).at("remove", &folder)?;
    }
    // Also what a process that died has left.
    for folder in layout.all_gone()? {
        fault::point().and_then(|()| fs::remove_dir_all(&folder)).at("remove", &folder)?;
    }
    Ok(())
}

/// The places of small files of like size, to be written as one: otherwise a table that grows by a little each hour would
/// have thousands of files after a year. They are taken by levels, each four times the size of the one
/// below, so a row is written again once a level.
pub(super) fn crowded(files: &[(usize, u64)], target: u64) -> Vec<usize> {
    const CROWD: usize = 8;
    const SMALLEST: u64 = 16 << 10;
    let level = |bytes: u64| (bytes / SMALLEST).max(1).ilog(4);
    let small = || files.iter().filter(|(_, bytes)| *bytes < target / 2);
    let mut crowded = Vec::new();
    for at in 0..=level(u64::MAX) {
        let members: Vec<_> =
            small().filter(|(_, bytes)| level(*bytes) == at).map(|(place, _)| *place).collect();
        if members.len() >= CROWD {
            crowded.extend(members);
        }
    }
    crowded.sort_unstable();
    crowded
}

/// The log is of a form that this program does not know.
pub(super) fn newer_log(layout: &Layout, format: u32) -> SinkError {
    SinkError {
        kind: Kind::Refused,
        code: "newer_format",
        message: format!(
            "the staging log of {} has form {format}, newer than this program's",
            layout.visible.display()
        ),
        hint: Some("Use the version of sync that wrote it, or a later one.".into()),
        source: None,
    }
}
