//! A process that dies, at every step it takes on disk, and is started again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sync_core::{Begin, Checkpoint, Disposition, RunId, Schema, Sink as _, SinkError, Table, TableSpec};
use sync_testkit::sink::{SpecExt as _, batch, checkpoint, schema, spec};

use super::super::fault;
use super::{lines, open, rows, sink};

const NARROW: &str = "id:int v:int";
/// What the listing turns out to be like at its fourth page.
const WIDE: &str = "id:int v:json w:text";

/// Pages of one listing, and what happens between them.
struct Story {
    spec: TableSpec,
    target: u64,
    pages: Vec<Vec<String>>,
    /// The listing starts again from its beginning after this page, once.
    restart_after: Option<u64>,
    /// Every third page is of tombstones.
    removes: bool,
}

impl Story {
    fn new(disposition: Disposition, seed: u64, memory: usize, target: u64) -> Self {
        let mut random = numbers(seed);
        let mut page = |_| {
            let size = 1 + random(7);
            (0..size).map(|_| format!("{}|{}", random(12), random(3))).collect()
        };
        let pages = (0..6).map(&mut page).collect();
        let spec = TableSpec { memory, ..spec("t", &["id"], disposition) };
        Self { spec, target, pages, restart_after: None, removes: false }
    }

    /// Runs from where the table is to the end of the listing.
    fn run(&self, dir: &Path, run: &str, begin: Begin) -> Result<(), SinkError> {
        let spec = TableSpec { begin, ..self.spec.run(run) };
        let mut table = sink(dir, self.target).open(&spec)?;
        let found = table.opened().checkpoint.clone();
        let fresh = spec.disposition == Disposition::Replace && !table.opened().building;
        let mut page = found.as_ref().filter(|_| !fresh).map_or(0, |c| c.pages);
        // The listing has several versions of a key, which no second reading may bring again.
        if spec.disposition == Disposition::History && found.as_ref().is_some_and(|c| c.resume.is_none()) {
            page = self.pages.len() as u64;
        }
        let mut next = Next::after(found, &spec.run);
        let mut restart = self.restart_after;
        while page < self.pages.len() as u64 {
            next.write(&mut *table, page, &self.pages[page as usize], self.removes && page % 3 == 1)?;
            page += 1;
            table.commit(&next.checkpoint(page))?;
            if page % 3 == 0 {
                table.publish()?;
            }
            if restart == Some(page) {
                table.restart()?;
                (restart, page) = (None, 0);
            }
        }
        let last = next.checkpoint(0);
        table.finish(&Checkpoint { resume: None, ..last }).map(drop)
    }

    /// What an undisturbed run gives.
    fn expect(&self) -> Vec<String> {
        let place = tempfile::tempdir().expect("a folder");
        self.run(place.path(), "run-0", Begin::Continue).expect("nothing is in its way");
        self.lines(place.path())
    }

    /// The rows, with what tells the versions and the deleted ones apart.
    fn lines(&self, dir: &Path) -> Vec<String> {
        let mut columns = vec!["id", "v"];
        columns.extend(self.spec.engine_columns()[3..].iter().map(|(name, _)| *name));
        rows(dir, "t").map(|rows| rows.lines_of(&columns)).unwrap_or_default()
    }
}

struct Next {
    sequence: u64,
    run: RunId,
    wide: bool,
}

impl Next {
    fn after(found: Option<Checkpoint>, run: &RunId) -> Self {
        let wide = found.as_ref().is_some_and(|c| c.schema == schema(WIDE));
        Self { sequence: found.map_or(0, |c| c.sequence), run: run.clone(), wide }
    }

