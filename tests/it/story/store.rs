//! P8 at the store: whatever is wrong with it or with what lies in it, one clear error, and the instance as it was.

use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use tidegate::model::ids::InstanceName;
use tidegate::model::layout::{ObjectKey, manifest_prefix};
use tidegate::model::manifest::Manifest;
use tidegate::store::ObjectStore;
use tidegate::stream::Digest;

use super::pair::{Make, Pair, Site};
use super::proxy::Trap;
use super::running::Ended;
use crate::store::dir::SmallDisk;
use crate::store::proxy::{Plan, Proxy};
use crate::store::tls;

fn filters() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, word) in [
        (r"(snapshot|restore)-\d{8}-\d{6}-[0-9a-f]{4}", "RUN"),
        (r"\b[0-9a-f]{64}\b", "HASH"),
        (r"\b[0-9a-f]{8}\b", "ID"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
        (r"\d+ (s|min) ago", "SOME TIME ago"),
        (r" +\d+\.\d s\n", " SECONDS\n"),
        (r"\d+\.\d [KM]iB", "SIZE"),
        (r"\d{4,} bytes", "NUMBER bytes"),
        (r"bytes, not \d+", "bytes, not NUMBER"),
        (r"127\.0\.0\.1:\d+", "STORE"),
        (r"/tmp/\.tmp\w+", "FOLDER"),
        // Columns are as wide as what was replaced above.
        (r" {2,}", "  "),
    ] {
        settings.add_filter(pattern, word);
    }
    settings
}

/// What was seen, case by case, and that none of them touched the instance.
struct Cases<'a> {
    pair: &'a Pair,
    seen: Vec<String>,
}

impl Cases<'_> {
    async fn run(&mut self, name: &str, words: &[&str], env: &[(&str, &str)], code: i32) -> Ended {
        let site = &self.pair.staging;
        let (id, content) = (site.id().await, site.content().await);
        let mut command = self.pair.command(words);
        command.envs(env.iter().copied());
        let ended = self.pair.finish(command).await;
        // The plan of a restore is shown elsewhere.
        let said = if ended.stderr.is_empty() { &ended.stdout } else { &ended.stderr };
        let text = format!("## {name}\nexit code {}\n{said}", ended.code.unwrap_or(-1));
        self.seen.push(self.pair.without_names(&text));
        let ended = ended.expect(code);
        let now = site.content().await;
        assert!(now.is(&content), "{name}: changed {:?}", now.changed(&content));
        let running = &site.inspect().await.unwrap()["State"]["Running"];
        assert_eq!((running, site.id().await), (&true.into(), id), "{name}");
        self.pair.nothing_is_left(site).await;
        ended
    }
}

