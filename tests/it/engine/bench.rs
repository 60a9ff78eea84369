//! A place to test an engine on, swept before and after.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tempfile::TempDir;
use tidegate::engine::docker::{DockerEngine, DockerOptions, PorterSource};
use tidegate::engine::fake::{ExecOutcome, FakeEngine, FakeImage};
use tidegate::engine::{ContainerEngine, HelperMount, Labels, LockOwner};
use tidegate::model::definition::{Definition, MountSource, RestartPolicy};
use tidegate::model::ids::ImageId;
use tidegate::model::layout::LABEL_ROLE;
use tidegate::stream::{ByteStream, StreamError};
use tokio::sync::OnceCell;

/// An engine with two images, and names that are this test's own.
pub(crate) struct Bench {
    pub(crate) engine: Arc<dyn ContainerEngine>,
    pub(crate) is_real: bool,
    /// Removed after the containers.
    pub(crate) anonymous: std::sync::Mutex<Anonymous>,
    prefix: String,
    _folder: Option<TempDir>,
}

/// Both images hold busybox, declare a volume at `/declared` and sleep for an hour.
pub(crate) const BOXES: [&str; 2] = ["tg-engine/box:1", "tg-engine/box:2"];

impl Bench {
    /// The engine in memory, with images that answer the few commands of the contract.
    pub(crate) fn fake(_test: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let engine = FakeEngine::new(folder.path());
        for tag in BOXES {
            let image = FakeImage::new(tag).unwrap().volume("/declared").label("tg.box", &tag[tag.len() - 1..]);
            engine.add_image(
                tag,
                image.on_exec(|_, command| match command.last().map(String::as_str) {
                    Some(HANG) => ExecOutcome::Hangs,
                    Some(TALK) => ExecOutcome::ends(3, "out\n", "err\n"),
                    _ => ExecOutcome::ends(127, "", ""),
                }),
            );
        }
        Self {
            engine: Arc::new(engine),
            is_real: false,
            anonymous: Default::default(),
            prefix: "x".into(),
            _folder: Some(folder),
        }
    }

    /// The real engine. A test without one fails.
    pub(crate) async fn docker(test: &str) -> Self {
        static IMAGES: OnceCell<()> = OnceCell::const_new();
        IMAGES.get_or_init(|| async { BOXES.iter().for_each(|tag| import_box(tag)) }).await;
        let bench = Self {
            engine: Arc::new(docker_engine()),
            is_real: true,
            anonymous: Default::default(),
            prefix: format!("tg-engine-{}", test.replace('_', "-")),
            _folder: None,
        };
        bench.sweep();
        bench
    }

    pub(crate) fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    pub(crate) async fn image(&self, index: usize) -> ImageId {
        self.engine.image(BOXES[index]).await.unwrap().expect("the image of the bench").id
    }

    /// A container of the first image that sleeps, with a volume at `/data` and one at the declared place: an
    /// anonymous one would be left by every test, since removing a container keeps its volumes.
    pub(crate) async fn definition(&self, container: &str) -> Definition {
        Definition {
            container: self.name(container),
            image_ref: BOXES[0].into(),
            image_id: self.image(0).await,
            restart: RestartPolicy { name: "always".into(), max_retries: 0 },
            config: json!({ "Env": ["TOKEN=secret"], "Labels": { "tg.given": "yes" } }),
            host_config: json!({
                "Binds": [format!("{}:/data", self.name("data")), format!("{}:/declared", self.name("declared"))],
                "NetworkMode": "none",
            }),
            networks: std::collections::BTreeMap::new(),
            mounts: Vec::new(),
            lost: Vec::new(),
        }
    }

    pub(crate) fn labels(&self, role: &str) -> Labels {
        Labels::from([(LABEL_ROLE.into(), role.into()), ("tg.bench".into(), self.prefix.clone())])
    }

    /// A mount of the volume that is called so in this test.
    pub(crate) fn volume(&self, what: &str, writable: bool) -> HelperMount {
        HelperMount { source: MountSource::Volume(self.name(what)), writable }
    }

