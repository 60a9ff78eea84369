//! A second S3 server: moto, in Python. It has what the one in this process has not: a list of unfinished uploads, and
//! conditions that hold.
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tidegate::store::s3::{S3Options, S3Store};
use tokio::process::{Child, Command};

use super::options_at;

/// Dies with its parent, so that a test that is killed leaves no server.
const PROGRAM: &str =
    "import ctypes, sys; ctypes.CDLL(None).prctl(1, 9); from moto.server import main; main(sys.argv[1:])";
const LIMIT: Duration = Duration::from_secs(90);

/// Killed when dropped.
pub struct Moto {
    pub address: SocketAddr,
    _child: Child,
}

impl Moto {
    /// With one bucket, `snapshots`.
    pub async fn start() -> Self {
        let python = python();
        let give_up = Instant::now() + LIMIT;
        loop {
            let address = free_address();
            let mut child = Command::new(&python)
                .args(["-c", PROGRAM, "-H", "127.0.0.1", "-p", &address.port().to_string()])
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap_or_else(|error| panic!("cannot start {}: {error}", python.display()));
            // The port may have gone to somebody else in between; then it ends.
            while child.try_wait().unwrap().is_none() {
                let bucket = format!("http://{address}/snapshots");
                if client().put(bucket).send().await.is_ok_and(|made| made.status().is_success()) {
                    return Self { address, _child: child };
                }
                assert!(Instant::now() < give_up, "moto does not answer at {address}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(Instant::now() < give_up, "moto does not start");
        }
    }

    pub fn options(&self) -> S3Options {
        options_at(format!("http://{}", self.address))
    }

    pub async fn store(&self) -> S3Store {
        S3Store::connect(self.options()).await.unwrap()
    }

    /// Keys of the uploads that were neither finished nor aborted. It checks no signatures.
    pub async fn unfinished(&self) -> Vec<String> {
        let listed = client().get(format!("http://{}/snapshots?uploads", self.address)).send().await.unwrap();
        let text = listed.text().await.unwrap();
        let uploads = text.split("<Upload>").skip(1);
        let key = |upload: &str| Some(upload.split_once("<Key>")?.1.split_once("</Key>")?.0.to_owned());
        uploads.map(|upload| key(upload).unwrap()).collect()
    }
}

fn python() -> PathBuf {
    let made = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test/moto/bin/python");
    let python = std::env::var_os("TIDEGATE_MOTO").map_or(made, PathBuf::from);
    assert!(
        python.is_file(),
        "there is no moto at {}; scripts/moto installs it there, or TIDEGATE_MOTO says which Python has it",
        python.display()
    );
    python
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn client() -> reqwest::Client {
    // Another test may have set it first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}
