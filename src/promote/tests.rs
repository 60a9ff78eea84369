//! On real repositories in temporary folders.

use std::collections::BTreeMap;

use git2::{Repository, Signature, Time};
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::model::ids::CommitId;
use crate::model::promotion::{Address, Schema, Style};

/// A bare repository, as a Git server has it.
struct Server {
    folder: TempDir,
    repository: Repository,
}

/// What an entry of a tree is, beside its content.
const FILE: i32 = 0o100644;
const LINK: i32 = 0o120000;
const SUBMODULE: i32 = 0o160000;

impl Server {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let repository = Repository::init_bare(folder.path().join("app.git")).unwrap();
        Self { folder, repository }
    }

    fn address(&self) -> Address {
        Address::parse(self.folder.path().join("app.git").to_str().unwrap()).unwrap()
    }

    fn git(&self) -> Git {
        Git::new(self.folder.path().join("copies"), Access::default(), Duration::from_secs(60), 1 << 30)
    }

    /// A commit on `branch` whose files are those of its parent with these set, or taken away.
    fn commit(&self, branch: &str, message: &str, files: &[(&str, Option<&str>)]) -> CommitId {
        let reference = format!("refs/heads/{branch}");
        let parent =
            self.repository.refname_to_id(&reference).ok().map(|oid| self.repository.find_commit(oid).unwrap());
        let mut all: BTreeMap<String, (i32, git2::Oid)> = BTreeMap::new();
        if let Some(parent) = &parent {
            let walked = parent.tree().unwrap().walk(git2::TreeWalkMode::PreOrder, |root, entry| {
                if entry.kind() == Some(git2::ObjectType::Blob) {
                    all.insert(format!("{root}{}", entry.name().unwrap()), (entry.filemode(), entry.id()));
                }
                0
            });
            walked.unwrap();
        }
        for (path, content) in files {
            match content {
                Some(text) => {
                    let blob = self.repository.blob(text.as_bytes()).unwrap();
                    all.insert((*path).to_owned(), (FILE, blob));
                }
                None => drop(all.remove(*path)),
            }
        }
        self.commit_entries(branch, message, parent.as_ref(), &all)
    }

    fn commit_entries(
        &self,
        branch: &str,
        message: &str,
        parent: Option<&git2::Commit<'_>>,
        all: &BTreeMap<String, (i32, git2::Oid)>,
    ) -> CommitId {
        let tree = self.tree(all);
        let tree = self.repository.find_tree(tree).unwrap();
        let who = Signature::new("Bob", "bob@example.org", &Time::new(1_780_000_000, 0)).unwrap();
        let parents: Vec<_> = parent.into_iter().collect();
        let reference = format!("refs/heads/{branch}");
        let oid = self.repository.commit(Some(&reference), &who, &who, message, &tree, &parents).unwrap();
        CommitId::new(oid.to_string()).unwrap()
    }

    fn tree(&self, all: &BTreeMap<String, (i32, git2::Oid)>) -> git2::Oid {
        let mut builder = self.repository.treebuilder(None).unwrap();
        let mut folders: BTreeMap<&str, BTreeMap<String, (i32, git2::Oid)>> = BTreeMap::new();
        for (path, entry) in all {
            match path.split_once('/') {
                Some((folder, rest)) => drop(folders.entry(folder).or_default().insert(rest.to_owned(), *entry)),
                None => drop(builder.insert(path, entry.1, entry.0).unwrap()),
            }
        }
        for (folder, inside) in folders {
            builder.insert(folder, self.tree(&inside), 0o040000).unwrap();
        }
        builder.write().unwrap()
    }

    fn branch(&self, name: &str, at: &CommitId) {
        let commit = self.repository.find_commit(git2::Oid::from_str(at.as_str()).unwrap()).unwrap();
        self.repository.branch(name, &commit, true).unwrap();
    }

    fn head(&self, branch: &str) -> CommitId {
        let oid = self.repository.refname_to_id(&format!("refs/heads/{branch}")).unwrap();
        CommitId::new(oid.to_string()).unwrap()
    }

    /// The content of a file on a branch.
    fn file(&self, branch: &str, path: &str) -> Option<String> {
        let oid = self.repository.refname_to_id(&format!("refs/heads/{branch}")).unwrap();
        let tree = self.repository.find_commit(oid).unwrap().tree().unwrap();
        let entry = tree.get_path(std::path::Path::new(path)).ok()?;
        let blob = self.repository.find_blob(entry.id()).unwrap();
        Some(String::from_utf8(blob.content().to_vec()).unwrap())
    }
}

