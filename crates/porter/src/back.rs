//! Putting back what was set aside.

use std::os::fd::OwnedFd;

use crate::aside::begun;
use crate::ballast;
use crate::cover::Rules;
use crate::error::Trouble;
use crate::fs::{self, Kind};
use crate::journal::{Journal, Stage};
use crate::moves::{Moved, Mover};
use crate::path::Rel;
use crate::place::{ASIDE, FAILED, Place, open_if_there};
use crate::plan::plan;
use crate::recall;

/// Undoes setting aside; says how many entries moved now.
pub(crate) fn back(root: &str, run: &str) -> Result<u64, Trouble> {
    let place = Place::open(root, run)?;
    let Some(mut journal) = begun(&place)? else {
        if crate::place::marker(&place.root)?.as_deref() == Some(run) {
            place.unmark()?;
        }
        return Ok(0);
    };
    if journal.stage == Stage::Finished {
        return Ok(0);
    }
    ballast::give(&place, journal.folder())?;
    if journal.stage == Stage::Planned && !place.is_marked()? {
        // The marker comes before anything moves, so nothing has. There may be no room to write down that it is over.
        put_root_back(&place, &journal)?;
        return Ok(0);
    }
    let mut entries = 0;
    if journal.stage < Stage::Restored {
        place.mark(journal.folder())?;
        if journal.stage < Stage::BackBegun {
            journal.reach(Stage::BackBegun)?;
        }
        if journal.stage < Stage::Cleared {
            // Before everything was set aside nothing was filled in: what lies there is what always lay there.
            entries += if journal.was_set_aside { clear(&place, &journal)? } else { 0 };
            journal.reach(Stage::Cleared)?;
        }
        entries += restore(&place, &journal)?;
        journal.reach(Stage::Restored)?;
    }
    place.unmark()?;
    put_root_back(&place, &journal)?;
    journal.reach(Stage::Finished)?;
    Ok(entries)
}

/// Moves what is new at covered places out of the way.
fn clear(place: &Place, journal: &Journal) -> Result<u64, Trouble> {
    let rules = Rules::new(&journal.cover)?;
    let recalled = journal.recalled.as_ref().map_or(Ok(0), |from| recall::give_back(place, from))?;
    let now = plan(&place.root, &rules)?;
    let failed = fs::ensure_folder(journal.folder(), FAILED, &place.run_path().join(FAILED))?;
    let mut mover = Mover::new(&place.root, &failed);
    let mut entries = recalled;
    for path in &now.moves {
        if mover.shift(path)? == Moved::Occupied {
            entries += out_of_the_way(place, journal, path)?;
        }
    }
    entries += mover.finish()?;
    // Folders that came with the filling stay only where they hold something that was never covered.
    for (path, _) in now.kept.iter().rev().filter(|(path, _)| !journal.kept.iter().any(|(kept, _)| kept == path)) {
        remove_if_empty(&place.root, path)?;
    }
    Ok(entries)
}

fn remove_if_empty(root: &OwnedFd, path: &Rel) -> Result<(), Trouble> {
    let Some((parent, name)) = path.split() else { return Ok(()) };
    let Ok(parent) = fs::walk(root, &parent)? else { return Ok(()) };
    let folder = fs::open_folder(&parent, name, path)?;
    if fs::names(&folder, path)?.is_empty() {
        fs::unlink(&parent, name, path, true)?;
    }
    Ok(())
}

/// Moves one entry to a place under `failed`, or `failed.1` and so on, where nothing lies.
fn out_of_the_way(place: &Place, journal: &Journal, path: &Rel) -> Result<u64, Trouble> {
    for attempt in 0..1000 {
        let name = if attempt == 0 { FAILED.to_vec() } else { format!("failed.{attempt}").into_bytes() };
        let folder = fs::ensure_folder(journal.folder(), &name, &place.run_path().join(&name))?;
        let mut mover = Mover::new(&place.root, &folder);
        if mover.shift(path)? != Moved::Occupied {
            return mover.finish();
        }
    }
    Err(Trouble::refused(format!("cannot move `{path}` out of the way: too many were moved before")))
}

/// Moves what was set aside to where it was, and gives the folders that stayed what they had.
fn restore(place: &Place, journal: &Journal) -> Result<u64, Trouble> {
    let mut entries = 0;
    for (path, _) in &journal.kept {
        entries += ensure_kept(place, journal, path)?;
    }
    if let Some(aside) = open_if_there(journal.folder(), ASIDE, &place.run_path().join(ASIDE))? {
        let mut mover = Mover::new(&aside, &place.root);
        for path in &journal.moves {
            if mover.shift(path)? == Moved::Occupied {
                entries += out_of_the_way(place, journal, path)?;
                mover.shift(path)?;
            }
        }
        entries += mover.finish()?;
    }
    for (path, attributes) in journal.kept.iter().rev() {
        if let Ok(folder) = fs::walk(&place.root, path)? {
            attributes.put_back(&folder, path)?;
            fs::sync(&folder, path)?;
        }
    }
    Ok(entries)
}

/// A folder that stayed is a folder again, whatever was filled in at its place.
fn ensure_kept(place: &Place, journal: &Journal, path: &Rel) -> Result<u64, Trouble> {
    let Some((parent, name)) = path.split() else { return Ok(0) };
    let Ok(parent) = fs::walk(&place.root, &parent)? else {
        return Err(Trouble::refused(format!("the folder of `{path}` is gone")));
    };
    let mut entries = 0;
    if fs::look(&parent, name, path)?.is_some_and(|stat| fs::kind(&stat) != Kind::Folder) {
        entries = out_of_the_way(place, journal, path)?;
    }
    fs::ensure_folder(&parent, name, path)?;
    Ok(entries)
}

/// Taking the marker down changes the root's time once more.
fn put_root_back(place: &Place, journal: &Journal) -> Result<(), Trouble> {
    match journal.kept.iter().find(|(path, _)| *path == Rel::root()) {
        Some((path, attributes)) => {
            attributes.put_back(&place.root, path)?;
            fs::sync(&place.root, path)
        }
        None => Ok(()),
    }
}
