//! What Tidegate believes about Appsmith, stated as tests against a running instance: a real one or a stand-in.
//!
//! Each test names the section of the contract that it states. What the contract leaves open is observed and never
//! fails. Nothing here asks for what only a stand-in has.
//!
//! ```text
//! lib -> { container, session, instance, workspaces, applications, queries, files, sources, git } -> lab -> { http, docker }
//! ```
//!
//! It reads, unless it may write: then it makes a workspace of its own (`tidegate-conformance-…`), and takes it away
//! again with all that is in it, also what an earlier run left behind. A query is run only if the caller names it as
//! safe. An account is made only if the caller allows it, since none can be removed through this interface.

mod applications;
mod container;
mod docker;
mod files;
mod git;
mod http;
mod instance;
mod lab;
mod queries;
mod report;
mod session;
mod set_up;
mod sources;
mod version;
mod workspaces;

pub use report::{Outcome, Report};
pub use set_up::{set_up, wait};

/// What to test and how far to go.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the instance answers, such as `http://127.0.0.1:8080`.
    pub base_url: String,
    /// Its container's name; without one, what is seen from inside is not tested.
    pub container: Option<String>,
    /// The release that it should be, such as `v2.5.1`.
    pub version: String,
    /// An administrator of the instance; without one, only what everybody sees is tested.
    pub login: Option<Login>,
    /// Make and change nothing.
    pub read_only: bool,
    /// Make an account, which stays.
    pub may_make_accounts: bool,
    /// Take a backup with Appsmith's own tool. Its archive stays; of more than four the tool itself deletes the oldest.
    pub may_make_backups: bool,
    /// Queries that may be run, as `APP/QUERY`. They must need no value from the page.
    pub safe_queries: Vec<String>,
    /// An empty repository that an application may be connected to. What is pushed there stays.
    pub git: Option<GitRemote>,
}

/// A repository, and how keys get in.
#[derive(Clone, Debug)]
pub struct GitRemote {
    /// Its SSH address, as the instance reaches it.
    pub url: String,
    /// A program that lets the key in, which is its only argument, with the right to push.
    pub allow: std::path::PathBuf,
}

/// An account and its password.
#[derive(Clone)]
pub struct Login {
    /// Its mail address.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Runs every test. An error says that nothing could be tested; what fails is in the report.
pub async fn run(options: Options) -> Result<Report, String> {
    let mut report = Report::default();
    let mut lab = lab::Lab::new(options)?;
    container::test(&lab, &mut report).await;
    instance::test_anonymous(&lab, &mut report).await;
    session::test(&mut lab, &mut report).await;
    if lab.admin.is_some() {
        instance::test_logged_in(&lab, &mut report).await;
        workspaces::test(&lab, &mut report).await;
        sources::test(&lab, &mut report).await;
        queries::test(&lab, &mut report).await;
        git::test(&lab, &mut report).await;
        if lab.options.read_only {
            report.observe("C.6", "read-only: nothing is made, so roles, deployment and files are not tested");
        } else {
            write(&lab, &mut report).await;
        }
    }
    Ok(report)
}

/// What needs a workspace of its own.
async fn write(lab: &lab::Lab, report: &mut Report) {
    lab.sweep().await;
    let workspace = match workspaces::make(lab, report).await {
        Some(workspace) => workspace,
        None => return,
    };
    if let Some(application) = applications::test(lab, report, &workspace).await {
        files::test(lab, report, &workspace, &application).await;
        git::test_ours(lab, report, &workspace, &application).await;
        workspaces::test_roles(lab, report, &workspace, &application).await;
    }
    sources::test_one_of_our_own(lab, report, &workspace).await;
    lab.sweep().await;
    workspaces::test_gone(lab, report, &workspace).await;
}
