//! Readers that are at it while versions change under them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sync_core::Disposition;
use sync_testkit::sink::{SpecExt as _, rows_of, spec};

use super::super::{layout::names, read_folder};
use super::hand;

/// Every version holds rows of one number only, so a mixture shows.
fn version_of(folder: &Path) -> Option<BTreeSet<String>> {
    let batches: Vec<_> = read_folder(folder).ok()?.collect::<Result<_, _>>().ok()?;
    let rows = rows_of(&batches);
    let column = rows.columns.iter().position(|c| c == "version").expect("the column");
    assert_eq!(rows.rows.len(), 40, "all rows of a version");
    Some(rows.rows.into_iter().map(|mut row| row[column].take().expect("a number")).collect())
}

#[test]
fn a_reader_sees_one_version() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("t");
    let (done, reads, listed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Resolves the link first: one version, always. (A reader that is slower than three versions finds its
        // files gone; that is an error, not a mixture.)
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if let Some(versions) = version_of(&folder) {
                    assert_eq!(versions.len(), 1, "{versions:?}");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // Lists in place and opens what it listed by name: the file of that name, or none.
        scope.spawn(|| {
            let mut seen = std::collections::BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                for name in names(&folder).unwrap_or_default() {
                    if let Ok(bytes) = fs::read(folder.join(&name))
                        && !name.starts_with('_')
                    {
                        let before = seen.entry(name).or_insert_with(|| bytes.clone());
                        assert!(*before == bytes, "a name stands for other bytes");
                        listed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        for version in 0..12 {
            let mut hand =
                hand(place.path(), &spec("t", &["id"], Disposition::Merge).run(&format!("run-{version}")));
            hand.evolve("id:int version:int");
            let lines: Vec<_> = (0..40).map(|id| format!("{id}|{version}")).collect();
            for page in lines.chunks(20) {
                hand.write(&page.iter().map(String::as_str).collect::<Vec<_>>());
                hand.commit();
            }
            hand.publish();
            // Readers that saw nothing of it would prove nothing.
            let before = (reads.load(Ordering::Relaxed), listed.load(Ordering::Relaxed));
            while before.0 == reads.load(Ordering::Relaxed) || before.1 == listed.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
