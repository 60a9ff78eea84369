//! The server's image: Debian's sshd and git with their libraries, a shell, and the gate that forced commands run.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::OnceLock;

use super::{LABEL, run};
use crate::docker::{docker, docker_ok};

/// Lets a key do only what its line says: `git-gate <repository> ro|rw`.
const GATE: &str = r#"#!/bin/sh
set -f
case "$SSH_ORIGINAL_COMMAND" in
  "git-upload-pack '"*"'") verb=upload-pack ;;
  "git-receive-pack '"*"'") verb=receive-pack ;;
  *) echo "ERROR: Only git is served here." >&2; exit 1 ;;
esac
asked=${SSH_ORIGINAL_COMMAND#*\'}
asked=${asked%\'}
asked=${asked#/}
if [ "$asked" != "$1" ]; then
  echo "ERROR: Repository not found." >&2
  exit 1
fi
if [ "$verb" = receive-pack ] && [ "$2" != rw ]; then
  echo "ERROR: The key you are authenticating with has been marked as read only." >&2
  exit 1
fi
exec /usr/bin/git -c "safe.directory=*" "$verb" "/host/repos/$1"
"#;

/// Forbids what the file `protected` of a repository names, one ref a line.
pub const HOOK: &str = r#"#!/bin/sh
while read -r old new ref; do
  [ -f protected ] || continue
  while read -r name; do
    if [ "$name" = "$ref" ]; then
      echo "GH006: Protected branch update failed for $ref." >&2
      exit 1
    fi
  done <protected
done
exit 0
"#;

const CONFIG: &str = "\
Port 22
HostKey /host/keys/host
AuthorizedKeysFile /host/authorized_keys
StrictModes no
PermitRootLogin forced-commands-only
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
AllowUsers git
AcceptEnv GIT_PROTOCOL
PidFile none
";
/// `git` has the files' owner, so that both sides may change what the other made.
const PASSWD: &str = "git:*:0:0:git:/:/bin/sh\nsshd:*:74:74:sshd:/run/sshd:/bin/false\n";

/// Makes the image once a process, unless the same one is there. Its name.
pub async fn make() -> String {
    static TURN: OnceLock<tokio::sync::Semaphore> = OnceLock::new();
    let _turn = TURN.get_or_init(|| tokio::sync::Semaphore::new(1)).acquire().await;
    let mut files: Vec<(String, Vec<u8>, u32)> = vec![
        ("bin/git-gate".into(), GATE.into(), 0o755),
        ("etc/ssh/sshd_config".into(), CONFIG.into(), 0o644),
        ("etc/passwd".into(), PASSWD.into(), 0o644),
        ("etc/group".into(), b"root:x:0:\nsshd:x:74:\n".to_vec(), 0o644),
    ];
    let programs = [("/usr/sbin/sshd", "openssh-server"), ("/usr/bin/git", "git")];
    let mut paths = BTreeSet::new();
    for (program, package) in programs {
        assert!(Path::new(program).exists(), "{program} is missing; Debian's package is {package}");
        paths.insert(program.to_owned());
        let needed = run("ldd", &[program], &[]).await;
        let needed = needed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
        paths.extend(needed.map(str::to_owned));
    }
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        files.push((path.trim_start_matches('/').to_owned(), bytes, 0o755));
    }
    let folders = std::env::var("PATH").unwrap_or_default();
    let shell = folders.split(':').map(|folder| Path::new(folder).join("busybox")).find(|path| path.is_file());
    let shell = shell.expect("busybox is missing; Debian's package is busybox-static");
    files.push(("bin/sh".into(), std::fs::read(shell).unwrap(), 0o755));

    let mut hasher = std::hash::DefaultHasher::new();
    files.hash(&mut hasher);
    let name = format!("tg-githost:{:016x}", hasher.finish());
    if docker(&["image", "inspect", &name]).await.status.success() {
        return name;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut archive = tar::Builder::new(file.reopen().unwrap());
    for folder in ["dev/", "proc/", "sys/", "tmp/", "run/sshd/", "host/"] {
        append(&mut archive, tar::EntryType::Directory, folder, &[], 0o755);
    }
    for (path, bytes, mode) in &files {
        append(&mut archive, tar::EntryType::Regular, path, bytes, *mode);
    }
    archive.finish().unwrap();
    let label = format!("LABEL {LABEL}");
    let entry = r#"ENTRYPOINT ["/usr/sbin/sshd","-D","-e"]"#;
    let path = file.path().to_str().unwrap();
    docker_ok(&["import", "-c", &label, "-c", entry, "-c", "ENV PATH=/usr/bin:/bin", path, &name]).await;
    name
}

fn append(archive: &mut tar::Builder<std::fs::File>, kind: tar::EntryType, path: &str, bytes: &[u8], mode: u32) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path, bytes).unwrap();
}