const TABLE: &str = "pages/Home/widgets/Table1.json";
const QUERY: &str = "pages/Home/queries/getOrders/getOrders.txt";

/// production and staging with one app on both.
fn pair() -> Server {
    let server = Server::new();
    let metadata = r#"{"clientSchemaVersion":2,"fileFormatVersion":5,"serverSchemaVersion":12}"#;
    let files = [("metadata.json", Some(metadata)), (TABLE, Some("{}")), (QUERY, Some("SELECT 1"))];
    let first = server.commit("production", "initial", &files);
    server.branch("staging", &first);
    server
}

fn author() -> Author {
    Author {
        name: "Tidegate".into(),
        email: "tidegate@host".into(),
        at: Timestamp::from_second(1_780_000_100).unwrap(),
    }
}

async fn fetched<T: Send + 'static>(
    server: &Server,
    work: impl FnOnce(&Mirror<'_>, &Bounds, Heads) -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    let work = |mirror: &Mirror<'_>, bounds: &Bounds| {
        let heads = mirror.fetch(&["staging", "production"], bounds)?;
        work(mirror, bounds, heads)
    };
    server.git().with(&server.address(), work).await
}

/// Merges staging into production and pushes it.
async fn promote(server: &Server, style: Style) -> (CommitId, Merged) {
    let done = fetched(server, move |mirror, bounds, heads| {
        let (from, into) = (&heads.branches["staging"], &heads.branches["production"]);
        let merged = mirror.merge(from, into, style, &author(), "Promote Orders")?;
        if let Merged::FastForward { commit } | Merged::Commit { commit } = &merged {
            mirror.push(commit, "refs/heads/production", bounds)?;
        }
        Ok((into.clone(), merged))
    });
    done.await.unwrap()
}

/// Takes it back and pushes that.
async fn take_back(server: &Server, before: &CommitId, merged: &Merged) -> Result<CommitId, GitError> {
    let (Merged::FastForward { commit } | Merged::Commit { commit }) = merged else { panic!("{merged:?}") };
    let (before, made) = (before.clone(), commit.clone());
    fetched(server, move |mirror, bounds, heads| {
        let head = &heads.branches["production"];
        let commit = mirror.revert(&before, &made, head, "production", &author(), "Take Orders back")?;
        mirror.push(&commit, "refs/heads/production", bounds)?;
        Ok(commit)
    })
    .await
}

#[tokio::test]
async fn what_would_go_live_is_told_in_things() {
    let server = pair();
    server.commit("staging", "Show open orders\n\nbody", &[(QUERY, Some("SELECT 2")), (TABLE, None)]);
    server.commit("staging", "\x1b[31mMore", &[("datasources/Orders DB.json", Some("{}"))]);
    let told =
        fetched(&server, |mirror, _, heads| mirror.compare(&heads.branches["staging"], &heads.branches["production"]));
    let told = told.await.unwrap();
    assert_eq!((told.ahead, told.behind, told.files), (2, 0, 3));
    let subjects: Vec<&str> = told.commits.iter().map(|commit| commit.subject.as_str()).collect();
    assert_eq!(subjects, ["\u{fffd}[31mMore", "Show open orders"]);
    let changes: Vec<String> = told.changes.iter().map(|it| format!("{} {:?}", it.thing, it.how)).collect();
    assert_eq!(changes, ["data source `Orders DB` Added", "query `getOrders` Changed", "widget `Table1` Removed"]);
    assert_eq!(told.schema, Schema { client: Some(2), server: Some(12), format: Some(5) });
    assert!(told.odd.is_empty());
}

