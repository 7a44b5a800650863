//! What every sink must do, one story each.

mod append;
mod build;
mod chance;
mod commit;
mod evolve;
mod history;
mod merge;
mod model;
mod share;
mod tombstones;
mod values;

use sync_core::TableSpec;

use super::hand::Ground;

/// A story and its name.
type Story = (&'static str, fn(&Ground));

/// Every story, by theme.
const THEMES: &[&[Story]] = &[
    append::ALL,
    merge::ALL,
    build::ALL,
    commit::ALL,
    evolve::ALL,
    values::ALL,
    share::ALL,
    tombstones::ALL,
    history::ALL,
    model::ALL,
    chance::ALL,
];

/// Every story.
pub(super) fn all() -> impl Iterator<Item = &'static Story> {
    THEMES.iter().copied().flatten()
}

/// A table with a finished listing of the rows `1|old` and `2|old`.
fn with_old_rows(ground: &Ground, spec: &TableSpec) {
    let mut hand = ground.open(spec);
    hand.evolve("id:int v:text");
    hand.write(&["1|old", "2|old"]);
    hand.finish();
    hand.books(2, 0);
}
