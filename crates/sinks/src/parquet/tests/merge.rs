//! Merging more rows than fit the memory.

use std::collections::BTreeMap;

use sync_core::{Disposition, Sink as _, TableSpec};
use sync_testkit::sink::{SpecExt as _, batch, checkpoint, schema, spec};

use super::{lines, sink};

/// Pages of random keys into a table with little memory and small files, in several runs; the oracle is a map.
#[test]
fn a_big_merge_in_little_memory() {
    let place = tempfile::tempdir().expect("a folder");
    let mut oracle: BTreeMap<u64, String> = BTreeMap::new();
    let columns = schema("id:int v:int o:int");
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut sequence = 0;
    for run in 0..3 {
        let spec = spec("t", &["id"], Disposition::Merge).order("o").run(&format!("run-{run}"));
        let spec = TableSpec { memory: 64 << 10, ..spec };
        let before = oracle.clone();
        let mut table = sink(place.path(), 64 << 10).open(&spec).expect("it opens");
        table.evolve(&columns).expect("evolved");
        let (mut loaded, mut taken) = (0, std::collections::BTreeSet::new());
        for page in 0..12 {
            let mut page_lines = Vec::new();
            for _ in 0..500 {
                let (id, v, o) = (random(5000), random(4), random(100));
                let line = format!("{id}|{v}|{o}");
                let older = |had: &String| had.rsplit('|').next().and_then(|o| o.parse().ok()) > Some(o);
                if !oracle.get(&id).is_some_and(older) {
                    oracle.insert(id, line.clone());
                }
                taken.insert(id);
                page_lines.push(line);
            }
            let page_lines: Vec<_> = page_lines.iter().map(String::as_str).collect();
            table.write(batch(&columns, &spec.run, 0, &page_lines)).expect("written");
            sequence += 1;
            loaded +=
                table.commit(&checkpoint(sequence, page, &spec.run, &columns)).expect("committed").loaded;
            if run == 1 && page == 6 {
                loaded -= table.publish().expect("published").unchanged;
            }
        }
        sequence += 1;
        let finished = table.finish(&checkpoint(sequence, 0, &spec.run, &columns)).expect("finished");
        loaded = loaded + finished.0.loaded - finished.1.unchanged;
        let changed = taken.iter().filter(|id| before.get(id) != oracle.get(id)).count() as u64;
        if run == 1 {
            // A key that changed and changed back between two publications counts.
            assert!(loaded >= changed && loaded < changed + 20, "{loaded} for {changed}");
        } else {
            assert_eq!(loaded, changed, "run {run}");
        }
        let mut expect: Vec<_> = oracle.values().cloned().collect();
        expect.sort();
        assert_eq!(lines(place.path(), "t"), expect, "run {run}");
    }
}
