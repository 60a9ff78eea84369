//! One clone below `git-storage`, and the verbs that the interface needs on it.
//!
//! The clone has one working tree for all branches, as the real one has. Whoever calls holds the application's lock.

use super::command::{Done, git, why};
use super::keys::KeyFile;
use super::status::{self, Change};
use super::{Result, Trouble};
use std::path::{Path, PathBuf};

/// A clone, with the key to its remote where there is one.
#[derive(Debug)]
pub struct Repo {
    root: PathBuf,
    key: Option<KeyFile>,
}

/// Who makes a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// His name.
    pub name: String,
    /// His mail address.
    pub email: String,
}

/// What a merge came to, or would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// There is nothing that is not there already.
    UpToDate,
    /// The branch moves forward by so many commits.
    FastForward(u64),
    /// A commit joins the two; so many commits came.
    Merged(u64),
    /// These files were changed on both sides. Nothing was merged.
    Conflicting(Vec<String>),
}

/// How a push ended.
#[derive(Debug)]
pub enum Push {
    /// The remote has it.
    Done,
    /// The remote has commits that are not here.
    Behind,
    /// The host's rules forbid it.
    Declined(String),
}

/// A branch with its commit; `origin/…` is the remote's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    /// Its name.
    pub name: String,
    /// Its commit.
    pub sha: String,
}

impl Repo {
    /// Clones a repository, which may be empty.
    pub async fn make(url: &str, root: &Path, key: KeyFile) -> Result<Self> {
        let parent = root.parent().unwrap_or(root);
        std::fs::create_dir_all(parent).map_err(Trouble::at(parent))?;
        let path = root.display().to_string();
        git(parent, Some(&key), &["clone", "--quiet", "--template=", "--", url, &path]).await?.text()?;
        Ok(Self { root: root.to_owned(), key: Some(key) })
    }

    /// A clone that is there already.
    pub fn open(root: PathBuf, key: Option<KeyFile>) -> Result<Self> {
        if root.join(".git").is_dir() { Ok(Self { root, key }) } else { Err(Trouble::NoClone) }
    }

