//! Where the evidence of looks goes.

use async_trait::async_trait;

use super::browser::Evidence;

/// Keeps what checks saw. Keeping never changes a verdict: one that cannot keep says so in the log.
#[async_trait]
pub trait Album: Send + Sync {
    /// Keeps the evidence of one check, by its id.
    async fn keep(&self, check: &str, evidence: Evidence);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoAlbum;

#[async_trait]
impl Album for NoAlbum {
    async fn keep(&self, _check: &str, _evidence: Evidence) {}
}
