//! A registry on loopback.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Ended when dropped.
pub struct Registry {
    process: Child,
    /// Such as `127.0.0.1:40123`.
    pub address: String,
    folder: tempfile::TempDir,
}

impl Registry {
    /// Waits until it listens.
    pub fn start() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("/usr/bin/docker-registry")
            .arg("serve")
            .arg(&config)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the package docker-registry");
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the registry ended");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ',', ' ']).next().unwrap().trim().to_owned();
            }
        };
        // Somebody has to read on, or the registry blocks one day.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, address, folder }
    }
}

impl Registry {
    /// Loses the layers, and keeps what says that they are there; how many bytes those were.
    pub fn lose_layers(&self) -> u64 {
        let mut lost = 0;
        let mut folders = vec![self.folder.path().join("data/docker/registry/v2/blobs")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let (path, size) = (entry.path(), entry.metadata().unwrap().len());
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::read(&path).unwrap().starts_with(&[0x1f, 0x8b]) {
                    std::fs::remove_file(path).unwrap();
                    lost += size;
                }
            }
        }
        lost
    }

    /// Ends it; its address refuses connections from then on.
    pub fn kill(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}