    fn sweep(&self) {
        if !self.is_real {
            return;
        }
        // Containers first: they hold the rest.
        for (list, remove) in [
            (&["ps", "-aq", "--no-trunc"][..], &["rm", "-fv"][..]),
            (&["volume", "ls", "-q"], &["volume", "rm"]),
            (&["network", "ls", "-q"], &["network", "rm"]),
        ] {
            let filter = format!("name=^/?{}-", self.prefix);
            let found = run(Command::new("docker").args(list).args(["--filter", &filter]));
            let found = String::from_utf8_lossy(&found.stdout).into_owned();
            if !found.trim().is_empty() {
                run(Command::new("docker").args(remove).args(found.split_whitespace()));
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.sweep();
    }
}

/// For the fake, the last word of a command says what it does; for the real one they are scripts.
pub(crate) const HANG: &str = "sleep 4711 & sleep 4711";
pub(crate) const TALK: &str = "echo out; echo err >&2; exit 3";

pub(crate) fn sh(script: &str) -> Vec<String> {
    ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec()
}

pub(crate) fn owner(run: &str, pid: u32) -> LockOwner {
    LockOwner {
        run: run.into(),
        machine: "machine".into(),
        pid_namespace: "pid:[1]".into(),
        host: "here".into(),
        boot_id: "boot".into(),
        pid,
        pid_started: 7,
        taken_at: "2026-11-21T10:15:30Z".into(),
    }
}

pub(crate) fn docker_engine() -> DockerEngine {
    let porter = PorterSource::File(porter_program());
    DockerEngine::connect(DockerOptions { porter, ..Default::default() }).expect("a Docker engine")
}

/// Built once for all tests, and again after its sources changed: cargo knows.
fn porter_program() -> std::path::PathBuf {
    static BUILT: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    BUILT
        .get_or_init(|| {
            let built = run(&mut Command::new(root.join("scripts/build-porter")));
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            root.join("target/debug/tidegate-porter-static")
        })
        .clone()
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a `docker` command says; panics if it fails.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = run(Command::new("docker").args(arguments));
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// `busybox-static` and nothing else.
fn import_box(tag: &str) {
    if run(Command::new("docker").args(["image", "inspect", tag])).status.success() {
        return;
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    let program = std::fs::read("/bin/busybox").expect("the package busybox-static");
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, "bin/busybox", &program[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    let number = &tag[tag.len() - 1..];
    let changes = [
        "ENTRYPOINT [\"/bin/busybox\"]".to_owned(),
        "CMD [\"sleep\", \"3600\"]".into(),
        format!("ENV PATH=/bin BOX={number}"),
        format!("LABEL tg.box={number}"),
        "VOLUME /declared".into(),
        "EXPOSE 8080".into(),
        "WORKDIR /".into(),
    ];
    let mut import = Command::new("docker");
    import.arg("import");
    changes.iter().for_each(|change| {
        import.args(["-c", change]);
    });
    let mut child = import.args(["-", tag]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &tar).unwrap();
    assert!(child.wait().unwrap().success());
}

/// The anonymous volumes of a container, removed when dropped: also after a failed assertion. By name, and only those
/// that this test's own container had; declared before the bench, so that the containers go first.
#[derive(Default)]
pub(crate) struct Anonymous(pub(crate) Vec<String>);

impl Anonymous {
    pub(crate) fn note(&mut self, container: &str) {
        let names = docker(&["inspect", "--format", "{{range .Mounts}}{{println .Name}}{{end}}", container]);
        self.0.extend(names.lines().filter(|name| name.len() == 64).map(str::to_owned));
    }
}

impl Drop for Anonymous {
    fn drop(&mut self) {
        for volume in &self.0 {
            run(Command::new("docker").args(["volume", "rm", "-f", volume]));
        }
    }
}

/// Waits until something is so; panics after a minute.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn body(bytes: Vec<u8>) -> ByteStream {
    stream::iter(bytes.chunks(1000).map(|block| Ok(Bytes::copy_from_slice(block))).collect::<Vec<_>>()).boxed()
}

pub(crate) async fn collect(body: ByteStream) -> Result<Vec<u8>, StreamError> {
    let blocks: Vec<Bytes> = body.try_collect().await?;
    Ok(blocks.concat())
}

/// An error and all of its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// One file or folder of a tar: name, kind, mode, link target, content.
pub(crate) type Member = (Vec<u8>, char, u32, Vec<u8>, Vec<u8>);

pub(crate) fn members(tar: &[u8]) -> Vec<Member> {
    let mut archive = tar::Archive::new(tar);
    let mut members = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let target = entry.link_name_bytes().map(|target| target.to_vec()).unwrap_or_default();
        let header = entry.header();
        let kind = match header.entry_type() {
            tar::EntryType::Directory => 'd',
            tar::EntryType::Symlink => 'l',
            tar::EntryType::Link => 'h',
            _ => 'f',
        };
        let name = entry.path_bytes().to_vec();
        let name = name.strip_suffix(b"/").unwrap_or(&name).to_vec();
        members.push((name, kind, header.mode().unwrap() & 0o7777, target, content));
    }
    members
}

/// A tar of such members.
pub(crate) fn tar_of(members: &[(&[u8], char, u32, &[u8])]) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let path = |bytes: &[u8]| std::path::PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, mode, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match kind {
            'd' => header.set_entry_type(tar::EntryType::Directory),
            'l' => header.set_entry_type(tar::EntryType::Symlink),
            'h' => header.set_entry_type(tar::EntryType::Link),
            _ => header.set_size(content.len() as u64),
        }
        match kind {
            'l' | 'h' => tar.append_link(&mut header, path(name), path(content)).unwrap(),
            'd' => tar.append_data(&mut header, path(name), std::io::empty()).unwrap(),
            _ => tar.append_data(&mut header, path(name), *content).unwrap(),
        }
    }
    tar.into_inner().unwrap()
}
