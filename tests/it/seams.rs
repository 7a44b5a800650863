//! A process that dies at one seam after the other, and a provider that takes a row away before the next run.

use crate::api::Api;
use crate::stage::Stage;
use crate::support::said;

fn row(id: usize, v: usize) -> String {
    format!("{{\"id\":{id},\"v\":{v}}}")
}

/// The ids of the table.
fn ids(stage: &Stage, destination: &str) -> String {
    if destination.starts_with("sqlite") {
        let query = "SELECT group_concat(id, ' ') FROM (SELECT id FROM things ORDER BY id)";
        return stage.database("x.db").query_row(query, [], |row| row.get(0)).expect("rows");
    }
    let batches = sync_sinks::parquet::read_folder(&stage.path("lake/things")).expect("a table");
    let batches: Vec<_> = batches.map(|batch| batch.expect("readable")).collect();
    let mut ids: Vec<u64> = sync_testkit::sink::rows_of(&batches)
        .lines_of(&["id"])
        .iter()
        .map(|line| line.parse().expect("a number"))
        .collect();
    ids.sort_unstable();
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// A table that each listing makes anew, cut at every seam. The row that goes before the next run was in the listing
/// that died; it must not come back with it.
#[test]
fn what_has_gone_since_does_not_come_back_with_a_table_that_was_cut_short() {
    for destination in ["sqlite://./x.db", "parquet://./lake"] {
        let mut seam = 0;
        loop {
            seam += 1;
            let api = Api::new((0..6).map(|id| row(id, 1)).collect());
            let stage = Stage::new();
            Api::connector(&stage, 3, "");
            api.pipeline(&stage, "p.yaml", "{ write: replace }", destination);
            let died = said(stage.sync(&["run", "p.yaml"]).env("SYNC_FAULT", format!("kill@{seam}")));
            api.rows.lock().expect("free").remove(3);
            let next = stage.run(&["p.yaml"]);
            assert_eq!(next.code, Some(0), "{destination}, seam {seam}: {}", next.err);
            assert_eq!(ids(&stage, destination), "0 1 2 4 5", "{destination}, seam {seam}");
            if died.code.is_some() {
                break;
            }
        }
        assert!(seam > 10, "{destination} passes {seam} seams");
    }
}

/// What was being built is finished, and is the provider's list as well.
#[test]
fn a_refresh_that_was_cut_is_finished_by_the_run_after_it() {
    for destination in ["sqlite://./x.db", "parquet://./lake"] {
        let mut seam = 0;
        loop {
            seam += 1;
            let api = Api::new((0..6).map(|id| row(id, 1)).collect());
            let stage = Stage::new();
            Api::connector(&stage, 3, "");
            api.pipeline(&stage, "p.yaml", "", destination);
            assert_eq!(stage.run(&["p.yaml"]).done(), 6);
            let died = said(
                stage.sync(&["run", "p.yaml", "--full-refresh"]).env("SYNC_FAULT", format!("kill@{seam}")),
            );
            let whole = died.code.is_some();
            api.rows.lock().expect("free").push(row(6, 1));
            let next = stage.run(&["p.yaml"]);
            assert_eq!(next.code, Some(0), "{destination}, seam {seam}: {}", next.err);
            assert_eq!(ids(&stage, destination), "0 1 2 3 4 5 6", "{destination}, seam {seam}");
            if whole {
                break;
            }
        }
        assert!(seam > 10, "{destination} passes {seam} seams");
    }
}
