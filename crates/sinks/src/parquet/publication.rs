//! What goes into the next version: which files as they are, which written again, which not at all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sync_core::{Checkpoint, RunId, Schema};

use super::error::Result;
use super::fingerprint::run_mark;
use super::manifest::{DataFile, Manifest, Version, shape};
use super::part::{self, Make, Names};
use super::partition::Partition;
use super::patches::{Here, Patches};
use super::rewrite::{self, Source};
use super::settle::{self, Bits, Input, Rule, Settled};
use super::version::crowded;

/// What the next version is made of.
pub(super) struct Wanted<'a> {
    /// The version before; absent where there is none or where it is replaced.
    pub base: Option<&'a Version>,
    /// The rows that are new.
    pub parts: &'a [DataFile],
    /// What all its files have.
    pub schema: &'a Arc<Schema>,
    /// Whether small files are joined.
    pub tidy: bool,
}

/// The files of the next version, complete and on disk.
#[derive(Default)]
pub(super) struct Planned {
    pub files: Vec<DataFile>,
    /// Where each of them lies now.
    pub paths: Vec<PathBuf>,
    /// Rows of this run that do not stay.
    pub unchanged: u64,
    /// Bytes of older files that were written again.
    pub rewritten_bytes: u64,
    /// The runs that read the rows of the files that there were, by place.
    runs: Vec<String>,
}

impl Planned {
    pub fn manifest(&self, make: &Make, epoch: u64, schema: &Schema, checkpoint: Checkpoint) -> Manifest {
        Manifest {
            owner: make.owner.clone(),
            epoch,
            rows: self.files.iter().map(|f| f.rows).sum(),
            schema: schema.clone(),
            extras: make.extras.names(),
            partition_by: make.partition.as_ref().map(Partition::word),
            files: self.files.clone(),
            checkpoint,
        }
    }

    fn add(&mut self, file: DataFile, path: PathBuf) {
        self.files.push(file);
        self.paths.push(path);
    }
}

/// A file that there is.
struct Candidate {
    file: DataFile,
    path: PathBuf,
    staged: bool,
    losers: Option<Bits>,
    patches: Option<Here>,
}

impl Candidate {
    /// Whether all its rows tell this run, those that a tombstone of it has marked included.
    fn is_of(&self, run: &RunId, runs: &[String]) -> bool {
        let mut marks = self.patches.iter().flat_map(Here::marks);
        self.file.run.as_ref() == Some(run) && marks.all(|file| runs[file as usize] == run.as_str())
    }

    fn left(&self) -> u64 {
        self.file.rows - self.losers.as_ref().map_or(0, |l| l.count)
    }
}

/// Settles which rows stay and writes the files that have to be written.
pub(super) fn plan(make: &Make, names: &mut Names, wanted: &Wanted) -> Result<Planned> {
    let mut candidates = candidates(make, wanted);
    let mut planned = Planned::default();
    let settled = settle(make, wanted, &candidates)?;
    let runs: Vec<_> = candidates.iter().map(|c| c.file.run.clone()).collect();
    for (place, losers) in settled.losers {
        candidates[place].losers = Some(losers);
    }
    if make.identity.is_some() {
        let new = candidates.iter().filter(|c| c.staged && c.file.run.as_ref() == Some(&make.run));
        planned.unchanged = new.map(|c| c.file.rows).sum::<u64>() - settled.counted;
    }
    for (place, patches) in settled.patches.iter().flat_map(Patches::each) {
        candidates[place].patches = Some(patches);
    }
    planned.runs = runs.into_iter().map(|run| run.map(|run| run.to_string()).unwrap_or_default()).collect();
    candidates.retain(|c| c.left() > 0);
    let shape = shape(wanted.schema, &make.extras, false);
    let joined = if wanted.tidy { joined(make, &candidates) } else { Vec::new() };
    let mut crowds: BTreeMap<Option<String>, Vec<Candidate>> = BTreeMap::new();
    let (mut group, mut unsorted): (Vec<Candidate>, Vec<Candidate>) = (Vec::new(), Vec::new());
    for (place, candidate) in candidates.into_iter().enumerate() {
        let alone = group.last().is_some_and(|last| {
            (&last.file.run, &last.file.folder) != (&candidate.file.run, &candidate.file.folder)
        });
        if candidate.staged && make.partition.is_some() {
            unsorted.push(candidate);
        } else if joined.binary_search(&place).is_ok() {
            crowds.entry(candidate.file.folder.clone()).or_default().push(candidate);
        } else if candidate.losers.is_none() && candidate.patches.is_none() && candidate.file.shape == shape {
            planned.write(make, names, wanted, std::mem::take(&mut group))?;
            planned.add(candidate.file, candidate.path);
        } else {
            if alone {
                planned.write(make, names, wanted, std::mem::take(&mut group))?;
            }
            group.push(candidate);
        }
    }
    planned.write(make, names, wanted, group)?;
    for crowd in crowds.into_values() {
        planned.write(make, names, wanted, crowd)?;
    }
    planned.sort(make, names, wanted, unsorted)?;
    if planned.files.is_empty() {
        // Readers that find no file at all take the table for missing.
        let file = part::Writer::new(make, names, Some(make.run.clone()), wanted.schema.clone(), false)
            .close(make)?;
        planned.place(make, file);
    }
    Ok(planned)
}

