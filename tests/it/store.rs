//! What every store promises, checked on every store; and what only one of them can get wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]
mod contract;
pub(crate) mod dir;
mod faults;
mod moto;
pub(crate) mod proxy;
mod s3;
pub(crate) mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tempfile::TempDir;
use tidegate::model::layout::ObjectKey;
use tidegate::store::s3::{Checksums, S3Credentials, S3Options, S3Store};
use tidegate::stream::{ByteStream, StreamError};
use tidegate_s3::{Options, Server};

pub const PART_BYTES: usize = 5 << 20;
pub const SECRET: &str = "the-secret-of-the-test";

pub fn key(text: &str) -> ObjectKey {
    ObjectKey(text.to_owned())
}

/// `size` bytes that do not repeat with any block's length.
pub fn sample(size: usize) -> Bytes {
    let mut state = 88_172_645_463_325_252_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(next).take(size / 8 + 1).flatten().collect();
    bytes.truncate(size);
    bytes.into()
}

/// `bytes` in uneven blocks.
pub fn body(bytes: &Bytes) -> ByteStream {
    let mut left = bytes.clone();
    let blocks = std::iter::from_fn(move || {
        let block = left.split_to(left.len().min(99_991));
        (!block.is_empty()).then_some(Ok(block))
    });
    stream::iter(blocks).boxed()
}

pub fn broken_body(bytes: &Bytes) -> ByteStream {
    body(bytes).chain(stream::iter([Err(StreamError::Cancelled)])).boxed()
}

/// The bucket `snapshots` of the server at `endpoint`.
pub fn options_at(endpoint: String) -> S3Options {
    S3Options {
        bucket: "snapshots".into(),
        prefix: "/deep/er/".into(),
        endpoint: Some(endpoint),
        region: Some("us-east-1".into()),
        path_style: true,
        ca_file: None,
        part_bytes: PART_BYTES as u64,
        parts_in_flight: 3,
        stall_timeout: Duration::from_secs(20),
        checksums: Checksums::Always,
        credentials: S3Credentials::Key { id: "test".into(), secret: SECRET.into() },
    }
}

/// An S3 server in this process, over real HTTP, with signatures checked.
pub struct Bucket {
    pub server: Server,
    _dir: TempDir,
}

impl Bucket {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            dir: dir.path().join("s3"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            bucket: "snapshots".into(),
            key_id: "test".into(),
            secret: SECRET.into(),
        };
        Self { server: Server::start(options).await.unwrap(), _dir: dir }
    }

    pub fn options(&self) -> S3Options {
        options_at(self.server.endpoint())
    }

    pub async fn store(&self) -> S3Store {
        S3Store::connect(self.options()).await.unwrap()
    }
}