#[tokio::test]
async fn content_that_no_app_has_is_named_and_nothing_follows_it() {
    let server = pair();
    let blob = server.repository.blob(b"/etc/passwd").unwrap();
    let parent = server.repository.find_commit(server.repository.refname_to_id("refs/heads/staging").unwrap()).unwrap();
    let entries = [
        ("link".to_owned(), (LINK, blob)),
        ("module".to_owned(), (SUBMODULE, parent.id())),
        ("metadata.json".to_owned(), (LINK, blob)),
    ];
    server.commit_entries("staging", "odd", Some(&parent), &entries.into());
    let told =
        fetched(&server, |mirror, _, heads| mirror.compare(&heads.branches["staging"], &heads.branches["production"]));
    let told = told.await.unwrap();
    assert_eq!(told.odd, ["`link` is a link", "`metadata.json` is a link", "`module` is a submodule"]);
    // A link is read as the text that it is.
    assert_eq!(told.schema, Schema::default());
}

#[tokio::test]
async fn a_branch_is_brought_over_as_git_does_it() {
    for (style, forward) in [(Style::Ff, true), (Style::NoFf, false), (Style::FfOnly, true)] {
        let server = pair();
        let staged = server.commit("staging", "new", &[(QUERY, Some("SELECT 2"))]);
        let (_, merged) = promote(&server, style).await;
        assert_eq!(merged == Merged::FastForward { commit: staged }, forward, "{style:?} {merged:?}");
        assert_eq!(server.file("production", QUERY).as_deref(), Some("SELECT 2"));
        assert_eq!(promote(&server, style).await.1, Merged::UpToDate);
    }
}

#[tokio::test]
async fn what_both_changed_is_named_and_nothing_moves() {
    let server = pair();
    server.commit("staging", "one", &[(QUERY, Some("SELECT 2")), (TABLE, Some("[]"))]);
    let ours = server.commit("production", "other", &[(QUERY, Some("SELECT 3"))]);
    assert_eq!(promote(&server, Style::Ff).await.1, Merged::Conflicts { paths: vec![QUERY.into()] });
    assert_eq!(promote(&server, Style::FfOnly).await.1, Merged::NotForward);
    assert_eq!(server.head("production"), ours);
}

#[tokio::test]
async fn a_step_that_is_done_again_makes_the_same_commit() {
    let server = pair();
    server.commit("staging", "new", &[(QUERY, Some("SELECT 2"))]);
    let made = async || {
        let merge = |mirror: &Mirror<'_>, _: &Bounds, heads: Heads| {
            mirror.merge(&heads.branches["staging"], &heads.branches["production"], Style::NoFf, &author(), "Promote")
        };
        fetched(&server, merge).await.unwrap()
    };
    assert_eq!(made().await, made().await);
}

#[tokio::test]
async fn what_was_taken_back_comes_again_with_the_next_promotion() {
    for style in [Style::Ff, Style::NoFf] {
        let server = pair();
        server.commit("staging", "one", &[(QUERY, Some("SELECT 2"))]);
        for round in 1..=2 {
            let (before, merged) = promote(&server, style).await;
            // As Appsmith does after each pull.
            let by_itself = "System generated commit, for syncing changes with remote after git pull";
            server.commit("production", by_itself, &[("theme.json", Some("{}"))]);
            take_back(&server, &before, &merged).await.unwrap();
            assert_eq!(server.file("production", QUERY).as_deref(), Some("SELECT 1"), "{style:?} {round}");
            assert_eq!(server.file("production", "theme.json"), None);
            server.commit("staging", "two", &[(TABLE, Some(&format!("[{round}]")))]);
        }
        promote(&server, style).await;
        assert_eq!(server.file("production", QUERY).as_deref(), Some("SELECT 2"), "{style:?}");
        assert_eq!(server.file("production", TABLE).as_deref(), Some("[2]"), "{style:?}");
        assert_eq!(promote(&server, style).await.1, Merged::UpToDate);
    }
}

