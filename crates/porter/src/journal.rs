//! What a run means to do at a mount, and how far it came: `.tidegate/<run>/journal`, JSON lines.
//!
//! The plan appears as a whole, by rename, before anything moves. After it there is one line for each stage
//! that was completed, appended and flushed. Which entries of a stage that was cut off have moved is seen on
//! disk, where it cannot be wrong.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::error::Trouble;
use crate::fs::{self, Attributes};
use crate::path::Rel;
use crate::plan::Plan;
use crate::protocol::Cover;

const NAME: &[u8] = b"journal";
const FORMAT: u32 = 1;
/// One line an entry; a folder with a million files directly in it still fits.
const MOST_BYTES: usize = 512 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// First.
    Header { format: u32, run: String, cover: Cover },
    /// An entry that moves.
    Entry { path: String },
    /// A folder that stays.
    Kept { path: String, uid: u32, gid: u32, mode: u32, seconds: i64, nanoseconds: i64 },
    /// The plan ends here.
    Planned,
    /// A stage.
    Stage { stage: Stage },
    /// From here on entries that the run `from` had set aside may lie where they were.
    Recalled { from: String },
}

/// How far a run came; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Entries may have moved aside.
    Planned,
    /// Everything was set aside; what lies at covered places since then is new.
    SetAside,
    /// It is being put back, and can only be put back.
    BackBegun,
    /// What was new is out of the way; what lies at covered places since then was put back.
    Cleared,
    /// All lies where it was; the marker may still be there.
    Restored,
    /// All is as it was, and the run has no more to do here.
    Finished,
}

/// A journal that was read or just written.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: OwnedFd,
    path: Rel,
    pub cover: Cover,
    pub moves: Vec<Rel>,
    pub kept: Vec<(Rel, Attributes)>,
    pub stage: Stage,
    /// Everything was set aside before the way back began.
    pub was_set_aside: bool,
    /// The run whose entries may have been brought back in the place of ours.
    pub recalled: Option<String>,
    end: u64,
}

impl Journal {
    /// Writes the plan, on disk when this returns.
    pub fn begin(folder: OwnedFd, path: &Rel, run: &str, cover: &Cover, plan: Plan) -> Result<Self, Trouble> {
        let path = path.join(NAME);
        let mut text = String::new();
        push(&mut text, &Line::Header { format: FORMAT, run: run.to_owned(), cover: cover.clone() })?;
        for entry in &plan.moves {
            push(&mut text, &Line::Entry { path: entry.encode() })?;
        }
        for (kept, Attributes { uid, gid, mode, mtime: (seconds, nanoseconds) }) in &plan.kept {
            let (uid, gid, mode, seconds, nanoseconds) = (*uid, *gid, *mode, *seconds, *nanoseconds);
            push(&mut text, &Line::Kept { path: kept.encode(), uid, gid, mode, seconds, nanoseconds })?;
        }
        push(&mut text, &Line::Planned)?;
        fs::write_whole(&folder, b"journal.new", &folder, NAME, &path, text.as_bytes())?;
        let Plan { moves, kept, .. } = plan;
        let (cover, end) = (cover.clone(), text.len() as u64);
        Ok(Self { folder, path, cover, moves, kept, stage: Stage::Planned, was_set_aside: false, recalled: None, end })
    }

    /// Reads what a run of that name wrote in `folder`. A torn last line is dropped; any other bad line is an error.
    pub fn read(folder: OwnedFd, path: &Rel, run: &str) -> Result<Option<Self>, Trouble> {
        let path = path.join(NAME);
        let Some(content) = fs::read_small(&folder, NAME, &path, MOST_BYTES)? else { return Ok(None) };
        let end = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let bad = || Trouble::refused(format!("`{path}` is not a journal of this version"));
        let mut lines = content[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut next = || lines.next().map(|line| serde_json::from_slice::<Line>(line).map_err(|_| bad())).transpose();
        let cover = match next()? {
            Some(Line::Header { format: FORMAT, run: named, cover }) if named == run => cover,
            _ => return Err(bad()),
        };
        let (mut moves, mut kept) = (Vec::new(), Vec::new());
        loop {
            match next()? {
                Some(Line::Entry { path }) => moves.push(Rel::decode(&path).ok_or_else(bad)?),
                Some(Line::Kept { path, uid, gid, mode, seconds, nanoseconds }) => {
                    let attributes = Attributes { uid, gid, mode, mtime: (seconds, nanoseconds) };
                    kept.push((Rel::decode(&path).ok_or_else(bad)?, attributes));
                }
                Some(Line::Planned) => break,
                _ => return Err(bad()),
            }
        }
        let (mut stage, mut was_set_aside, mut recalled) = (Stage::Planned, false, None);
        while let Some(line) = next()? {
            match line {
                Line::Stage { stage: later } if later > stage => stage = later,
                Line::Recalled { from } if stage == Stage::SetAside && recalled.is_none() => recalled = Some(from),
                _ => return Err(bad()),
            }
            was_set_aside |= stage == Stage::SetAside;
        }
        let end = end as u64;
        Ok(Some(Self { folder, path, cover, moves, kept, stage, was_set_aside, recalled, end }))
    }

    /// Says that a stage is complete, on disk when this returns. What it consists of has to be on disk before.
    pub fn reach(&mut self, stage: Stage) -> Result<(), Trouble> {
        self.append(&Line::Stage { stage })?;
        self.stage = stage;
        self.was_set_aside |= stage == Stage::SetAside;
        Ok(())
    }

    /// Says that entries of the run `from` are about to be brought back, on disk when this returns.
    pub fn recalls(&mut self, from: &str) -> Result<(), Trouble> {
        self.append(&Line::Recalled { from: from.to_owned() })?;
        self.recalled = Some(from.to_owned());
        Ok(())
    }

    fn append(&mut self, line: &Line) -> Result<(), Trouble> {
        let mut text = String::new();
        push(&mut text, line)?;
        fs::append(&self.folder, NAME, &self.path, self.end, text.as_bytes())?;
        self.end += text.len() as u64;
        Ok(())
    }

    /// The run's folder.
    pub fn folder(&self) -> &OwnedFd {
        &self.folder
    }
}

fn push(text: &mut String, line: &Line) -> Result<(), Trouble> {
    let line = serde_json::to_string(line)
        .map_err(|error| Trouble::refused(format!("cannot write a line of the journal: {error}")))?;
    text.push_str(&line);
    text.push('\n');
    Ok(())
}