impl Planned {
    /// Writes what stays of some files into new ones.
    fn write(&mut self, make: &Make, names: &mut Names, wanted: &Wanted, old: Vec<Candidate>) -> Result<()> {
        let Some(first) = old.first() else { return Ok(()) };
        let first_folder = first.file.folder.clone();
        let run: Option<RunId> =
            first.file.run.clone().filter(|run| old.iter().all(|c| c.is_of(run, &self.runs)));
        self.rewritten_bytes += old.iter().filter(|c| !c.staged).map(|c| c.file.bytes).sum::<u64>();
        let source = |c: Candidate| Source { path: c.path, losers: c.losers, patches: c.patches };
        let sources: Vec<_> = old.into_iter().map(source).collect();
        let folder = first_folder;
        for file in rewrite::rewrite(make, names, &sources, run.as_ref(), wanted.schema, &self.runs)? {
            self.place(make, DataFile { folder: folder.clone(), ..file });
        }
        Ok(())
    }

    /// Writes rows that are new into the folders that they belong to.
    fn sort(&mut self, make: &Make, names: &mut Names, wanted: &Wanted, new: Vec<Candidate>) -> Result<()> {
        let (Some(by), Some(first)) = (&make.partition, new.first()) else { return Ok(()) };
        let run: Option<RunId> =
            first.file.run.clone().filter(|run| new.iter().all(|c| c.is_of(run, &self.runs)));
        let source = |c: Candidate| Source { path: c.path, losers: c.losers, patches: c.patches };
        let sources: Vec<_> = new.into_iter().map(source).collect();
        for file in rewrite::sort(make, names, &sources, run.as_ref(), wanted.schema, &self.runs, by)? {
            self.place(make, file);
        }
        Ok(())
    }

    fn place(&mut self, make: &Make, file: DataFile) {
        let path = make.layout.staged().join(&file.name);
        self.add(file, path);
    }
}

/// The files of the version before, then the new ones, in the order in which their rows were read.
fn candidates(make: &Make, wanted: &Wanted) -> Vec<Candidate> {
    let base = wanted.base.into_iter().flat_map(|version| {
        let folder = make.layout.version(version.number);
        version.manifest.files.iter().map(move |file| (file, file.place(&folder), false))
    });
    let staged = make.layout.staged();
    let parts = wanted.parts.iter().map(|file| (file, staged.join(&file.name), true));
    let candidate = |(file, path, staged): (&DataFile, _, _)| {
        let file = file.clone();
        Candidate { file, path, staged, losers: None, patches: None }
    };
    base.chain(parts).map(candidate).collect()
}

fn settle(make: &Make, wanted: &Wanted, candidates: &[Candidate]) -> Result<Settled> {
    let (Some(by), false) = (&make.identity, wanted.parts.is_empty()) else { return Ok(Settled::default()) };
    let mut inputs = Vec::with_capacity(candidates.len());
    for Candidate { file, path, staged, .. } in candidates {
        let keys = rewrite::keys(make, by, file, path, wanted.schema)?;
        inputs.push(Input { keys, rows: file.rows, staged: *staged });
    }
    let spill = make.layout.staged().join("patches");
    settle::settle(&mut inputs, Rule::of(by), run_mark(make.run.as_str()), make.memory / 2, &spill)
}

/// The places of small files that are to be joined, by the size of what stays of them.
fn joined(make: &Make, candidates: &[Candidate]) -> Vec<usize> {
    let left = |c: &Candidate| c.file.bytes * c.left() / c.file.rows.max(1);
    let mut folders: BTreeMap<Option<&str>, Vec<(usize, u64)>> = BTreeMap::new();
    for (place, candidate) in candidates.iter().enumerate() {
        // Rows that are still to be sorted are written anyway.
        if !(candidate.staged && make.partition.is_some()) {
            folders.entry(candidate.file.folder.as_deref()).or_default().push((place, left(candidate)));
        }
    }
    let mut joined: Vec<_> = folders.values().flat_map(|sizes| crowded(sizes, make.target)).collect();
    joined.sort_unstable();
    joined
}