#[tokio::test]
async fn what_was_taken_back_for_another_reason_comes_again_as_it_is() {
    for style in [Style::Ff, Style::NoFf] {
        let server = pair();
        server.commit("staging", "one", &[(QUERY, Some("SELECT 2"))]);
        let (before, merged) = promote(&server, style).await;
        take_back(&server, &before, &merged).await.unwrap();
        assert_eq!(server.file("production", QUERY).as_deref(), Some("SELECT 1"));
        promote(&server, style).await;
        assert_eq!(server.file("production", QUERY).as_deref(), Some("SELECT 2"), "{style:?}");
        assert_eq!(promote(&server, style).await.1, Merged::UpToDate);
    }
}

#[tokio::test]
async fn what_was_taken_back_twice_comes_a_third_time() {
    for style in [Style::Ff, Style::NoFf] {
        let server = pair();
        server.commit("staging", "one", &[(QUERY, Some("SELECT 2"))]);
        for round in 1..=2 {
            let (before, merged) = promote(&server, style).await;
            assert_eq!(server.file("production", QUERY).as_deref(), Some("SELECT 2"), "{style:?} {round}");
            take_back(&server, &before, &merged).await.unwrap();
            assert_eq!(server.file("production", QUERY).as_deref(), Some("SELECT 1"), "{style:?} {round}");
        }
        server.commit("staging", "mended", &[(TABLE, Some("[2]"))]);
        promote(&server, style).await;
        let now = (server.file("production", QUERY), server.file("production", TABLE));
        assert_eq!(now, (Some("SELECT 2".into()), Some("[2]".into())), "{style:?}");
        assert_eq!(promote(&server, style).await.1, Merged::UpToDate);
    }
}

#[tokio::test]
async fn a_tree_of_trees_is_refused_before_it_is_unfolded() {
    let server = pair();
    let blob = server.repository.blob(b"x").unwrap();
    let mut tree = blob;
    for level in 0..9 {
        let mut builder = server.repository.treebuilder(None).unwrap();
        for name in 0..10 {
            builder.insert(format!("n{name}"), tree, if level == 0 { FILE } else { 0o040000 }).unwrap();
        }
        tree = builder.write().unwrap();
    }
    let who = Signature::new("Eve", "e@x", &Time::new(1_780_000_000, 0)).unwrap();
    let parent = server.repository.refname_to_id("refs/heads/staging").unwrap();
    let parent = server.repository.find_commit(parent).unwrap();
    let tree = server.repository.find_tree(tree).unwrap();
    server.repository.commit(Some("refs/heads/staging"), &who, &who, "bomb", &tree, &[&parent]).unwrap();
    let told =
        fetched(&server, |mirror, _, heads| mirror.compare(&heads.branches["staging"], &heads.branches["production"]));
    assert!(matches!(told.await.unwrap_err(), GitError::TooMany { .. }));
}

#[tokio::test]
async fn what_staging_does_not_have_any_more_does_not_come_again() {
    let server = pair();
    let first = server.head("staging");
    server.commit("staging", "one", &[(QUERY, Some("SELECT 2"))]);
    let (before, merged) = promote(&server, Style::NoFf).await;
    take_back(&server, &before, &merged).await.unwrap();
    // Somebody has begun again from before it.
    server.branch("staging", &first);
    server.commit("staging", "two", &[(TABLE, Some("[2]"))]);
    promote(&server, Style::NoFf).await;
    let now = (server.file("production", QUERY), server.file("production", TABLE));
    assert_eq!(now, (Some("SELECT 1".into()), Some("[2]".into())));
}