    fn write(
        &mut self,
        table: &mut dyn Table,
        page: u64,
        lines: &[String],
        tombstones: bool,
    ) -> Result<(), SinkError> {
        self.wide |= page >= 3;
        let tail = if self.wide { "|~" } else { "" };
        let lines: Vec<_> = lines.iter().map(|line| format!("{line}{tail}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        table.evolve(&self.schema())?;
        let batch = batch(&self.schema(), &self.run, page as i64, &lines);
        if tombstones { table.remove(batch) } else { table.write(batch) }
    }

    fn schema(&self) -> Schema {
        schema(if self.wide { WIDE } else { NARROW })
    }

    fn checkpoint(&mut self, pages: u64) -> Checkpoint {
        self.sequence += 1;
        checkpoint(self.sequence, pages, &self.run, &self.schema())
    }
}

/// Small numbers that look random, the same for the same seed.
fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

/// Lets the process die at the n-th step, for every n or every few, and again some steps after it is started
/// again; then lets it end.
fn die_everywhere(story: &Story, every: usize) {
    let whole = story.expect();
    for step in (0..).step_by(every) {
        let place = tempfile::tempdir().expect("a folder");
        let mut struck = 0;
        for (attempt, moments) in [Some(step), Some(step / 2 + 3), None].into_iter().enumerate() {
            fault::after(moments);
            let result = story.run(place.path(), &format!("run-{attempt}"), Begin::Continue);
            let dead = fault::struck();
            fault::after(None);
            match result {
                Ok(()) => assert!(!dead, "step {step}: a failed step was passed over"),
                Err(error) => {
                    assert_eq!(error.code, "disk_full", "step {step}, attempt {attempt}: {error:?}");
                    struck += 1;
                }
            }
            let seen = story.lines(place.path());
            let replaced = story.spec.disposition == Disposition::Replace;
            assert!(!replaced || seen.is_empty() || seen == whole, "step {step}: a part of it was visible");
            if dead {
                continue;
            }
            assert_eq!(seen, whole, "step {step}, attempt {attempt}");
            nothing_is_left(place.path());
        }
        if struck == 0 {
            assert!(step > 30, "{step} steps are too few to be true");
            return;
        }
    }
}

/// What a table's own folder holds after a run: the last versions, and what belongs to the newest.
#[track_caller]
fn nothing_is_left(dir: &Path) {
    let control = dir.join(".t.sync");
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).expect("listed");
        let mut names: Vec<_> =
            entries.map(|e| e.expect("listed").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let (versions, others): (Vec<_>, Vec<_>) =
        names(&control).into_iter().partition(|name| name.bytes().all(|b| b.is_ascii_digit()));
    assert_eq!(others, ["keys", "lock", "log", "owner.json", "staged"]);
    let shown = fs::canonicalize(dir.join("t")).expect("the link");
    let newest = versions.last().expect("a version");
    assert!(shown.ends_with(newest) && versions.len() <= 3, "{shown:?} of {versions:?}");
    assert_eq!(names(&control.join("staged")), [] as [&str; 0]);
    let mut keys: Vec<_> = names(&shown)
        .iter()
        .filter_map(|name| name.strip_suffix(".parquet").map(|n| format!("{n}.keys")))
        .collect();
    keys.sort();
    let kept = names(&control.join("keys"));
    assert!(kept.iter().all(|name| keys.contains(name)), "{kept:?} for {keys:?}");
}

#[test]
fn a_history_survives_death_at_every_step() {
    let story = Story::new(Disposition::History, 21, 4096, 4000);
    die_everywhere(&Story { removes: true, ..story }, 1);
}

#[test]
fn deletions_survive_death_at_every_step() {
    let story = Story::new(Disposition::Merge, 22, 4096, 4000);
    die_everywhere(&Story { removes: true, ..story }, 1);
    let story = Story::new(Disposition::Merge, 23, 4096, 4000);
    die_everywhere(&Story { removes: true, spec: story.spec.deleted("_deleted"), ..story }, 1);
    let story = Story::new(Disposition::Append, 24, 4096, 4000);
    die_everywhere(&Story { removes: true, spec: story.spec.deleted("_deleted"), ..story }, 3);
}

#[test]
fn merge_survives_death_at_every_step() {
    die_everywhere(&Story::new(Disposition::Merge, 1, 8 << 20, 1 << 20), 1);
}

#[test]
fn merge_survives_with_tiny_files_and_memory() {
    die_everywhere(&Story::new(Disposition::Merge, 2, 4096, 1), 7);
}

#[test]
fn append_survives_death_at_every_step() {
    die_everywhere(&Story::new(Disposition::Append, 3, 4096, 4000), 1);
}

#[test]
fn replace_survives_death_at_every_step() {
    die_everywhere(&Story::new(Disposition::Replace, 4, 4096, 4000), 1);
}

#[test]
fn a_restarted_listing_survives_death_at_every_step() {
    let story = Story::new(Disposition::Replace, 5, 4096, 1);
    die_everywhere(&Story { restart_after: Some(4), ..story }, 11);
}

#[test]
fn a_full_refresh_shows_the_old_table_or_the_new_one() {
    let mut before = Story::new(Disposition::Merge, 6, 4096, 4000);
    let after = Story::new(Disposition::Merge, 7, 4096, 4000);
    before.pages.truncate(2);
    let (old, new) = (before.expect(), after.expect());
    assert_ne!(old, new);
    for step in 0.. {
        let place = tempfile::tempdir().expect("a folder");
        before.run(place.path(), "run-0", Begin::Continue).expect("nothing is in its way");
        fault::after(Some(step));
        let died = after.run(place.path(), "run-1", Begin::Anew).is_err();
        fault::after(None);
        let seen = after.lines(place.path());
        assert!(seen == old || seen == new, "step {step}: {seen:?}");
        if !died {
            assert_eq!(seen, new);
            return;
        }
        let building = open(place.path(), &after.spec).expect("it opens").opened().building;
        if building {
            after.run(place.path(), "run-2", Begin::Continue).expect("nothing is in its way");
            assert_eq!(after.lines(place.path()), new, "step {step}");
        }
    }
}

/// Two commits in the log, none of them visible.
fn with_log(dir: &Path, disposition: Disposition) -> BTreeMap<u64, u64> {
    let (spec, columns) = (spec("t", &["id"], disposition), schema("id:int v:text"));
    let mut table = open(dir, &spec).expect("it opens");
    let log = dir.join(".t.sync/log");
    let mut ends = BTreeMap::new();
    table.evolve(&columns).expect("evolved");
    for page in 1..=2 {
        table.write(batch(&columns, &spec.run, 0, &[&format!("{page}|a"), "9|b"])).expect("written");
        table.commit(&checkpoint(page, page, &spec.run, &columns)).expect("committed");
        ends.insert(fs::metadata(&log).expect("the log").len(), page);
    }
    ends
}

#[test]
fn a_log_cut_at_any_byte_gives_the_last_whole_commit() {
    for disposition in [Disposition::Merge, Disposition::Replace] {
        let place = tempfile::tempdir().expect("a folder");
        let ends = with_log(place.path(), disposition);
        let log = fs::read(place.path().join(".t.sync/log")).expect("the log");
        for cut in 0..=log.len() {
            let expect = ends.range(..=cut as u64).next_back().map(|end| *end.1);
            check_recovered(place.path(), disposition, &log[..cut], expect);
            let near = |end: &u64| end.abs_diff(cut as u64) <= 1;
            if disposition == Disposition::Merge && ends.keys().any(near) {
                check_rows(place.path(), &log[..cut], expect);
            }
        }
    }
}

#[test]
fn a_log_with_any_byte_changed_gives_a_commit_before_it() {
    let place = tempfile::tempdir().expect("a folder");
    let ends = with_log(place.path(), Disposition::Merge);
    let log = fs::read(place.path().join(".t.sync/log")).expect("the log");
    for at in (0..log.len()).step_by(7) {
        let mut changed = log.clone();
        changed[at] ^= 0x40;
        let expect = ends.range(..=at as u64).next_back().map(|end| *end.1);
        check_recovered(place.path(), Disposition::Merge, &changed, expect);
    }
}

/// A table whose log is this one goes on from the checkpoint of this sequence.
#[track_caller]
fn check_recovered(dir: &Path, disposition: Disposition, log: &[u8], expect: Option<u64>) {
    fs::write(dir.join(".t.sync/log"), log).expect("written");
    let table = open(dir, &spec("t", &["id"], disposition).run("run-2")).expect("it opens");
    assert_eq!(table.opened().checkpoint.as_ref().map(|c| c.sequence), expect);
    assert_eq!(table.opened().building, disposition == Disposition::Replace && expect.is_some());
}

/// And it has the rows that go with it.
#[track_caller]
fn check_rows(dir: &Path, log: &[u8], expect: Option<u64>) {
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(dir, copy.path());
    fs::write(copy.path().join(".t.sync/log"), log).expect("written");
    let spec = spec("t", &["id"], Disposition::Merge).run("run-2");
    open(copy.path(), &spec).expect("it opens").publish().expect("published");
    let mut rows: Vec<_> = (1..=expect.unwrap_or(0)).map(|page| format!("{page}|a")).collect();
    rows.extend(expect.map(|_| "9|b".to_owned()));
    assert_eq!(lines(copy.path(), "t"), rows);
}

/// Copies a folder as it is, links as links.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let (kind, target) = (entry.file_type().expect("a kind"), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target);
        } else if kind.is_symlink() {
            #[cfg(unix)]
            std::os::unix::fs::symlink(fs::read_link(entry.path()).expect("a link"), target).expect("linked");
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The disk of a machine that died is a copy of the folder between any two calls.
#[test]
fn a_copy_taken_between_any_two_calls_goes_on() {
    for (seed, disposition) in
        [(11, Disposition::Merge), (12, Disposition::Append), (13, Disposition::Replace)]
    {
        let story = Story::new(disposition, seed, 1 << 20, 1);
        let whole = story.expect();
        let place = tempfile::tempdir().expect("a folder");
        let spec = story.spec.run("run-1");
        let mut table = open(place.path(), &spec).expect("it opens");
        let mut next = Next::after(None, &spec.run);
        let survives = |when: &str| {
            let copy = tempfile::tempdir().expect("a folder");
            copy_folder(place.path(), copy.path());
            story.run(copy.path(), "run-2", Begin::Continue).expect("nothing is in its way");
            assert_eq!(story.lines(copy.path()), whole, "{} {when}", disposition.as_str());
        };
        for (index, page) in story.pages.iter().enumerate() {
            next.write(&mut *table, index as u64, page, false).expect("written");
            survives("after a write");
            table.commit(&next.checkpoint(index as u64 + 1)).expect("committed");
            survives("after a commit");
            if index % 4 == 1 {
                table.publish().expect("published");
                survives("after a publication");
            }
        }
    }
}
