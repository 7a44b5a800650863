//! Storms: a provider that changes while it is read and has bad days, and a process that dies at every seam. After
//! each the table is what the provider holds, the books balance, and nothing is left over.
//!
//! Everything follows from a seed. `make storm SECONDS=600 SEED=7` goes on for longer, or from another one.

mod model;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use schedule::{Schedule, Seen};

/// Schedules side by side; each spends much of its time waiting for processes to start.
const AT_ONCE: usize = 2;

#[test]
fn whatever_happens_the_table_is_what_the_provider_holds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("SYNC_STORM_SECONDS").unwrap_or(60);
    let first = number("SYNC_STORM_SEED").unwrap_or(1);
    let only = std::env::var("SYNC_STORM_SEED").is_ok() && std::env::var("SYNC_STORM_SECONDS").is_err();
    let (began, next) = (Instant::now(), Mutex::new(first));
    let seen = Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while began.elapsed() < Duration::from_secs(seconds) {
                    let seed = {
                        let mut next = next.lock().expect("nobody panics with it");
                        *next += 1;
                        *next - 1
                    };
                    if only && seed > first {
                        return;
                    }
                    let one = Schedule::new(seed).play();
                    let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    *seen += one;
                }
            });
        }
    });
    let seen = seen.into_inner().expect("nobody panicked");
    seen.tell(first, began.elapsed());
    if !only {
        assert!(seen.schedules > seconds / 4, "{} schedules in {seconds} s are too few", seen.schedules);
        // A busy machine plays fewer schedules, and those hit fewer places: 20 in 73 were seen.
        let least = if seen.schedules < 150 { 12 } else { 20 };
        assert!(seen.seams.len() > least, "too few seams were hit: {:?}", seen.seams);
    }
}

/// How often something happened, by name.
type Tally = BTreeMap<String, u64>;
