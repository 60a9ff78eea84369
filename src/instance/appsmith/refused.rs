//! What is kept of a refused login for other processes, so that none of them sends the same password again.
//!
//! Appsmith locks a user out for a day after five refusals, whoever sent them: a daemon and a few commands by hand would
//! soon be five. The password itself is not kept: only what a slow hash with a salt of its own makes of it.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use ring::pbkdf2;
use serde::{Deserialize, Serialize};
use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::instance::secret::Secret;

/// As long as Appsmith counts refusals.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Some hundredths of a second, and only after a refusal.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

/// A refusal, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    user: String,
    /// The id of the container that refused: another one, after a restore or an upgrade, may well take it.
    container: String,
    at: Timestamp,
    salt: String,
    password: String,
}

/// When that password was refused by that container, if that is known and not too long ago. What cannot be read is not
/// known.
pub async fn refused_at(file: &Path, user: &str, container: &str, password: &Secret) -> Option<Timestamp> {
    let mark: Mark = serde_json::from_slice(&fs::read(file).await.ok()?).ok()?;
    // Either way, so that a clock that was wrong blocks nothing for long.
    let is_fresh = Timestamp::now().duration_since(mark.at).abs() < KEPT;
    if !is_fresh || (mark.user.as_str(), mark.container.as_str()) != (user, container) {
        return None;
    }
    (hashed(&mark.salt, password).await? == mark.password).then_some(mark.at)
}

/// Keeps a refusal in place of the one before. Where that fails, other processes know nothing of it.
pub async fn keep(file: &Path, user: &str, container: &str, password: &Secret) {
    let salt = format!("{:032x}", rand::random::<u128>());
    let Some(password) = hashed(&salt, password).await else { return };
    let (user, container) = (user.to_owned(), container.to_owned());
    let mark = Mark { user, container, at: Timestamp::now(), salt, password };
    if let Err(error) = write(file, &mark).await {
        tracing::warn!(file = %file.display(), error = %error, "refused login is not kept for other processes");
    }
}

/// The login works.
pub async fn forget(file: &Path) {
    match fs::remove_file(file).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(file = %file.display(), error = %error, "refusal of before was not removed");
        }
        _ => {}
    }
}

/// Written under another name first: another process reads all of it or nothing.
async fn write(file: &Path, mark: &Mark) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).await?;
    }
    let draft: PathBuf = file.with_extension(format!("{:016x}.tmp", rand::random::<u64>()));
    let mut options = fs::OpenOptions::new();
    let mut new = options.create_new(true).write(true).mode(0o600).open(&draft).await?;
    new.write_all(&serde_json::to_vec_pretty(mark)?).await?;
    new.flush().await?;
    fs::rename(&draft, file).await
}

async fn hashed(salt: &str, password: &Secret) -> Option<String> {
    let (salt, password) = (salt.to_owned(), password.clone());
    let hash = move || {
        let mut hash = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt.as_bytes(), password.reveal().as_bytes(), &mut hash);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    tokio::task::spawn_blocking(hash).await.ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_refusal_is_known_for_that_password_at_that_container_and_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("logins").join("staging.json");
        let password = Secret::new("hunter2");
        assert_eq!(refused_at(&file, "a@b.test", "c1", &password).await, None);
        keep(&file, "a@b.test", "c1", &password).await;
        assert!(refused_at(&file, "a@b.test", "c1", &password).await.is_some());
        for (user, container, other) in
            [("x@b.test", "c1", "hunter2"), ("a@b.test", "c2", "hunter2"), ("a@b.test", "c1", "3")]
        {
            assert_eq!(
                refused_at(&file, user, container, &Secret::new(other)).await,
                None,
                "{user} {container} {other}"
            );
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("hunter2") && std::fs::read_dir(file.parent().unwrap()).unwrap().count() == 1, "{text}");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));

        for hours in [-25, 25] {
            let mut mark: Mark = serde_json::from_str(&text).unwrap();
            mark.at += SignedDuration::from_hours(hours);
            std::fs::write(&file, serde_json::to_vec(&mark).unwrap()).unwrap();
            assert_eq!(refused_at(&file, "a@b.test", "c1", &password).await, None, "{hours}");
        }
        std::fs::write(&file, "{").unwrap();
        assert_eq!(refused_at(&file, "a@b.test", "c1", &password).await, None);
        forget(&file).await;
        forget(&file).await;
        assert!(!file.exists());
    }
}
