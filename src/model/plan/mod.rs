//! Plans: what a run would do, as data. `--dry-run` prints the very plan that a run carries out.

pub mod choose;
