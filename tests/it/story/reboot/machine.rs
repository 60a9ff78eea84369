//! A machine with a Docker engine of its own, which can lose its power: one process whose death is that of all others.
//!
//! It is a set of namespaces. In the one of processes the first one is the init: with it the kernel kills the engine,
//! its containerd, the shims, every container and every Tidegate inside, at once. With the one of mounts all that the
//! engine had mounted is gone. `/run` is empty at each boot and the boot id is a new one, as on a real machine. What
//! stays are the engine's files, the state directory, and the network, where the registry and the store are others'.
//! Not imitated: what a power cut takes from the page cache.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::docker::docker;
use crate::story::running::Running;
use crate::story::wait_for;

/// The init. `$1` is the folder of the machine, `$2` the name of its cgroup.
///
/// On another cgroup driver than `cgroupfs` the engine would ask the systemd of the host, and below `/run` it would find
/// the host's containerd.
const INIT: &str = r#"
mount -t tmpfs tmpfs /run
mount --bind "$1/boot_id" /proc/sys/kernel/random/boot_id
ip link delete docker0 2>/dev/null || true
dockerd --config-file "$1/daemon.json" --data-root "$1/data" --exec-root /run/docker --pidfile /run/docker.pid \
    --host "unix://$1/docker.sock" --iptables=false --ip-masq=false \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$2" &
wait
"#;

/// Killed when dropped, with everything inside; also when this process is killed.
pub struct Machine {
    folder: PathBuf,
    power: Option<Power>,
}

/// What is there while it is on.
struct Power {
    /// Waits for the init.
    parent: Child,
    init: Pid,
}

impl Machine {
    /// Switches it on for the first time. `folder` has all that it keeps.
    pub async fn new(folder: &Path) -> Self {
        std::fs::write(folder.join("daemon.json"), "{}").unwrap();
        let mut machine = Self { folder: folder.to_owned(), power: None };
        machine.boot().await;
        machine
    }

    /// Waits until the engine answers, which it does once it has restarted what its policies say.
    pub async fn boot(&mut self) {
        assert!(self.power.is_none(), "it is on");
        clear_cgroup(&self.folder);
        let boot_id = std::fs::read("/proc/sys/kernel/random/uuid").unwrap();
        std::fs::write(self.folder.join("boot_id"), &boot_id).unwrap();
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = std::process::Command::new("unshare");
        command.args(["--pid", "--mount", "--ipc", "--mount-proc", "--fork", "--kill-child=KILL"]);
        command.args(["sh", "-ec", INIT, "init"]).arg(&self.folder).arg(name_of(&self.folder));
        let errors = log.try_clone().unwrap();
        let mut parent = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap();
        let init = wait_for("the init of the machine", async || {
            assert_eq!(parent.try_wait().unwrap(), None, "{}", self.last_words());
            child_of(parent.id())
        })
        .await;
        self.power = Some(Power { parent, init });
        wait_for("the engine of the machine", async || {
            let parent = &mut self.power.as_mut()?.parent;
            assert_eq!(parent.try_wait().unwrap(), None, "{}", self.last_words());
            docker(&["version"]).await.status.success().then_some(())
        })
        .await;
        let mut look = Command::new("/bin/cat");
        let seen = self.inside(look.arg("/proc/sys/kernel/random/boot_id")).output().await.unwrap();
        assert_eq!(seen.stdout, boot_id, "the boot id inside");
    }

    /// The power goes. All that ran is gone when this returns.
    ///
    /// `last` is what ran inside: what brought it there is outside, stands still together with it, and has to go before
    /// the kernel can let go of it.
    pub async fn lose_power(&mut self, last: Running) {
        let mut power = self.power.take().expect("it is on");
        assert_eq!(power.parent.try_wait().unwrap(), None, "it ended by itself: {}", self.last_words());
        kill(power.init, Signal::SIGKILL).unwrap();
        drop(last);
        wait_for("the machine to be dark", async || power.parent.try_wait().unwrap()).await;
    }

    /// The same command, as a process of the machine.
    pub fn inside(&self, command: &Command) -> Command {
        let command = command.as_std();
        let mut inside = Command::new("nsenter");
        inside.args(["--target", &self.init().to_string(), "--mount", "--pid", "--ipc", "--"]);
        inside.arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            inside.env(name, value.unwrap());
        }
        inside
    }

    fn init(&self) -> Pid {
        self.power.as_ref().expect("it is on").init
    }

    fn log(&self) -> PathBuf {
        self.folder.join("machine.log")
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut power) = self.power.take() {
            let _ = kill(power.init, Signal::SIGKILL);
            let _ = power.parent.kill();
            let _ = power.parent.wait();
        }
    }
}

/// The only child of a process.
pub fn child_of(parent: u32) -> Option<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

/// Begins the name of a machine's folder, which is also that of the cgroup of its containers: what a SIGKILL leaves there
/// a reboot would have taken.
const NAME: &str = "tidegate-machine-";

/// For the files of a machine. Removed when dropped.
pub fn new_folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix(&format!("{NAME}{}-", std::process::id())).tempdir().unwrap()
}

fn name_of(folder: &Path) -> &OsStr {
    folder.file_name().expect("a folder of its own")
}

/// Removes what machines of dead processes have left.
pub fn sweep_the_dead() {
    for hierarchy in hierarchies() {
        dead_ones(&hierarchy).iter().for_each(|folder| remove_folders(folder));
    }
    for folder in dead_ones(&std::env::temp_dir()) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// The folders in that one that are named so by a process that is gone.
fn dead_ones(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let is_dead = |entry: &std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(NAME).and_then(|rest| rest.split('-').next());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    entries.filter(is_dead).map(|entry| entry.path()).collect()
}

/// Once all that ran in it is gone.
pub fn clear_cgroup(folder: &Path) {
    for hierarchy in hierarchies() {
        remove_folders(&hierarchy.join(name_of(folder)));
    }
}

/// One for each controller, or a single one.
fn hierarchies() -> Vec<PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let below = std::fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path());
    below.filter(|path| path.is_dir() && !path.is_symlink()).chain([root.clone()]).collect()
}

/// A cgroup cannot be removed with what it holds, and its files not at all.
fn remove_folders(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_folders(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(folder);
}
