//! What is changed of rows that stay, until their files are written again.
//!
//! Where everything has changed, these are as many as the table has rows. So they wait in a file, in runs that are
//! each in the order of their rows, and are merged when a data file is read; only where all keys were settled at
//! once, they never leave memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{At, Result};
use super::extras::{Mark, Patch};
use super::fault;

/// A row's file, by place, and its number.
pub(super) type Place = (u32, u32);

/// Bytes that are read at once of each run.
const BUFFER: usize = 4 << 10;

/// Patches while they are found.
pub(super) struct Gathering {
    path: PathBuf,
    /// Where they are written, once there are some that have to be.
    file: Option<BufWriter<File>>,
    offset: u64,
    memory: Vec<(Place, Patch)>,
    of: BTreeMap<u32, OfFile>,
}

/// Those of one data file.
#[derive(Default)]
struct OfFile {
    /// Where a run of them begins in the file, and how many it has.
    runs: Vec<(u64, u64)>,
    /// Where they are in memory.
    memory: std::ops::Range<usize>,
    /// The files whose tombstones marked rows, by place.
    marks: BTreeSet<u32>,
}

/// All patches of a publication.
pub(super) struct Patches {
    path: PathBuf,
    spilled: bool,
    memory: Vec<(Place, Patch)>,
    of: BTreeMap<u32, OfFile>,
}

/// The patches of one data file.
#[derive(Clone)]
pub(super) struct Here {
    all: Arc<Patches>,
    place: u32,
}

impl Gathering {
    /// Patches that wait at this path if they have to.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, offset: 0, memory: Vec::new(), of: BTreeMap::new() }
    }

    /// Takes the patches of some keys, each row once. `last` says that no more will come.
    pub fn take(&mut self, found: impl Iterator<Item = (Place, Patch)>, last: bool) -> Result<()> {
        let mut found: Vec<_> = found.collect();
        found.sort_unstable_by_key(|(place, _)| *place);
        for ((file, _), patch) in &found {
            if let Some(mark) = patch.mark {
                self.of.entry(*file).or_default().marks.insert(mark.file);
            }
        }
        if last && self.file.is_none() {
            let mut start = 0;
            for chunk in found.chunk_by(|a, b| a.0.0 == b.0.0) {
                self.of.entry(chunk[0].0.0).or_default().memory = start..start + chunk.len();
                start += chunk.len();
            }
            self.memory = found;
            return Ok(());
        }
        if found.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            fault::point().at("make", &self.path)?;
            self.file = Some(BufWriter::new(File::create(&self.path).at("make", &self.path)?));
        }
        let file = self.file.as_mut().expect("it was made");
        for chunk in found.chunk_by(|a, b| a.0.0 == b.0.0) {
            self.of.entry(chunk[0].0.0).or_default().runs.push((self.offset, chunk.len() as u64));
            for ((_, row), patch) in chunk {
                self.offset += write(file, *row, patch).at("write", &self.path)?;
            }
        }
        Ok(())
    }

    /// All of them.
    pub fn done(mut self) -> Result<Arc<Patches>> {
        let spilled = self.file.is_some();
        if let Some(mut file) = self.file.take() {
            file.flush().at("write", &self.path)?;
        }
        let (memory, of) = (std::mem::take(&mut self.memory), std::mem::take(&mut self.of));
        let path = std::mem::take(&mut self.path);
        Ok(Arc::new(Patches { path, spilled, memory, of }))
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path); // what is left is removed when the table is opened
        }
    }
}

impl Drop for Patches {
    fn drop(&mut self) {
        if self.spilled {
            let _ = fs::remove_file(&self.path); // as above
        }
    }
}

impl Patches {
    /// Those of each data file that has some, by its place.
    pub fn each(self: &Arc<Self>) -> impl Iterator<Item = (usize, Here)> {
        let all = self.clone();
        self.of.keys().map(move |place| (*place as usize, Here { all: all.clone(), place: *place }))
    }
}

impl Here {
    /// The files whose tombstones marked rows of this one, by place.
    pub fn marks(&self) -> impl Iterator<Item = u32> {
        self.all.of[&self.place].marks.iter().copied()
    }

    /// Reads them in the order of their rows.
    pub fn open(&self) -> Result<Reader<'_>> {
        let of = &self.all.of[&self.place];
        let path = &self.all.path;
        let mut reader = Reader { path, runs: Vec::new(), heads: BinaryHeap::new() };
        let memory = self.all.memory[of.memory.clone()].iter();
        if memory.len() > 0 {
            reader.runs.push(Run::Memory(memory));
        }
        for (offset, count) in &of.runs {
            let mut file = File::open(path).at("read", path)?;
            file.seek(SeekFrom::Start(*offset)).at("read", path)?;
            reader.runs.push(Run::Disk(BufReader::with_capacity(BUFFER, file), *count));
        }
        for run in 0..reader.runs.len() {
            reader.advance(run)?;
        }
        Ok(reader)
    }
}

enum Run<'a> {
    Memory(std::slice::Iter<'a, (Place, Patch)>),
    Disk(BufReader<File>, u64),
}

