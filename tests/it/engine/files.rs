//! Reading and filling real volumes and binds.

use std::path::Path;
use std::process::Command;

use tidegate::engine::{EngineError, HelperMount};
use tidegate::model::definition::MountSource;

use super::bench::{Bench, body, chain, collect, docker, members, run, tar_of};

/// A file system in memory that is small; unmounted when dropped.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn new(size: &str) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        mount(folder.path(), size);
        Self(folder)
    }
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
    pub(crate) fn as_mount(&self) -> HelperMount {
        HelperMount { source: MountSource::Bind(self.path().to_str().unwrap().to_owned()), writable: true }
    }
}

pub(crate) fn mount(at: &Path, size: &str) {
    let options = format!("size={size},mode=0755");
    let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tg-engine"]).arg(at));
    assert!(mounted.status.success(), "{}", String::from_utf8_lossy(&mounted.stderr));
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--recursive").arg(self.path()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_apart() {
    let disk = SmallDisk::new("1m");
    let bench = Bench::docker("full").await;
    let helper = bench.name("helper");
    bench.engine.open_helper(&helper, &[disk.as_mount()], &bench.labels("helper")).await.unwrap();
    let tar = tar_of(&[(b"v0/small", 'f', 0o644, b"x"), (b"v0/large", 'f', 0o644, &vec![7; 4 << 20])]);
    let error = bench.engine.archive_in(&helper, body(tar)).await.unwrap_err();
    assert!(matches!(error, EngineError::DiskFull { .. }), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_instance_is_read_through_a_helper() {
    let bench = Bench::docker("read").await;
    let definition = bench.definition("app").await;
    let app = definition.container.as_str();
    bench.engine.create(&definition).await.unwrap();
    bench.engine.start(app).await.unwrap();
    let make = "seq 1 2000000 > /data/large; ln -s /etc/passwd /data/link; mkfifo /data/fifo; mkdir /data/empty";
    docker(&["exec", app, "/bin/busybox", "sh", "-c", make]);
    let sum = docker(&["exec", app, "/bin/busybox", "sha256sum", "/data/large"]);

    let helper = bench.name("helper");
    bench.engine.open_helper(&helper, &[bench.volume("data", false)], &bench.labels("helper")).await.unwrap();
    let tar = collect(bench.engine.archive_out(&helper, "/v0").await.unwrap()).await.unwrap();
    let members = members(&tar);
    let names: Vec<&[u8]> = members.iter().map(|member| &member.0[..]).collect();
    assert_eq!(names, [&b"v0"[..], b"v0/empty", b"v0/fifo", b"v0/large", b"v0/link"]);
    assert_eq!(members[4].3, b"/etc/passwd");
    let found: String =
        sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), &members[3].4))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
    assert_eq!(sum.split_whitespace().next(), Some(found.as_str()));
    assert_eq!(
        bench.engine.archive_out(&helper, "/v0/nothing").await.err().map(|error| error.to_string()),
        Some(format!("there is no `/v0/nothing` in `{helper}`"))
    );
}

/// A folder that holds something that is not covered must not be replaced by a file of an archive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_not_replaced_by_a_file() {
    let bench = Bench::docker("kind").await;
    let helper = bench.name("helper");
    bench.engine.open_helper(&helper, &[bench.volume("data", true)], &bench.labels("helper")).await.unwrap();
    let tar = tar_of(&[(b"v0/data/", 'd', 0o755, b""), (b"v0/data/kept", 'f', 0o644, b"kept")]);
    bench.engine.archive_in(&helper, body(tar)).await.unwrap();
    let error = bench.engine.archive_in(&helper, body(tar_of(&[(b"v0/data", 'f', 0o644, b"file")]))).await.unwrap_err();
    assert!(matches!(error, EngineError::Request { .. }), "{}", chain(&error));
    let tar = collect(bench.engine.archive_out(&helper, "/v0/data/kept").await.unwrap()).await.unwrap();
    assert_eq!(members(&tar)[0].4, b"kept");
}
