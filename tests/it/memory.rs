//! Memory is one number. Needs Linux, for its `/proc`.

use std::time::Duration;

use crate::stage::Stage;

/// The most memory a process has held so far. Source: proc(5), `VmHWM`, in KiB.
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[test]
fn a_run_of_100_000_rows_stays_under_128_mb() {
    for destination in ["sqlite://./x.db", "parquet://./lake"] {
        let stage = Stage::with(|options| {
            options.limits = false;
            options.rows.insert("planhat/companies".to_owned(), 100_000);
        });
        stage.write("p.yaml", &stage.four_lines("planhat", "[companies]", destination));
        let mut child = stage.start(&["p.yaml"], "err.txt");
        let mut peak = 0;
        while child.try_wait().expect("a child").is_none() {
            peak = high_water(child.id()).unwrap_or(0).max(peak);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(child.wait().expect("a child").success(), "{}", crate::support::read(&stage.path("err.txt")));
        assert!(peak > 1_000_000 && peak < 128_000_000, "{destination}: {peak} bytes");
    }
}
