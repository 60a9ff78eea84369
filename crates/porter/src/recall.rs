//! Bringing back what an *earlier* run had set aside, in the place of what this run has set aside.

use crate::aside::begun;
use crate::error::Trouble;
use crate::fs;
use crate::journal::{Journal, Stage};
use crate::moves::{Moved, Mover, make_folders};
use crate::path::{Rel, check_run};
use crate::place::{ASIDE, Place, folder_path, open_if_there};

/// Moves what `from` had set aside to where it was; says how many entries moved now.
pub(crate) fn recall(root: &str, run: &str, from: &str) -> Result<u64, Trouble> {
    let place = Place::open(root, run)?;
    let marked = place.is_marked()?;
    let refused = |what: String| Err(Trouble::refused(what));
    let mut journal = match begun(&place)? {
        Some(journal) if journal.stage == Stage::SetAside => journal,
        Some(journal) if journal.stage > Stage::SetAside => {
            return refused(format!("the run `{run}` was put back already"));
        }
        _ => return refused(format!("the run `{run}` has not set everything aside")),
    };
    match (&journal.recalled, marked) {
        (Some(other), _) if other != from => return refused(format!("the run `{run}` brings back `{other}` already")),
        (Some(_), false) => return Ok(0),
        (None, false) => return refused(format!("the run `{run}` is settled already")),
        (_, true) => {}
    }
    let earlier = match earlier(&place, from)? {
        Some(earlier) if earlier.stage == Stage::SetAside => earlier,
        Some(_) => return refused(format!("what the run `{from}` had set aside is not all there, or was put back")),
        None => return refused(format!("nothing is left of what the run `{from}` had set aside")),
    };
    if journal.recalled.is_none() {
        journal.recalls(from)?;
    }
    for (path, _) in &earlier.kept {
        make_folders(&place.root, path)?;
    }
    let aside = fs::ensure_folder(earlier.folder(), ASIDE, &folder_path().join(from.as_bytes()).join(ASIDE))?;
    let mut mover = Mover::new(&aside, &place.root);
    for path in &earlier.moves {
        match mover.shift(path)? {
            Moved::Now => {}
            // It moved before, or somebody has taken it out of our folder: nothing may be started without it.
            Moved::Nothing if is_there(&place, path)? => {}
            Moved::Nothing => return refused(format!("`{path}`, which the run `{from}` had set aside, is gone")),
            Moved::Occupied => {
                return refused(format!("something lies at `{path}`, where what `{from}` had set aside belongs"));
            }
        }
    }
    let entries = mover.finish()?;
    for (path, attributes) in earlier.kept.iter().rev() {
        if let Ok(folder) = fs::walk(&place.root, path)? {
            attributes.put_back(&folder, path)?;
            fs::sync(&folder, path)?;
        }
    }
    Ok(entries)
}

/// Moves what was brought back into the folder of `from` again. Only before anything else was put back: a path that is
/// there afterwards may be of another run.
pub(crate) fn give_back(place: &Place, from: &str) -> Result<u64, Trouble> {
    let Some(earlier) = earlier(place, from)? else { return Ok(0) };
    let aside = fs::ensure_folder(earlier.folder(), ASIDE, &folder_path().join(from.as_bytes()).join(ASIDE))?;
    let mut mover = Mover::new(&place.root, &aside);
    for path in &earlier.moves {
        // What is still in the folder of `from` never came out of it; whatever lies at its place is foreign.
        mover.shift(path)?;
    }
    mover.finish()
}

fn earlier(place: &Place, from: &str) -> Result<Option<Journal>, Trouble> {
    check_run(from)?;
    let Some(folder) = place.folder()? else { return Ok(None) };
    let path = folder_path().join(from.as_bytes());
    match open_if_there(&folder, from.as_bytes(), &path)? {
        Some(folder) => Journal::read(folder, &path, from),
        None => Ok(None),
    }
}

fn is_there(place: &Place, path: &Rel) -> Result<bool, Trouble> {
    let Some((parent, name)) = path.split() else { return Ok(true) };
    match fs::walk(&place.root, &parent)? {
        Ok(folder) => Ok(fs::look(&folder, name, path)?.is_some()),
        Err(_) => Ok(false),
    }
}
