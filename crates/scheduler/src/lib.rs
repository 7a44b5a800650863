//! When a run starts.
//!
//! A run on the command line is a schedule whose every entry is due once, now: there is one path from "it is
//! time" to a run, and it is walked by every `sync run`.

use sync_core::Stop;

/// What became of an entry of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn<T> {
    /// It ran, and ended with this.
    Ran(T),
    /// The stop was asked for before its turn came.
    Left,
}

/// Lets each entry run once, one after the other, and returns what became of them, in their order.
///
/// The stop is passed on twice: whoever runs was given a copy and ends soon, and no further entry begins.
/// Dropping the future abandons the run under way, which must bear that, and begins no other.
pub async fn once<E, T>(
    entries: impl IntoIterator<Item = E>,
    stop: &Stop,
    mut run: impl AsyncFnMut(E) -> T,
) -> Vec<Turn<T>> {
    let mut turns = Vec::new();
    for entry in entries {
        turns.push(if stop.asked() { Turn::Left } else { Turn::Ran(run(entry).await) });
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_entry_runs_once_in_order() {
        let mut seen = Vec::new();
        let turns = once([1, 2, 3], &Stop::default(), async |n| {
            seen.push(n);
            n * 10
        })
        .await;
        assert_eq!(turns, [Turn::Ran(10), Turn::Ran(20), Turn::Ran(30)]);
        assert_eq!(seen, [1, 2, 3]);
    }

    #[tokio::test]
    async fn nothing_begins_after_the_stop() {
        let stop = Stop::default();
        let turns = once(["a", "b", "c"], &stop, async |name| {
            if name == "b" {
                stop.ask();
            }
            name
        })
        .await;
        assert_eq!(turns, [Turn::Ran("a"), Turn::Ran("b"), Turn::Left]);
    }
}
