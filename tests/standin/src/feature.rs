//! Which release brought what: the one table of everything that differs from version to version.
//!
//! Numbers marked with `~` in the contract (it knows the era, not the release) are the first release of that era.

use crate::version::Version;

/// Something that is there from one release on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `GET /api/v1/health`. Before: 404.
    HealthEndpoint,
    /// `appsmithctl backup` stops nothing, and exits 1 when it failed (~v1.9.x). Before: backend and rts are stopped
    /// meanwhile, and a failure exits 0.
    HotBackup,
    /// The members of a backup lie at its root. Before: in one folder of the archive's own name.
    BackupAtRoot,
    /// `manifest.json` of a backup names the database.
    BackupNamesDatabase,
    /// `datasourceStorages`. Before: the configuration lies on the data source itself (~v1.9.2x).
    DatasourceStorages,
    /// `/opt/appsmith/info.json`. Before: `/opt/appsmith/rts/version.js`.
    InfoFile,
    /// Caddy: `/info`, plain-text errors, a rate limit, request ids. Before: nginx.
    Caddy,
    /// `consolidated-api`. Before: a browser asked for each part.
    ConsolidatedView,
    /// `workspaces/home` and `applications/home`. Before: `applications/new` (~v1.9.x).
    Homes,
    /// Log files by host name, no `cron` program, a health check of three programs (~v1.9.2x).
    Logs,
    /// `APPSMITH_DB_URL` in `docker.env`. Before: `APPSMITH_MONGODB_URI`.
    DbUrl,
    /// `baseId`, and an id of its own for each branch. Before: the default id and a `branchName` header (~v1.5x).
    BaseIds,
    /// `organizationConfiguration`. Before: `tenantConfiguration` (~v1.6x).
    Organization,
    /// `/api/v1/git/applications/…` and `/api/v1/git/artifacts/…`, beside the older paths.
    GitApplications,
    /// Commits that the backend makes by itself after an upgrade (~v1.3x).
    GitAutoCommit,
    /// The version label of the image (the release workflow of 2025).
    ImageLabel,
    /// CSRF tokens. Before: JSON or `X-Requested-By`, except for login and sign-up.
    CsrfTokens,
    /// `appsmithctl enable-form-login`.
    EnableFormLogin,
    /// A Redis password, filled into a `docker.env` that lacks one.
    RedisPassword,
    /// The program `mcp`.
    Mcp,
    /// `appsmithctl restore --non-interactive`.
    UnattendedRestore,
    /// Changed connection settings need the credentials again.
    CredentialsAnew,
    /// At most 20 sign-ups an address and day.
    SignUpLimit,
    /// `docker.env` is parsed as data; shell expressions in it stop the start.
    StrictEnv,
}

impl Feature {
    /// The first release that has it.
    pub const fn since(self) -> Version {
        match self {
            Self::HealthEndpoint => Version::new(1, 9, 3),
            Self::DatasourceStorages => Version::new(1, 9, 20),
            Self::InfoFile => Version::new(1, 9, 32),
            Self::Caddy => Version::new(1, 9, 51),
            Self::ConsolidatedView => Version::new(1, 9, 58),
            Self::Homes | Self::Logs | Self::HotBackup => Version::new(1, 10, 0),
            Self::BackupNamesDatabase => Version::new(1, 19, 0),
            Self::BackupAtRoot => Version::new(1, 51, 0),
            Self::DbUrl => Version::new(1, 27, 0),
            Self::BaseIds => Version::new(1, 50, 0),
            Self::GitApplications => Version::new(1, 56, 0),
            Self::GitAutoCommit => Version::new(1, 30, 0),
            Self::Organization | Self::ImageLabel => Version::new(1, 60, 0),
            Self::CsrfTokens => Version::new(1, 64, 0),
            Self::EnableFormLogin => Version::new(1, 81, 0),
            Self::RedisPassword => Version::new(1, 97, 0),
            Self::Mcp => Version::new(2, 0, 0),
            Self::UnattendedRestore => Version::new(2, 4, 1),
            Self::CredentialsAnew => Version::new(2, 5, 0),
            Self::SignUpLimit | Self::StrictEnv => Version::new(2, 5, 1),
        }
    }
}

impl Version {
    /// Does this release have it?
    pub fn has(self, feature: Feature) -> bool {
        self >= feature.since()
    }

    /// The client's and the server's schema of exported applications. An import takes no newer ones.
    pub fn json_schemas(self) -> (u32, u32) {
        let client = if self >= Self::new(1, 60, 0) { 2 } else { 1 };
        let steps = [((2, 5), 13), ((1, 80), 12), ((1, 50), 11), ((1, 40), 10), ((1, 20), 7)];
        let server = steps.iter().find(|((major, minor), _)| self >= Self::new(*major, *minor, 0));
        (client, server.map_or(4, |(_, schema)| *schema))
    }

    /// The data format (the embedded database's compatibility version) that this release writes.
    pub fn data_format(self) -> u32 {
        if self >= Self::new(2, 2, 0) {
            7
        } else if self >= Self::new(1, 96, 0) {
            6
        } else {
            5
        }
    }

    /// The oldest data format that this release can read and migrate.
    pub fn reads_from(self) -> u32 {
        if self >= Self::new(2, 0, 0) { 6 } else { 5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    /// What the five versions of the conformance run have, one letter a feature.
    #[test]
    fn the_five_versions_differ_as_the_contract_says() {
        let all = [
            Feature::HealthEndpoint,
            Feature::InfoFile,
            Feature::Caddy,
            Feature::ConsolidatedView,
            Feature::Homes,
            Feature::BaseIds,
            Feature::Organization,
            Feature::CsrfTokens,
            Feature::RedisPassword,
            Feature::Mcp,
            Feature::StrictEnv,
        ];
        let row = |text: &str| -> String {
            all.iter().map(|feature| if version(text).has(*feature) { 'x' } else { '.' }).collect()
        };
        assert_eq!(row("v1.9.2"), "...........");
        assert_eq!(row("v1.50"), "xxxxxx.....");
        assert_eq!(row("v1.99"), "xxxxxxxxx..");
        assert_eq!(row("v2.2"), "xxxxxxxxxx.");
        assert_eq!(row("v2.5.1"), "xxxxxxxxxxx");
    }

    #[test]
    fn schemas_are_those_of_the_contract() {
        let of = |text: &str| version(text).json_schemas();
        assert_eq!([of("v1.20"), of("v1.40"), of("v1.50"), of("v1.60")], [(1, 7), (1, 10), (1, 11), (2, 11)]);
        assert_eq!([of("v1.99"), of("v2.4.3"), of("v2.5")], [(2, 12), (2, 12), (2, 13)]);
    }

    #[test]
    fn the_checkpoint_rule_follows_from_the_formats() {
        let skipped = version("v1.90").data_format() < version("v2.0").reads_from();
        let through = version("v1.99").data_format() < version("v2.0").reads_from();
        assert!(skipped && !through);
        assert_eq!(version("v2.1").data_format(), 6, "2.0 and 2.1 can still go back to 1.99");
        assert_eq!(version("v2.2").data_format(), 7);
    }
}
