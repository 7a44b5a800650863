//! Which pipelines use a credential: those that ran with it, and those that lie here.

use std::path::{Path, PathBuf};

use sync_auth::Vault;
use sync_core::{Explain as _, Problem};
use sync_spec::{CredentialRef, Document, Pipeline};

/// Folders deeper than this are not looked into.
const DEPTH_MAX: usize = 4;
/// Files looked at, at most: the folder may be somebody's whole disk.
const FILES_MAX: usize = 2000;

/// The pipelines that name the credential, each once.
pub fn of(name: &str, vault: &Vault) -> Result<Vec<PathBuf>, Problem> {
    let seen = vault.uses(name).map_err(|error| error.problem())?;
    let mut found: Vec<PathBuf> = seen.into_iter().filter(|path| names(path, name)).collect();
    let mut files = Vec::new();
    gather(Path::new("."), 0, &mut files);
    for file in files.into_iter().filter(|file| names(file, name)) {
        let file = std::path::absolute(&file).unwrap_or(file);
        if !found.contains(&file) {
            found.push(file);
        }
    }
    Ok(found)
}

fn gather(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if files.len() >= FILES_MAX || hidden || path.is_symlink() {
            continue;
        }
        if path.is_dir() && depth < DEPTH_MAX {
            gather(&path, depth + 1, files);
        } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            files.push(path);
        }
    }
}

/// Whether a pipeline names the credential, or takes it because it is named like its connector.
fn names(path: &Path, name: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    let Ok(pipeline) = Pipeline::parse(&Document::new(path.to_string_lossy(), text)) else { return false };
    match pipeline.source.credential.map(|credential| credential.value) {
        Some(CredentialRef::Stored(own)) => own == name,
        Some(_) => false,
        None => pipeline.source.connector.value == name,
    }
}
