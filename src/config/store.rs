//! `[store]`: where snapshots go.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::units::ByteSize;
use super::value::{from_string, one_of};

/// Where snapshots go, and how.
#[derive(Clone, Debug)]
pub struct Store {
    /// The bucket or folder.
    pub url: StoreUrl,
    /// The S3 server, such as `https://minio.example:9000`; `None` is Amazon's for the region.
    pub endpoint: Option<String>,
    /// The region that requests are signed for; `None` leaves it to `AWS_REGION` and the standard files.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the host name. Most servers other than Amazon's want that.
    pub path_style: bool,
    /// PEM certificates that are trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Bytes of one part of an upload. S3 takes 10,000 parts, so this bounds an object: 8 MiB allows 78 GiB.
    pub part_size: ByteSize,
    /// Parts in flight at once. Memory in use is about `part_size * (parts_in_flight + 1)`.
    pub parts_in_flight: u16,
    /// How long nothing may move before a transfer is given up.
    pub stall_timeout: Duration,
    /// When uploads carry a checksum.
    pub checksums: Checksums,
    /// `None` leaves the keys to the standard `AWS_*` variables and files.
    pub credentials: Option<Credentials>,
}

/// A bucket or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `s3://bucket/prefix`.
    S3 {
        /// The bucket. It must exist.
        bucket: String,
        /// What the key of every object starts with, without `/` at either end; may be empty.
        prefix: String,
    },
    /// `file:///path`: a folder of this host, absolute.
    Folder(PathBuf),
}

/// When uploads carry a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// On every upload.
    Always,
    /// Only where S3 demands one; for servers that refuse the newer kinds.
    WhenRequired,
}

/// Keys for this store alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Public half.
    pub access_key_id: String,
    /// The file with the secret half; see [`super::read_secret`].
    pub secret_access_key_file: PathBuf,
}

impl Store {
    pub(super) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        let url = section.get("url", StoreUrl::Folder("/var/lib/tidegate/store".into()));
        let endpoint = section.optional_checked("endpoint", |text: &String| http_url(text));
        let path_style = section.get("path_style", endpoint.is_some());
        let credentials = Self::read_credentials(section);
        Self {
            url,
            endpoint,
            path_style,
            credentials,
            region: section.optional("region"),
            ca_file: section.optional_path("ca_file"),
            part_size: section.within("part_size", ByteSize(8 << 20), ByteSize(5 << 20)..=ByteSize(5 << 30)),
            parts_in_flight: section.within("parts_in_flight", 4, 1..=16),
            stall_timeout: section.within("stall_timeout", MINUTE * 2, SECOND..=HOUR),
            checksums: section.get("checksums", Checksums::Always),
        }
    }

    fn read_credentials(section: &mut Section<'_, '_, '_>) -> Option<Credentials> {
        let id = section.optional("access_key_id");
        let file = section.secret_file("secret_access_key", "secret_access_key_file");
        match (id, file) {
            (Some(access_key_id), Some(secret_access_key_file)) => {
                Some(Credentials { access_key_id, secret_access_key_file })
            }
            (Some(_), None) if !section.is_given("secret_access_key") => {
                section.problem("access_key_id", "needs `secret_access_key_file` beside it");
                None
            }
            (None, Some(_)) => {
                section.problem("secret_access_key_file", "needs `access_key_id` beside it");
                None
            }
            _ => None,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

from_string!(StoreUrl, "a store", STORE_HOW, StoreUrl::parse, StoreUrl::to_string);

const STORE_HOW: &str = "write `\"s3://bucket/prefix\"` or `\"file:///path\"`";

impl StoreUrl {
    /// The path of a folder is taken as it is written, without `%` escapes.
    fn parse(text: &str) -> Result<Self, String> {
        // The text is not shown: people put keys into such URLs.
        let wrong = || format!("this is not a store; {STORE_HOW}");
        if let Some(path) = text.strip_prefix("file://") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Folder(path)) } else { Err(wrong()) };
        }
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        if rest.contains('@') {
            return Err("must hold no keys; set `access_key_id` and `secret_access_key_file`".into());
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(fits) {
            return Err("the bucket must be 3 to 63 lower-case letters, digits, `-` and `.`".into());
        }
        let segment = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['?', '#', '\\']);
        if !prefix.is_empty() && !prefix.split('/').all(segment) {
            return Err("the prefix must be names with one `/` between them".into());
        }
        Ok(Self::S3 { bucket: bucket.into(), prefix: prefix.into() })
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => write!(f, "file://{}", path.display()),
        }
    }
}

one_of!(
    Checksums,
    "a choice",
    "write `\"always\"` or `\"when-required\"`",
    "always" => Checksums::Always,
    "when-required" => Checksums::WhenRequired
);

/// Checks an address of HTTP without keys in it. The text is never shown.
pub(super) fn http_url(text: &str) -> Result<(), String> {
    let wrong = || Err("must be an address such as `\"https://app.example:8443\"`".into());
    let Ok(url) = url::Url::parse(text) else { return wrong() };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user and no password".into());
    }
    let plain = url.query().is_none() && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && plain { Ok(()) } else { wrong() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_bucket_or_a_folder() {
        let s3 = |bucket: &str, prefix: &str| Ok(StoreUrl::S3 { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!(StoreUrl::parse("s3://backups"), s3("backups", ""));
        assert_eq!(StoreUrl::parse("s3://backups/a/b/"), s3("backups", "a/b"));
        assert_eq!(StoreUrl::parse("file:///srv/a b"), Ok(StoreUrl::Folder("/srv/a b".into())));
        for text in ["", "backups", "s3://", "s3://Up", "s3://ab", "s3://abc//d", "s3://abc/../d", "file://srv", "/srv"]
        {
            assert!(StoreUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_in_an_address_are_refused_and_not_shown() {
        for error in [
            StoreUrl::parse("s3://AKIA:hunter2@bucket").unwrap_err(),
            StoreUrl::parse("S3://AKIA:hunter2@bucket").unwrap_err(),
            http_url("https://root:hunter2@app.example").unwrap_err(),
            http_url("ftp//hunter2").unwrap_err(),
        ] {
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(http_url("http://127.0.0.1:8080/app"), Ok(()));
        assert!(http_url("http://a/?q").is_err());
    }
}
