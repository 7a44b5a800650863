//! What a version says of itself: its files, its schema, and the checkpoint its rows go with.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sync_core::{Checkpoint, Kind, RunId, Schema, SinkError, TableSpec};
use xxhash_rust::xxh3::Xxh3;

use super::error::{At, Result, damaged};
use super::extras::{Extras, TOMBSTONE};
use super::layout::{Layout, MANIFEST};

/// The form of the manifest, the log and the owner's file.
pub(super) const FORMAT: u32 = 2;

/// The pipeline and the stream that a table belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub format: u32,
    pub pipeline: String,
    pub stream: String,
}

impl Owner {
    pub fn of(spec: &TableSpec) -> Self {
        Self { format: FORMAT, pipeline: spec.pipeline.clone(), stream: spec.stream.clone() }
    }
}

/// One Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DataFile {
    pub name: String,
    pub bytes: u64,
    pub rows: u64,
    /// The run all its rows were read by; absent where files of several runs were joined.
    pub run: Option<RunId>,
    /// Of which [`shape`] it is.
    pub shape: u64,
    /// The folder it lies in, inside its version; absent where the table has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

impl DataFile {
    /// Where it lies in a version.
    pub fn place(&self, version: &Path) -> PathBuf {
        match &self.folder {
            Some(folder) => version.join(folder).join(&self.name),
            None => version.join(&self.name),
        }
    }
}

/// What decides the bytes of a file: the names and types of its columns. Files of one version share it.
pub(super) fn shape(schema: &Schema, extras: &Extras, apart: bool) -> u64 {
    let mut hash = Xxh3::new();
    for column in &schema.columns {
        for text in [&column.name, &column.field, &column.ty.to_string()] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    }
    let apart = apart.then(|| TOMBSTONE.to_owned());
    for name in extras.names().iter().chain(&apart) {
        hash.update(&u64::MAX.to_le_bytes()); // a length that no name has
        hash.update(name.as_bytes());
    }
    hash.digest()
}

/// The document `_sync_checkpoint.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    #[serde(flatten)]
    pub owner: Owner,
    /// The epoch of the log whose rows are in; that log and older ones are spent.
    pub epoch: u64,
    pub rows: u64,
    pub schema: Schema,
    /// The engine's own columns beyond the three that every table has.
    #[serde(default)]
    pub extras: Vec<String>,
    /// What its files are sorted into folders by.
    #[serde(default)]
    pub partition_by: Option<String>,
    pub files: Vec<DataFile>,
    pub checkpoint: Checkpoint,
}

/// The version that readers see.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub number: u64,
    pub manifest: Manifest,
}

impl Version {
    /// Reads a version and makes sure that its files are there, in their sizes.
    pub fn load(layout: &Layout, number: u64) -> Result<Self> {
        let folder = layout.version(number);
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).at("read", &path)?;
        // First of all its form: what else a newer one holds may be of any shape.
        let form = |pointer: &str, known: u32| {
            let document = serde_json::from_slice::<serde_json::Value>(&text).ok()?;
            document.pointer(pointer)?.as_u64().map(|found| found > u64::from(known))
        };
        if form("/format", FORMAT) == Some(true)
            || form("/checkpoint/format", Checkpoint::FORMAT) == Some(true)
        {
            return Err(newer(layout, number));
        }
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| damaged(&layout.visible, format!("its {MANIFEST} cannot be read: {error}")))?;
        for file in &manifest.files {
            check_file(layout, &folder, file)?;
        }
        Ok(Self { number, manifest })
    }
}

fn newer(layout: &Layout, number: u64) -> SinkError {
    SinkError {
        kind: Kind::Refused,
        code: "newer_format",
        message: format!("version {number} of {} was written by a newer sync", layout.visible.display()),
        hint: Some("use the version of sync that wrote it, or a later one".to_owned()),
        source: None,
    }
}

fn check_file(layout: &Layout, folder: &Path, file: &DataFile) -> Result<()> {
    match fs::metadata(file.place(folder)) {
        Ok(found) if found.len() == file.bytes => Ok(()),
        Ok(found) => Err(damaged(
            &layout.visible,
            format!("{} has {} bytes and had {} when it was committed", file.name, found.len(), file.bytes),
        )),
        Err(error) => {
            Err(damaged(&layout.visible, format!("{} was committed and is gone: {error}", file.name)))
        }
    }
}
