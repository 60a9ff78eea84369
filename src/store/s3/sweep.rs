//! Uploads that nobody will end: whoever began them died before the abort. Their parts cost room and are in no list
//! of objects.

use std::time::{Duration, SystemTime};

use super::S3Store;
use crate::store::StoreError;

/// More pages than any bucket has; a server whose pages lead in a circle must not hold anybody up.
const PAGES_MAX: usize = 1_000;

impl S3Store {
    /// Aborts uploads below `prefix` that were begun longer than `age` ago, by the server's clock. A server that cannot
    /// list uploads has none for us.
    pub(super) async fn abort_old_uploads(&self, prefix: &str, age: Duration) -> Result<u64, StoreError> {
        let limit = SystemTime::now().checked_sub(age);
        let prefix = format!("{}{prefix}", self.prefix);
        let (mut marker, mut aborted) = ((None, None), 0);
        for _ in 0..PAGES_MAX {
            let request = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(&prefix);
            let request = request.set_key_marker(marker.0.take()).set_upload_id_marker(marker.1.take());
            let page = match request.send().await {
                Ok(page) => page,
                Err(error) if super::error::is_not_offered(&error) => return Ok(aborted),
                Err(error) => return Err(self.failed("list unfinished uploads", None, error)),
            };
            for upload in page.uploads() {
                // Not every server honours the prefix, and what lies beside it is somebody else's.
                let (Some(key), Some(id)) = (upload.key().filter(|key| key.starts_with(&prefix)), upload.upload_id())
                else {
                    continue;
                };
                let begun = upload.initiated().and_then(|begun| SystemTime::try_from(*begun).ok());
                if begun.zip(limit).is_none_or(|(begun, limit)| begun >= limit) {
                    continue;
                }
                let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(id);
                match request.send().await {
                    Ok(_) => aborted += 1,
                    // Ended by somebody else a moment ago.
                    Err(error) if super::error::is_status(&error, 404) => {}
                    Err(error) => return Err(self.failed("remove an unfinished upload", None, error)),
                }
            }
            let next = (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
            if page.is_truncated() != Some(true) || next.0.is_none() {
                break;
            }
            marker = next;
        }
        Ok(aborted)
    }
}
