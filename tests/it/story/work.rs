//! The workflows that accidents happen to, what each begins with, and all that must hold at its end.

use std::path::PathBuf;

use super::content::Content;
use super::journal::{Journal, journals};
use super::pair::{BAD, GOOD, Make, OLD, Pair, Site};
use super::side::{Side, side};
use crate::docker::docker_ok;

/// A workflow and what it may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Of the old image.
    Snapshot,
    /// To a good version.
    Upgrade,
    /// To one that migrates and then fails its checks.
    Failing,
    /// From the new version back to a snapshot of the old one.
    Restore,
}

impl Work {
    /// The exit code without any accident.
    pub fn code(self) -> i32 {
        if self == Self::Failing { 5 } else { 0 }
    }

    fn may_end(self, side: Side) -> bool {
        matches!((self, side), (_, Side::Old) | (Self::Upgrade | Self::Restore, Side::New))
    }
}

/// One workflow on staging, tried again and again.
pub struct Trial {
    /// Where.
    pub pair: Pair,
    /// Which.
    pub work: Work,
    /// What the old image had.
    pub before: Content,
    /// Of the old image, where the work is a restore.
    snapshot: String,
}

/// What was there when a try began.
pub struct Begin {
    id: String,
    known: Vec<PathBuf>,
}

impl Trial {
    /// Makes the pair. `test` must be unique among the tests.
    pub async fn new(test: &str, work: Work) -> Self {
        let pair = Pair::start(test, Make { tags: &[GOOD, BAD], ..Make::default() }).await;
        let before = pair.staging.content().await;
        Self { pair, work, before, snapshot: String::new() }
    }

    /// The instance.
    pub fn site(&self) -> &Site {
        &self.pair.staging
    }

    /// For the command line.
    pub fn words(&self) -> Vec<&str> {
        match self.work {
            Work::Snapshot => vec!["snapshot", "staging"],
            Work::Upgrade => vec!["upgrade", GOOD, "--only", "staging"],
            Work::Failing => vec!["upgrade", BAD, "--only", "staging"],
            Work::Restore => vec!["restore", "staging", &self.snapshot],
        }
    }

    /// Puts the instance where the work begins.
    pub async fn prepare(&mut self) {
        let site = self.pair.staging.clone();
        if site.restart_policy().await != site.restart {
            docker_ok(&["update", "--restart", site.restart, &site.container]).await;
        }
        let content = site.content().await;
        let is_fresh = content.is(&self.before);
        if self.work == Work::Restore {
            if self.snapshot.is_empty() {
                self.snapshot = self.pair.snapshot(&site).await;
            }
            if content.is(&self.before.or_recovered()) {
                self.pair.run(&["upgrade", GOOD, "--only", "staging"]).await.expect(0);
            }
        } else if !is_fresh || site.image().await != self.pair.image_id(OLD).await {
            self.pair.create(&site, 2).await;
        }
        site.is_well().await;
    }

    /// To be kept until [`Trial::ended_well`].
    pub async fn begin(&self) -> Begin {
        Begin { id: self.site().id().await, known: journals(&self.pair.state()) }
    }

    /// The journals of runs that were begun since; `None` for one without a first line.
    pub fn journals(&self, begin: &Begin) -> impl Iterator<Item = Option<Journal>> {
        let new = journals(&self.pair.state()).into_iter().filter(|path| !begin.known.contains(path));
        new.map(|path| Journal::read(&path))
    }

    /// The journal of the run that was begun since, if there is one with a first line.
    pub fn journal(&self, begin: &Begin) -> Option<Journal> {
        self.journals(begin).flatten().next()
    }

    /// Image and data belong together, the instance runs, nothing is left, and the journal says so. `before` is what the
    /// old image must have.
    pub async fn ended_well(&self, begin: &Begin, before: &Content, what: &str) {
        println!("judged after {what}");
        let (pair, site) = (&self.pair, self.site());
        let side = side(pair, site, before).await;
        assert!(self.work.may_end(side), "it ended {side:?}: {what}");
        pair.nothing_is_left(site).await;
        if self.work == Work::Snapshot {
            assert_eq!(site.id().await, begin.id, "a snapshot changes no container");
        }
        if let Some(journal) = self.journal(begin) {
            let outcome = journal.outcome.unwrap_or_default();
            let expected = match (self.work, side) {
                (Work::Snapshot, _) => &["completed", "rolled_back"][..],
                (Work::Upgrade, Side::New) | (Work::Restore, Side::Old) => &["completed"],
                _ => &["rolled_back"],
            };
            assert!(expected.contains(&outcome.as_str()), "{side:?} and {outcome}: {what}");
        }
    }
}
