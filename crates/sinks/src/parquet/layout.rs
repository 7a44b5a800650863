//! Where everything of one table lies. The only place that spells a path.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sync_core::{Kind, RunId, SinkError};

use super::error::{At, Result};
use super::fault;

/// The file inside each version that holds the checkpoint. Readers pass over names that begin with `_`.
pub(super) const MANIFEST: &str = "_sync_checkpoint.json";

/// The paths of a table that readers see as `lake/companies`:
///
/// ```text
/// lake/companies -> .companies.sync/000007      the link that readers follow
/// lake/.companies.sync/owner.json               who may write here
///                      lock                     held by the process that writes
///                      log                      what is committed and not yet visible
///                      staged/*.parquet         its rows, as far as they are encoded
///                      keys/*.keys              what each data file holds, by key; can be made again
///                      000005 000006 000007     the last versions: data files and `_sync_checkpoint.json`
///                      gone-000004              a version that is being removed
/// ```
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// What readers open.
    pub visible: PathBuf,
    /// The hidden folder beside it.
    pub control: PathBuf,
    name: String,
}

impl Layout {
    pub fn new(visible: &Path) -> Result<Self> {
        let visible = std::path::absolute(visible).at("find", visible)?;
        // Absolute paths keep a trailing slash, which would make the link a folder.
        let visible: PathBuf = visible.components().collect();
        let (Some(parent), Some(name)) = (visible.parent(), visible.file_name()) else {
            return Err(SinkError {
                kind: Kind::Refused,
                code: "destination_path",
                message: format!("{} cannot be a table's folder", visible.display()),
                hint: Some("Name a folder of its own for each stream, such as ./lake/{stream}.".into()),
                source: None,
            });
        };
        let name = format!(".{}.sync", name.to_string_lossy());
        Ok(Self { control: parent.join(&name), visible, name })
    }

    pub fn parent(&self) -> &Path {
        self.control.parent().expect("made from a parent")
    }

    pub fn version(&self, number: u64) -> PathBuf {
        self.control.join(version_name(number))
    }

    /// Where a version is while it is being removed.
    pub fn gone(&self, number: u64) -> PathBuf {
        self.control.join(format!("gone-{}", version_name(number)))
    }

    /// Versions that are being removed.
    pub fn all_gone(&self) -> Result<Vec<PathBuf>> {
        let names = names(&self.control)?;
        Ok(names
            .iter()
            .filter(|name| name.starts_with("gone-"))
            .map(|name| self.control.join(name))
            .collect())
    }

    /// What the link says when it points to a version.
    pub fn link_text(&self, number: u64) -> PathBuf {
        Path::new(&self.name).join(version_name(number))
    }

    /// The version that a link's text names, if it is a link of ours.
    pub fn version_of(&self, link_text: &Path) -> Option<u64> {
        version_number(link_text.strip_prefix(&self.name).ok()?.to_str()?)
    }

    pub fn owner(&self) -> PathBuf {
        self.control.join("owner.json")
    }

    pub fn lock(&self) -> PathBuf {
        self.control.join("lock")
    }

    pub fn log(&self) -> PathBuf {
        self.control.join("log")
    }

    pub fn staged(&self) -> PathBuf {
        self.control.join("staged")
    }

    pub fn keys(&self) -> PathBuf {
        self.control.join("keys")
    }

    /// The record of what a data file holds.
    pub fn keys_of(&self, file: &str) -> PathBuf {
        self.keys().join(file).with_extension("keys")
    }

    /// The numbers of the version folders that exist, in order.
    pub fn versions(&self) -> Result<Vec<u64>> {
        let names = names(&self.control)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|n| version_number(n)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

fn version_name(number: u64) -> String {
    format!("{number:06}")
}

fn version_number(name: &str) -> Option<u64> {
    let digits = name.len() >= 6 && name.bytes().all(|b| b.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

/// The name of a data file. The epoch and the count within it grow, and the run tells two histories of one
/// path apart, so a name that readers have seen never stands for other bytes.
pub(super) fn part_name(epoch: u64, count: u64, run: &RunId) -> String {
    let run: String = run.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("part-{epoch:06}-{count:04}-{run}.parquet")
}

/// The names in a folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).at("list", folder)? {
        names.push(entry.at("list", folder)?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Makes what was created, renamed or removed in a folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| fault::sync(&f)).at("sync", folder)
}

/// Writes a small file whole: nobody ever sees half of it, and it is on disk on return.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = path.with_extension("new");
    let written = File::create(&fresh).and_then(|mut f| {
        fault::torn(bytes, |bytes| io::Write::write_all(&mut f, bytes))?;
        fault::sync(&f)
    });
    written.at("write", &fresh)?;
    fault::point().and_then(|()| fs::rename(&fresh, path)).at("replace", path)?;
    sync_folder(path.parent().expect("a file has a folder"))
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<()> {
    fault::point().at("remove", path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Removes what `keep` does not name.
pub(super) fn remove_others(folder: &Path, keep: impl Fn(&str) -> bool) -> Result<()> {
    for name in names(folder)?.iter().filter(|n| !keep(n)) {
        remove(&folder.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_its_version() {
        let layout = Layout::new(Path::new("/lake/companies/")).expect("a path");
        assert_eq!(layout.visible, Path::new("/lake/companies"));
        assert_eq!(layout.control, Path::new("/lake/.companies.sync"));
        assert_eq!(layout.version_of(&layout.link_text(7)), Some(7));
        assert_eq!(layout.version_of(&layout.link_text(12_345_678)), Some(12_345_678));
        for foreign in ["/elsewhere/000007", ".other.sync/000007", ".companies.sync/7", ".companies.sync"] {
            assert_eq!(layout.version_of(Path::new(foreign)), None, "{foreign}");
        }
        assert_eq!(Layout::new(Path::new("/")).expect_err("no name").code, "destination_path");
    }
}