    /// Its working tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    async fn run(&self, words: &[&str]) -> Result<Done> {
        git(&self.root, self.key.as_ref(), words).await
    }

    async fn must(&self, words: &[&str]) -> Result<String> {
        self.run(words).await?.text()
    }

    /// The branch that is checked out, born or not.
    pub async fn head(&self) -> Result<String> {
        Ok(self.must(&["symbolic-ref", "--short", "HEAD"]).await?.trim().to_owned())
    }

    /// Is there no commit yet?
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(!self.run(&["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]).await?.ok)
    }

    /// All branches, those of the remote too.
    pub async fn refs(&self) -> Result<Vec<Ref>> {
        let format = "--format=%(refname) %(objectname)";
        let text = self.must(&["for-each-ref", format, "refs/heads", "refs/remotes/origin"]).await?;
        let one = |line: &str| {
            let (name, sha) = line.split_once(' ')?;
            let name = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/remotes/"))?;
            (name != "origin/HEAD").then(|| Ref { name: name.to_owned(), sha: sha.to_owned() })
        };
        Ok(text.lines().filter_map(one).collect())
    }

    /// Is there a branch of that name; `origin/…` for one of the remote?
    pub async fn has(&self, name: &str) -> Result<bool> {
        Ok(self.refs().await?.iter().any(|each| each.name == name))
    }

    /// Puts the last commit of a branch into the working tree, and nothing else.
    pub async fn check_out(&self, branch: &str) -> Result<()> {
        self.must(&["checkout", "--quiet", "--force", branch, "--"]).await?;
        self.must(&["reset", "--quiet", "--hard"]).await?;
        self.must(&["clean", "--quiet", "--force", "-d"]).await.map(drop)
    }

    /// Makes a branch at a place and checks it out; the working tree's changes go along.
    pub async fn branch(&self, name: &str, from: &str) -> Result<()> {
        self.must(&["checkout", "--quiet", "--no-track", "-b", name, from, "--"]).await.map(drop)
    }

    /// Deletes a branch here; the remote keeps its own.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.must(&["branch", "--quiet", "-D", "--", name]).await.map(drop)
    }

    /// What is changed in the working tree.
    pub async fn changes(&self) -> Result<Vec<(Change, String)>> {
        let words = ["status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"];
        Ok(status::read(&self.must(&words).await?))
    }

    /// How many commits the branch has that its remote has not, and the other way round.
    pub async fn tracking(&self, branch: &str) -> Result<(u64, u64)> {
        if !self.has(&format!("origin/{branch}")).await? {
            return Ok((0, 0));
        }
        let range = format!("refs/heads/{branch}...refs/remotes/origin/{branch}");
        let counts = self.must(&["rev-list", "--left-right", "--count", &range]).await?;
        let mut numbers = counts.split_whitespace().map(|word| word.parse().unwrap_or(0));
        Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
    }

    /// Asks the remote for its branches.
    pub async fn fetch(&self, prune: bool) -> Result<()> {
        let words: &[&str] = if prune { &["fetch", "-q", "--prune", "origin"] } else { &["fetch", "-q", "origin"] };
        self.must(words).await.map(drop)
    }

    /// Commits everything in the working tree. False if there is nothing to commit, and an empty commit is not wanted.
    pub async fn commit(&self, message: &str, author: &Author, amend: bool, empty: bool) -> Result<bool> {
        self.must(&["add", "--all", "--", "."]).await?;
        if !empty && self.run(&["diff", "--cached", "--quiet"]).await?.ok {
            return Ok(false);
        }
        let name = format!("user.name={}", author.name);
        let email = format!("user.email={}", author.email);
        let mut words = vec!["-c", &name, "-c", &email, "commit", "--quiet", "--no-verify", "-m", message];
        words.extend(amend.then_some("--amend"));
        words.extend(empty.then_some("--allow-empty"));
        self.must(&words).await?;
        Ok(true)
    }

    /// Pushes a branch.
    pub async fn push(&self, branch: &str) -> Result<Push> {
        let spec = format!("refs/heads/{branch}:refs/heads/{branch}");
        let done = self.run(&["push", "--porcelain", "origin", &spec]).await?;
        if done.ok {
            return Ok(Push::Done);
        }
        let said = format!("{}\n{}", done.out, done.err);
        if said.contains("hook declined") || said.contains("[remote rejected]") {
            return Ok(Push::Declined(said));
        }
        let behind = said.contains("(fetch first)") || said.contains("(non-fast-forward)");
        if behind { Ok(Push::Behind) } else { Err(why(done.err)) }
    }

    /// Moves the branch that is checked out, and its files, to a commit.
    pub async fn reset(&self, to: &str) -> Result<()> {
        self.must(&["reset", "--quiet", "--hard", to, "--"]).await.map(drop)
    }

    /// Merges into the branch that is checked out. A conflict leaves everything as it was.
    pub async fn merge(&self, from: &str, message: &str) -> Result<Merge> {
        let plan = self.plan(from, "HEAD").await?;
        if matches!(plan, Merge::UpToDate | Merge::Conflicting(_)) {
            return Ok(plan);
        }
        match self.must(&["merge", "--quiet", "--no-verify", "--no-edit", "-m", message, from]).await {
            Ok(_) => Ok(plan),
            Err(trouble) => {
                let _ = self.run(&["merge", "--abort"]).await;
                Err(trouble)
            }
        }
    }

    /// What merging would come to, without touching a file.
    pub async fn plan(&self, from: &str, into: &str) -> Result<Merge> {
        let range = format!("{into}..{from}");
        let count = self.must(&["rev-list", "--count", &range, "--"]).await?.trim().parse().unwrap_or(0);
        if count == 0 {
            return Ok(Merge::UpToDate);
        }
        if self.run(&["merge-base", "--is-ancestor", into, from]).await?.ok {
            return Ok(Merge::FastForward(count));
        }
        let tried = self.run(&["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", into, from]).await?;
        if tried.ok {
            return Ok(Merge::Merged(count));
        }
        let files: Vec<String> =
            tried.out.split('\0').skip(1).filter(|path| !path.is_empty()).map(str::to_owned).collect();
        if files.is_empty() { Err(Trouble::Failed(tried.err)) } else { Ok(Merge::Conflicting(files)) }
    }

    /// A file as the last commit of a branch has it.
    pub async fn file_of(&self, branch: &str, path: &str) -> Result<Option<String>> {
        let done = self.run(&["show", &format!("refs/heads/{branch}:{path}")]).await?;
        Ok(done.ok.then_some(done.out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn author() -> Author {
        Author { name: "A".into(), email: "a@example.test".into() }
    }

    /// A bare repository and two clones of it.
    async fn lab() -> (tempfile::TempDir, Repo, Repo) {
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("bare.git");
        fs::create_dir(&bare).unwrap();
        git(&bare, None, &["init", "-q", "--bare", "--template=", "--initial-branch=production"])
            .await
            .unwrap()
            .text()
            .unwrap();
        let clone = async |name: &str| {
            let key = KeyFile::write("none").unwrap();
            Repo::make(&bare.display().to_string(), &dir.path().join(name), key).await.unwrap()
        };
        let one = clone("one").await;
        assert!(one.is_empty().await.unwrap());
        assert_eq!(one.head().await.unwrap(), "production");
        put(&one, "a.json", "1").await;
        assert!(matches!(one.push("production").await.unwrap(), Push::Done));
        let two = clone("two").await;
        (dir, one, two)
    }

    async fn put(clone: &Repo, file: &str, text: &str) {
        fs::write(clone.root().join(file), text).unwrap();
        assert!(clone.commit("change", &author(), false, false).await.unwrap());
    }

    #[tokio::test]
    async fn a_push_behind_the_remote_is_told_from_one_that_is_declined() {
        let (dir, one, two) = lab().await;
        put(&two, "b.json", "2").await;
        assert!(matches!(two.push("production").await.unwrap(), Push::Done));
        put(&one, "c.json", "3").await;
        assert!(matches!(one.push("production").await.unwrap(), Push::Behind));
        one.fetch(false).await.unwrap();
        assert_eq!(one.tracking("production").await.unwrap(), (1, 1));
        assert_eq!(one.merge("origin/production", "joined").await.unwrap(), Merge::Merged(1));
        // What a hook of the host would say, in its words: runs of git on this host run no hooks.
        let bare = dir.path().join("bare.git");
        let update = fs::read_to_string(bare.join("config")).unwrap() + "[receive]\n\tdenyDeletes = true\n";
        fs::write(bare.join("config"), update).unwrap();
        let gone = one.run(&["push", "--porcelain", "origin", ":refs/heads/production"]).await.unwrap();
        assert!(!gone.ok && gone.out.contains("[remote rejected]"), "{gone:?}");
    }

    #[tokio::test]
    async fn a_conflict_is_foreseen_and_changes_nothing() {
        let (_dir, one, two) = lab().await;
        put(&two, "a.json", "theirs").await;
        two.push("production").await.unwrap();
        one.fetch(true).await.unwrap();
        assert_eq!(one.plan("origin/production", "HEAD").await.unwrap(), Merge::FastForward(1));
        put(&one, "a.json", "ours").await;
        let before = one.refs().await.unwrap();
        let merged = one.merge("origin/production", "joined").await.unwrap();
        assert_eq!(merged, Merge::Conflicting(vec!["a.json".into()]));
        assert_eq!((one.refs().await.unwrap(), one.changes().await.unwrap()), (before, Vec::new()));
        one.reset("origin/production").await.unwrap();
        assert_eq!(one.merge("origin/production", "joined").await.unwrap(), Merge::UpToDate);
    }

    #[tokio::test]
    async fn checking_out_leaves_only_what_is_committed() {
        let (_dir, one, _two) = lab().await;
        one.branch("staging", "production").await.unwrap();
        fs::write(one.root().join("a.json"), "dirty").unwrap();
        fs::write(one.root().join("new.json"), "dirty").unwrap();
        let kinds: Vec<Change> = one.changes().await.unwrap().into_iter().map(|(change, _)| change).collect();
        assert_eq!(kinds, [Change::Modified, Change::Added]);
        one.check_out("production").await.unwrap();
        assert!(one.changes().await.unwrap().is_empty());
        assert!(!one.commit("nothing", &author(), false, false).await.unwrap());
        one.delete("staging").await.unwrap();
        assert!(!one.has("staging").await.unwrap());
        assert_eq!(one.file_of("production", "a.json").await.unwrap().as_deref(), Some("1"));
    }
}
