//! An S3 server on loopback over a folder, for tests and the demo. It checks every request's signature.
//!
//! Bucket and key together may have about 130 bytes: the server keeps them in a file name.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long requests that are being answered may take when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// What to serve.
#[derive(Clone)]
pub struct Options {
    /// The folder that holds the buckets; made if it is not there.
    pub dir: PathBuf,
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A bucket that is made if it is not there.
    pub bucket: String,
    /// The only access key.
    pub key_id: String,
    /// Its secret.
    pub secret: String,
}

/// A server that runs until it is stopped or dropped.
pub struct Server {
    address: SocketAddr,
    dir: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Binds the address and serves from then on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let Options { dir, listen, bucket, key_id, secret } = options;
        if !listen.ip().is_loopback() {
            let why = format!("{listen} is not a loopback address; this server is for tests only");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if bucket.is_empty() || !bucket.chars().all(plain) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{bucket}` is not a bucket's name")));
        }
        tokio::fs::create_dir_all(dir.join(&bucket)).await?;
        let files = FileSystem::new(&dir).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(key_id, secret));
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, service.build(), stopped));
        Ok(Self { address, dir, stop: Some(stop), task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Such as `http://127.0.0.1:9000`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder that holds the buckets.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Parts of uploads that were neither finished nor aborted.
    pub fn leftover_parts(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names: io::Result<Vec<String>> = names.collect();
        Ok(names?.into_iter().filter(|name| name.starts_with(".upload")).collect())
    }

    /// Answers what was asked, and ends.
    pub async fn stop(mut self) -> io::Result<()> {
        drop(self.stop.take());
        self.task.await.map_err(io::Error::other)
    }
}

async fn serve(listener: TcpListener, service: S3Service, mut stopped: oneshot::Receiver<()>) {
    let http = Builder::new(TokioExecutor::new());
    let open = GracefulShutdown::new();
    loop {
        let socket = tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                // The peer is gone already, or there are too many open files; the next one may do.
                Err(_) => continue,
            },
        };
        let connection = http.serve_connection(TokioIo::new(socket), service.clone()).into_owned();
        let connection = open.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is the client's matter.
            let _ = connection.await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, open.shutdown()).await;
}
