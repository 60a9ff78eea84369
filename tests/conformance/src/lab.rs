//! What the tests share: the instance, the release, the session, and the things of our own.

use crate::Options;
use crate::http::{Http, Session, list, text};
use crate::version::Version;
use serde_json::Value;
use std::time::SystemTime;

/// How everything of our own begins.
const PREFIX: &str = "tidegate-conformance-";

/// The instance under test.
#[derive(Debug)]
pub struct Lab {
    pub options: Options,
    pub http: Http,
    pub version: Version,
    /// The administrator's session, once it is there.
    pub admin: Option<Session>,
    /// A name of our own that nobody else has.
    pub name: String,
}

impl Lab {
    pub fn new(options: Options) -> Result<Self, String> {
        let version = Version::read(&options.version);
        let version = version.ok_or_else(|| format!("{:?} is no release such as v2.5.1", options.version))?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("{PREFIX}{:x}-{:x}", since.as_millis(), std::process::id());
        Ok(Self { http: Http::new(&options.base_url)?, options, version, admin: None, name })
    }

    /// The release is at least that one.
    pub fn since(&self, major: u32, minor: u32, patch: u32) -> bool {
        self.version >= Version(major, minor, patch)
    }

    /// The administrator's session. Only tests that come after the login ask for it.
    pub fn admin(&self) -> Result<&Session, String> {
        self.admin.as_ref().ok_or_else(|| "there is no session".to_owned())
    }

    /// A GET by the administrator.
    pub async fn read(&self, path: &str) -> Result<Value, String> {
        self.http.get(path, Some(self.admin()?)).await?.data()
    }

    /// The workspaces with their applications, by the calls of this release.
    pub async fn everything(&self, session: &Session) -> Result<Vec<(Value, Vec<Value>)>, String> {
        let mut found = Vec::new();
        if self.since(1, 10, 0) {
            for workspace in list(&self.http.get("api/v1/workspaces/home", Some(session)).await?.data()?)? {
                let path = format!("api/v1/applications/home?workspaceId={}", text(workspace, "id"));
                let applications = self.http.get(&path, Some(session)).await?.data()?;
                found.push((workspace.clone(), list(&applications)?.to_vec()));
            }
        } else {
            let all = self.http.get("api/v1/applications/new", Some(session)).await?.data()?;
            for row in list(&all["workspaceApplications"])? {
                found.push((row["workspace"].clone(), list(&row["applications"])?.to_vec()));
            }
        }
        Ok(found)
    }

    /// Takes away what is of our own, also of earlier runs. What fails here shows in the tests.
    pub async fn sweep(&self) {
        let Ok(admin) = self.admin() else { return };
        for (workspace, applications) in self.everything(admin).await.unwrap_or_default() {
            if !text(&workspace, "name").starts_with(PREFIX) {
                continue;
            }
            for application in applications {
                let _ = self.http.delete(&format!("api/v1/applications/{}", text(&application, "id")), admin).await;
            }
            let id = text(&workspace, "id");
            let sources = self.read(&format!("api/v1/datasources?workspaceId={id}")).await.unwrap_or_default();
            for source in list(&sources).unwrap_or_default() {
                let _ = self.http.delete(&format!("api/v1/datasources/{}", text(source, "id")), admin).await;
            }
            let _ = self.http.delete(&format!("api/v1/workspaces/{id}"), admin).await;
        }
    }
}
