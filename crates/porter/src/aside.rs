//! Setting files aside, and saying that what came in their place is complete.

use crate::ballast;
use crate::cover::Rules;
use crate::error::Trouble;
use crate::fs;
use crate::journal::{Journal, Stage};
use crate::moves::{Moved, Mover};
use crate::path::Rel;
use crate::place::{ASIDE, Place};
use crate::plan::{plan, refuse_mount_points};
use crate::protocol::Cover;

/// Moves everything covered aside; says how many entries moved now.
pub(crate) fn aside(root: &str, run: &str, cover: &Cover) -> Result<u64, Trouble> {
    let place = Place::open(root, run)?;
    place.is_marked()?;
    // Once begun, the run's own journal says what it sets aside: whoever asks again may see less than there was.
    let mut journal = match begun(&place)? {
        Some(journal) => match journal.stage {
            Stage::Planned => journal,
            Stage::SetAside => return Ok(0),
            _ => return Err(Trouble::refused(format!("the run `{run}` was put back already"))),
        },
        None => begin(&place, &Rules::new(cover)?, cover)?,
    };
    let rules = Rules::new(&journal.cover)?;
    refuse_mount_points(&place.root, &rules)?;
    ballast::take(&place, &journal)?;
    place.mark(journal.folder())?;

    let target = fs::ensure_folder(journal.folder(), ASIDE, &place.run_path().join(ASIDE))?;
    let mut mover = Mover::new(&place.root, &target);
    for path in &journal.moves {
        if mover.shift(path)? == Moved::Occupied {
            return Err(Trouble::refused(format!("`{path}` came back after it was set aside; something still writes")));
        }
    }
    let entries = mover.finish()?;
    if let Some(path) = plan(&place.root, &rules)?.moves.first() {
        return Err(Trouble::refused(format!("`{path}` appeared while files were set aside; something still writes")));
    }
    journal.reach(Stage::SetAside)?;
    Ok(entries)
}

/// Plans, and refuses before anything is changed.
fn begin(place: &Place, rules: &Rules, cover: &Cover) -> Result<Journal, Trouble> {
    refuse_mount_points(&place.root, rules)?;
    let plan = plan(&place.root, rules)?;
    if let Some(link) = plan.links.first() {
        return Err(Trouble::refused(format!("`{link}` is a symbolic link; what lies behind it cannot be moved")));
    }
    let folder = place.make_run_folder()?;
    Journal::begin(folder, &place.run_path(), &place.run, cover, plan)
}

/// The journal of a run that has begun.
pub(crate) fn begun(place: &Place) -> Result<Option<Journal>, Trouble> {
    match place.run_folder()? {
        Some(folder) => Journal::read(folder, &place.run_path(), &place.run),
        None => Ok(None),
    }
}

/// Flushes everything, then takes the marker down.
pub(crate) fn settle(root: &str, run: &str) -> Result<u64, Trouble> {
    let place = Place::open(root, run)?;
    let marked = place.is_marked()?;
    let stage = begun(&place)?.map(|journal| journal.stage);
    match stage {
        None | Some(Stage::Finished) if !marked => {}
        Some(Stage::SetAside) => {}
        Some(Stage::Planned) => return Err(Trouble::refused(format!("the run `{run}` has not set everything aside"))),
        _ => return Err(Trouble::refused(format!("the run `{run}` is being put back"))),
    }
    fs::sync_all(&place.root)?;
    if marked {
        place.unmark()?;
        place.keep_time()?;
        fs::sync(&place.root, &Rel::root())?;
    }
    Ok(0)
}
