//! A test as a process of its own, in namespaces of its own: `docker0` of the machine inside is not that of this host,
//! and whatever is started inside ends with it.
//!
//! The registry, the store and the published ports are on the loopback of that network, so the test itself has to be
//! there, too; and `DOCKER_HOST` is that of the engine inside for all that it starts. So a test runs twice: first in
//! the test program, where it starts the same program once more for itself alone, and then there, where it works.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::machine::{clear_cgroup, new_folder, sweep_the_dead};

/// Where the machine has its files; set only inside.
const FOLDER: &str = "TIDEGATE_TEST_MACHINE";

/// Runs `inside` in a process and a network of its own, with the folder of its machine. `test` is the name of the test.
pub fn alone<F: Future<Output = ()>>(test: &str, inside: impl FnOnce(PathBuf) -> F) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(inside(folder.into()));
    }
    sweep_the_dead();
    let folder = new_folder();
    let bridge = || Path::new("/sys/class/net/docker0").exists();
    let had_bridge = bridge();
    let (_, module) = module_path!().split_once("::").unwrap();
    let test = format!("{}::{test}", module.rsplit_once("::").unwrap().0);
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    // Whatever ends this process ends that one, and with it, the first of its namespace, all that it has started.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child=KILL"]);
    command.args(["sh", "-ec", "exec 2>&1; ip link set lo up; \"$@\"; exit", "alone"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", &test, "--nocapture"]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("TMPDIR", temporary);
    command.env(FOLDER, folder.path());
    command.env("DOCKER_HOST", format!("unix://{}", folder.path().join("docker.sock").display()));
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut has_passed = false;
    for line in BufReader::new(process.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        has_passed |= line.starts_with("test result: ok. 1 passed; 0 failed");
        println!("{line}");
    }
    let status = process.wait().unwrap();
    clear_cgroup(folder.path());
    assert!(status.success() && has_passed, "it failed inside: {status}");
    assert_eq!(bridge(), had_bridge, "the bridge of this host's engine");
}