#[tokio::test]
async fn a_commit_of_somebody_else_is_not_taken_back() {
    let server = pair();
    server.commit("staging", "one", &[(QUERY, Some("SELECT 2"))]);
    let (before, merged) = promote(&server, Style::Ff).await;
    let theirs = server.commit("production", "A hot fix", &[(TABLE, Some("[9]"))]);
    let error = take_back(&server, &before, &merged).await.unwrap_err();
    assert!(matches!(&error, GitError::Others { count: 1, first, .. } if first.ends_with(" A hot fix")), "{error}");
    assert_eq!(server.head("production"), theirs);
}

#[tokio::test]
async fn a_push_onto_a_branch_that_moved_is_refused() {
    let server = pair();
    server.commit("staging", "one", &[(QUERY, Some("SELECT 2"))]);
    let repository = server.folder.path().join("app.git");
    let pushed = fetched(&server, move |mirror, bounds, heads| {
        let (from, into) = (&heads.branches["staging"], &heads.branches["production"]);
        let Merged::Commit { commit } = mirror.merge(from, into, Style::NoFf, &author(), "Promote")? else { panic!() };
        // Somebody else is quicker.
        let theirs = Repository::open_bare(&repository).unwrap();
        let (head, who) =
            (theirs.refname_to_id("refs/heads/production").unwrap(), Signature::now("Eve", "e@x").unwrap());
        let head = theirs.find_commit(head).unwrap();
        let tree = head.tree().unwrap();
        theirs.commit(Some("refs/heads/production"), &who, &who, "A hot fix", &tree, &[&head]).unwrap();
        mirror.push(&commit, "refs/heads/production", bounds)
    });
    assert!(matches!(pushed.await.unwrap_err(), GitError::Moved { .. }));
    assert_eq!(server.file("production", QUERY).as_deref(), Some("SELECT 1"));
}

#[tokio::test]
async fn a_missing_branch_and_a_missing_repository_are_named() {
    let server = pair();
    let fetch = |mirror: &Mirror<'_>, bounds: &Bounds| mirror.fetch(&["qa"], bounds);
    let error = server.git().with(&server.address(), fetch).await.unwrap_err();
    assert!(matches!(&error, GitError::NoBranch { branch, .. } if branch == "qa"), "{error}");
    let nowhere = Address::parse(server.folder.path().join("none.git").to_str().unwrap()).unwrap();
    assert!(server.git().with(&nowhere, fetch).await.is_err());
}

#[tokio::test]
async fn a_copy_that_is_damaged_is_made_anew() {
    let server = pair();
    let heads = |_: &Mirror<'_>, _: &Bounds, heads| Ok(heads);
    let before: Heads = fetched(&server, heads).await.unwrap();
    assert_eq!(before.branches.keys().collect::<Vec<_>>(), ["production", "staging"]);
    let copies = server.folder.path().join("copies");
    for copy in std::fs::read_dir(copies).unwrap() {
        std::fs::remove_file(copy.unwrap().path().join("HEAD")).unwrap();
    }
    assert_eq!(fetched(&server, heads).await.unwrap(), before);
}

#[tokio::test]
async fn more_bytes_than_allowed_end_a_fetch() {
    let server = pair();
    // Random, so that it cannot be packed.
    let big: String = (0..200_000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    server.commit("staging", "big", &[("big", Some(&big))]);
    let folder = server.folder.path().join("copies");
    let small = Git::new(folder, Access::default(), Duration::from_secs(60), 10_000);
    let fetch = |mirror: &Mirror<'_>, bounds: &Bounds| mirror.fetch(&["staging"], bounds);
    let error = small.with(&server.address(), fetch).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { limit_bytes: 10_000, .. }), "{error}");
}
