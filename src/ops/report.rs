//! What the checks of one instance came to, with the evidence, for people and for other programs.

use serde::{Deserialize, Serialize};

use super::album::{FolderAlbum, Moment, PageNotes};
use super::history;
use super::run::{self, RunError};
use super::state::StateDir;
use crate::model::ids::{InstanceName, RunId};
use crate::model::observation::Observation;
use crate::model::verdict::Verdict;
use crate::smoke::browser::picture::{Picture, difference};
use crate::stream::BoxError;

/// What was seen of an instance, and what was made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Looked {
    /// Which.
    pub instance: InstanceName,
    /// When, RFC 3339.
    pub at: String,
    /// What it was compared with, in words; `None` where there was nothing to compare with.
    pub against: Option<String>,
    /// What was seen before.
    pub baseline: Option<Observation>,
    /// What was seen.
    pub now: Observation,
    /// The judgement.
    pub verdict: Verdict,
}

/// A look with its pictures. It may be large: it is made for one rendering.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it belongs to.
    pub run: Option<RunId>,
    /// What was seen, and what was made of it.
    pub looked: Looked,
    /// Pages that were seen in a browser, those first that keep the verdict from being a pass.
    pub pages: Vec<Page>,
    /// How many more there are.
    pub left_out: usize,
}

/// How one page looked in a browser.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The check's id.
    pub check: String,
    /// What a person calls it.
    pub title: String,
    /// A PNG of before.
    pub before: Option<Vec<u8>>,
    /// A PNG of now.
    pub after: Option<Vec<u8>>,
    /// The later one, pale, with all that differs in red; `None` where nothing differs.
    pub difference: Option<Vec<u8>>,
    /// The share of pixels that differ, from 0 to 1; `None` where there are not two pictures.
    pub share: Option<f64>,
    /// What was written down of it.
    pub notes: PageNotes,
}

/// Off by so much of 255, two pixels are still one colour: edges of letters are drawn a little differently each time.
const TOLERANCE: u8 = 24;

/// So many pages are shown at the most: all that is shown is in memory, three pictures a page.
const PAGES_MAX: usize = 50;

impl Report {
    /// A look without its pictures.
    pub fn without_pictures(run: Option<RunId>, looked: Looked) -> Self {
        Self { run, looked, pages: Vec::new(), left_out: 0 }
    }

    /// Puts a look and its pictures together.
    pub async fn of(state: &StateDir, run: Option<RunId>, looked: Looked) -> Self {
        let folder = match &run {
            Some(run) => state.pictures(run, &looked.instance),
            None => state.smoke(&looked.instance),
        };
        let (before, after) = (FolderAlbum::of(&folder, Moment::Before), FolderAlbum::of(&folder, Moment::After));
        let seen = |id: &str| looked.now.checks.get(id).filter(|_| id.starts_with("browser:"));
        let ids: Vec<&str> =
            looked.verdict.items.iter().map(|item| item.id.as_str()).filter(|id| seen(id).is_some()).collect();
        let left_out = ids.len().saturating_sub(PAGES_MAX);
        let mut pages = Vec::new();
        for id in ids.into_iter().take(PAGES_MAX) {
            let mut page = Page {
                check: id.to_owned(),
                title: seen(id).map(|seen| seen.title.clone()).unwrap_or_default(),
                before: before.picture(id).await,
                after: after.picture(id).await,
                notes: after.notes(id).await.unwrap_or_default(),
                ..Page::default()
            };
            if let (Some(one), Some(other)) = (page.before.clone(), page.after.clone()) {
                let compared = tokio::task::spawn_blocking(move || compare(&one, &other)).await;
                match compared.map_err(BoxError::from).and_then(|compared| compared) {
                    Ok((share, picture)) => (page.share, page.difference) = (Some(share), picture),
                    Err(error) => tracing::info!(check = %id, error = %error, "pictures not compared"),
                }
            }
            pages.push(page);
        }
        Self { run, pages, left_out, looked }
    }
}

fn compare(before: &[u8], after: &[u8]) -> Result<(f64, Option<Vec<u8>>), BoxError> {
    let found = difference(&Picture::from_png(before)?, &Picture::from_png(after)?, TOLERANCE);
    let picture = if found.share > 0.0 { Some(found.picture.to_png()?) } else { None };
    Ok((found.share, picture))
}

/// The looks that a run judged by, in the order of the plan. Empty where it never came to that.
pub fn of_run(state: &StateDir, run: &RunId) -> Result<Vec<Looked>, RunError> {
    let plan = run::plan_of(&history::story(state, run)?.header)?;
    let looks = plan.instances().into_iter().map(|instance| Ok(state.look(run, &instance)?));
    Ok(looks.collect::<Result<Vec<_>, RunError>>()?.into_iter().flatten().collect())
}