async fn refusing(upstream: SocketAddr, what: &'static str, status: u16, code: &'static str) -> String {
    Proxy::start(upstream, &[], Some(Plan::Refuse { what, status, code })).await.endpoint()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_used_is_told_before_anything_rests() {
    let pair = Pair::start("badstore", Make { tags: &[], ..Make::default() }).await;
    let mut cases = Cases { pair: &pair, seen: Vec::new() };
    let started = pair.staging.inspect().await.unwrap()["State"]["StartedAt"].clone();
    let snapshot = ["snapshot", "staging"];
    pair.snapshot(&pair.staging).await;
    let after_one = pair.staging.inspect().await.unwrap()["State"]["StartedAt"].clone();
    assert_ne!(started, after_one, "a snapshot rests its instance");

    let no_bucket = [("TIDEGATE_STORE__URL", "s3://no-such-bucket/tidegate")];
    cases.run("no such bucket", &snapshot, &no_bucket, 7).await;
    cases.run("an unknown key", &snapshot, &[("TIDEGATE_STORE__ACCESS_KEY_ID", "nobody")], 7).await;
    let endpoint = ("TIDEGATE_STORE__ENDPOINT", "http://127.0.0.1:1");
    cases.run("nobody at the endpoint", &["snapshots"], &[endpoint], 7).await;
    let folder = tempfile::tempdir().unwrap();
    let https = tls::before(pair.server(), folder.path()).await;
    cases.run("a certificate that is not trusted", &["snapshots"], &[("TIDEGATE_STORE__ENDPOINT", &https)], 7).await;
    for (name, what, status, code) in [
        ("another region", " /", 301, "PermanentRedirect"),
        ("a busy store", " /", 503, "SlowDown"),
        ("no right to list", "list-type=2", 403, "AccessDenied"),
        ("no right to write", "PUT /", 403, "AccessDenied"),
    ] {
        let endpoint = refusing(pair.server(), what, status, code).await;
        cases.run(name, &snapshot, &[("TIDEGATE_STORE__ENDPOINT", &endpoint)], 7).await;
    }
    let nowhere = [("TIDEGATE_STORE__URL", "file:///nonexistent/backups")];
    cases.run("a folder that is not mounted", &snapshot, &nowhere, 7).await;
    let now = pair.staging.inspect().await.unwrap()["State"]["StartedAt"].clone();
    assert_eq!(now, after_one, "the instance was stopped for nothing");

    // That there is room for the data cannot be known before.
    let disk = SmallDisk::mount("600k");
    let url = format!("file://{}", disk.path().display());
    cases.run("a full disk", &snapshot, &[("TIDEGATE_STORE__URL", &url)], 5).await;
    let left = cases.run("and what is there then", &["snapshots"], &[("TIDEGATE_STORE__URL", &url)], 0).await;
    assert!(!left.stdout.contains("staging "), "{}", left.stdout);
    let seen = cases.seen.join("\n");
    filters().bind(|| insta::assert_snapshot!("bad-store", seen));
}

/// A snapshot in the bucket, and somebody who may write there.
struct Intruder<'a> {
    pair: &'a Pair,
    manifest: Manifest,
    manifest_key: ObjectKey,
    part: usize,
    good: Bytes,
}

impl<'a> Intruder<'a> {
    async fn new(pair: &'a Pair) -> Self {
        let store = pair.store().await;
        let prefix = manifest_prefix(&InstanceName::new("staging").unwrap());
        let manifest_key = store.list(&prefix).await.unwrap()[0].key.clone();
        let manifest: Manifest = serde_json::from_slice(&store.get(&manifest_key, 1 << 20).await.unwrap()).unwrap();
        let part = manifest.parts.iter().position(|part| part.plan.name.as_str() == "git-storage").unwrap();
        let good = store.get(&manifest.parts[part].object.key, 1 << 30).await.unwrap();
        Self { pair, manifest, manifest_key, part, good }
    }

    async fn put(&self, body: impl Into<Bytes>) {
        let key = &self.manifest.parts[self.part].object.key;
        self.pair.store().await.put(key, body.into()).await.unwrap();
    }

    /// Replaces the part by this archive, and lets the manifest say so.
    async fn replace(&self, tar: &[u8]) {
        let stored = gzip(tar);
        let mut manifest = self.manifest.clone();
        let record = &mut manifest.parts[self.part];
        let (plain, object) = (Digest::of(tar), Digest::of(&stored));
        (record.plain_bytes, record.plain_sha256) = (plain.bytes, plain.sha256);
        (record.object.stored_bytes, record.object.sha256) = (object.bytes, object.sha256);
        self.put(stored).await;
        self.publish(&manifest).await;
    }