/// The patches of one data file, in the order of their rows.
pub(super) struct Reader<'a> {
    path: &'a Path,
    runs: Vec<Run<'a>>,
    /// The next one of each run.
    heads: BinaryHeap<Reverse<Head>>,
}

/// Compared by row alone, of which each has one patch.
struct Head(u32, Patch, usize);

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl Reader<'_> {
    fn advance(&mut self, run: usize) -> Result<()> {
        let next = match &mut self.runs[run] {
            Run::Memory(rows) => rows.next().map(|((_, row), patch)| (*row, *patch)),
            Run::Disk(_, 0) => None,
            Run::Disk(file, left) => {
                *left -= 1;
                Some(read(file).at("read", self.path)?)
            }
        };
        self.heads.extend(next.map(|(row, patch)| Reverse(Head(row, patch, run))));
        Ok(())
    }

    /// Those of the rows before this one that were not handed out yet.
    pub fn before(&mut self, end: u64) -> Result<Vec<(u32, Patch)>> {
        let mut here = Vec::new();
        while let Some(Reverse(head)) = self.heads.peek()
            && u64::from(head.0) < end
            && let Some(Reverse(Head(row, patch, run))) = self.heads.pop()
        {
            here.push((row, patch));
            self.advance(run)?;
        }
        Ok(here)
    }
}

const FROM: u8 = 1;
const TO: u8 = 2;
const MARK: u8 = 4;

/// Row, what there is, and that.
fn write(out: &mut impl Write, row: u32, patch: &Patch) -> io::Result<u64> {
    let mut bytes = [0; 41];
    bytes[..4].copy_from_slice(&row.to_le_bytes());
    let mut at = 5;
    let mut put = |flag: u8, value: &[u8]| {
        bytes[4] |= flag;
        bytes[at..at + value.len()].copy_from_slice(value);
        at += value.len();
    };
    if let Some(from) = patch.from {
        put(FROM, &from.to_le_bytes());
    }
    if let Some(to) = patch.to {
        put(TO, &to.to_le_bytes());
    }
    if let Some(mark) = patch.mark {
        put(MARK, &mark.at.to_le_bytes());
        put(MARK, &mark.seq.to_le_bytes());
        put(MARK, &mark.file.to_le_bytes());
    }
    out.write_all(&bytes[..at])?;
    Ok(at as u64)
}

fn read(file: &mut impl Read) -> io::Result<(u32, Patch)> {
    fn take<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
    let row = u32::from_le_bytes(take(file)?);
    let [flags] = take(file)?;
    let mut patch = Patch::default();
    if flags & FROM != 0 {
        patch.from = Some(i64::from_le_bytes(take(file)?));
    }
    if flags & TO != 0 {
        patch.to = Some(i64::from_le_bytes(take(file)?));
    }
    if flags & MARK != 0 {
        let (at, seq) = (i64::from_le_bytes(take(file)?), i64::from_le_bytes(take(file)?));
        patch.mark = Some(Mark { at, seq, file: u32::from_le_bytes(take(file)?) });
    }
    Ok((row, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(n: u32) -> Patch {
        let value = i64::from(n) - 5;
        let mark = Mark { at: value, seq: -value, file: n % 3 };
        Patch {
            from: (!n.is_multiple_of(2)).then_some(value),
            to: n.is_multiple_of(3).then_some(-value),
            mark: n.is_multiple_of(5).then_some(mark),
        }
    }

    /// Patches of two files in so many portions, read in steps of some rows.
    fn check(portions: u32) {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("patches");
        let all = |file: u32| (0..600).filter(move |row| (row * 7) % 11 != file);
        let mut gathering = Gathering::new(&path);
        for portion in 0..portions {
            let found = (0..2_u32).flat_map(|file| all(file).map(move |row| ((file, row), patch(row))));
            let found = found.filter(|((_, row), _)| (row * 13) % portions == portion);
            gathering
                .take(found.collect::<Vec<_>>().into_iter().rev(), portion + 1 == portions)
                .expect("taken");
        }
        let patches = gathering.done().expect("done");
        assert_eq!(path.exists(), portions > 1);
        for (file, here) in patches.each() {
            let mut reader = here.open().expect("open");
            let mut rows = Vec::new();
            for end in [0, 1, 100, 101, 599, 600, 700] {
                let part = reader.before(end).expect("read");
                assert!(part.iter().all(|(row, _)| u64::from(*row) < end));
                rows.extend(part);
            }
            let expect: Vec<_> = all(file as u32).map(|row| (row, patch(row))).collect();
            assert_eq!(rows, expect, "file {file} in {portions} portions");
            assert_eq!(here.marks().collect::<Vec<_>>(), [0, 1, 2]);
        }
        drop(patches);
        assert!(!path.exists(), "nothing is left over");
    }

    #[test]
    fn patches_come_back_in_the_order_of_their_rows() {
        for portions in [1, 2, 3, 17] {
            check(portions);
        }
    }

    #[test]
    fn what_was_given_up_is_left_nowhere() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("patches");
        let mut gathering = Gathering::new(&path);
        gathering.take([((0, 1), patch(1))].into_iter(), false).expect("taken");
        assert!(path.exists());
        drop(gathering);
        assert!(!path.exists());
    }
}