    async fn publish(&self, manifest: &Manifest) {
        let text = serde_json::to_vec(manifest).unwrap();
        self.pair.store().await.put(&self.manifest_key, text.into()).await.unwrap();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Hostile(tar::Builder<Vec<u8>>);

impl Hostile {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Names as they are given, which the library would clean.
    fn add(mut self, name: &str, kind: tar::EntryType, link: &str, body: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(body.len() as u64);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, body).unwrap();
        self
    }

    fn file(self, name: &str) -> Self {
        self.add(name, tar::EntryType::Regular, "", b"owned\n")
    }

    fn pax(mut self, key: &str, value: &str) -> Self {
        self.0.append_pax_extensions([(key, value.as_bytes())]).unwrap();
        self
    }

    fn end(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// mattermost_ynh#90: the app was removed before the backup was found to be unusable. Dokploy#3301: a restore failed without
/// a word why; the texts are here.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_in_a_snapshots_place_is_never_put_back() {
    let pair = Pair::start("hostile", Make { tags: &[], ..Make::default() }).await;
    let id = pair.snapshot(&pair.staging).await;
    let intruder = Intruder::new(&pair).await;
    let mut cases = Cases { pair: &pair, seen: Vec::new() };
    let restore = ["restore", "staging", &id];
    let started = pair.staging.inspect().await.unwrap()["State"]["StartedAt"].clone();

    let mut damaged = intruder.good.to_vec();
    // In gzip's own checksum at the end: what a byte in the middle breaks depends on the data.
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    intruder.put(damaged).await;
    cases.run("a damaged object", &restore, &[], 1).await;
    intruder.put(gzip(&Hostile::new().file("git-storage/a").end())).await;
    cases.run("another archive, under the old manifest", &restore, &[], 1).await;
    pair.store().await.delete(&intruder.manifest.parts[intruder.part].object.key).await.unwrap();
    cases.run("a missing object", &restore, &[], 1).await;
    cases.run("and in the list", &["snapshots"], &[], 0).await;

    let link = tar::EntryType::Symlink;
    for (name, tar) in [
        ("an absolute name", Hostile::new().file("/etc/passwd").end()),
        ("a name that leads out", Hostile::new().file("git-storage/../../../etc/passwd").end()),
        ("a PAX name that leads out", Hostile::new().pax("path", "../etc/passwd").file("git-storage/a").end()),
        ("another place of the instance", Hostile::new().file("configuration/docker.env").end()),
        ("what tidegate keeps beside it", Hostile::new().file(".tidegate/x/aside/a").end()),
        (
            "a way through a link",
            Hostile::new().add("git-storage/a", link, "/etc", b"").file("git-storage/a/passwd").end(),
        ),
        (
            "a hard link to something else",
            Hostile::new().add("git-storage/a", tar::EntryType::Link, "configuration/docker.env", b"").end(),
        ),
    ] {
        intruder.replace(&tar).await;
        cases.run(name, &restore, &[], 1).await;
    }

    // 256 MiB of zeros in 260 KB, where the manifest says less.
    let mut manifest = intruder.manifest.clone();
    let bomb = gzip(&vec![0; 256 << 20]);
    let object = Digest::of(&bomb);
    let record = &mut manifest.parts[intruder.part].object;
    (record.stored_bytes, record.sha256) = (object.bytes, object.sha256);
    intruder.put(bomb).await;
    intruder.publish(&manifest).await;
    cases.run("more than the manifest says", &restore, &[], 1).await;
    manifest.parts[intruder.part].plain_bytes = u64::MAX;
    intruder.publish(&manifest).await;
    let ended = cases.run("more than any disk has", &restore, &[], 1).await;
    assert!(ended.stderr.contains("bytes free"), "{}", ended.stderr);

    let now = pair.staging.inspect().await.unwrap()["State"]["StartedAt"].clone();
    assert_eq!(now, started, "the instance was stopped");
    let seen = cases.seen.join("\n");
    filters().bind(|| insta::assert_snapshot!("hostile", seen));
}

/// It was whole when every byte was read; while the volume is filled it is another.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_replaced_in_the_middle_of_a_restore_is_undone() {
    let pair = Pair::start("midway", Make { tags: &[], ..Make::default() }).await;
    let site: &Site = &pair.staging;
    let id = pair.snapshot(site).await;
    let intruder = Intruder::new(&pair).await;
    let before = (site.content().await, site.definition().await);
    // The definition is read in the look before, each part once to verify it; held in the first part of the fill.
    pair.proxy.set(Trap { method: "GET", path: "ca-certs.tar.gz".into(), pass: 1, after_bytes: 0 });
    let running = pair.begin(&["restore", "staging", &id]);
    pair.proxy.caught().await;
    intruder.put(gzip(&Hostile::new().file("configuration/docker.env").end())).await;
    pair.proxy.release();
    let ended = running.end().await.expect(5);
    assert!(ended.stderr.contains("git-storage.tar.gz"), "{}", ended.stderr);
    site.is_well().await;
    let content = site.content().await;
    assert!(content.is(&before.0), "changed: {:?}", content.changed(&before.0));
    assert_eq!(site.definition().await, before.1);
    assert_eq!(content.ours.len(), 0, "{:?}", content.ours);
    pair.nothing_is_left(site).await;
}
