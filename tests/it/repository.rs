//! Snapshots on a store: what is written comes back whole, and what is not whole never passes for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tidegate::model::definition::{Definition, RestartPolicy};
use tidegate::model::ids::{ImageId, InstanceName, PartName, RunId, SnapshotId};
use tidegate::model::layout::{ObjectKey, part_key, repository_key};
use tidegate::model::manifest::{FORMAT, ImageRecord, Manifest, PartRecord, Reason};
use tidegate::model::part::{Cover, PartPlan};
use tidegate::repository::{ManifestEntry, Problem, ProblemKind, Progress, Repository, RepositoryError};
use tidegate::store::dir::DirStore;
use tidegate::store::faulty::{Fault, FaultyStore, Verb};
use tidegate::store::memory::MemoryStore;
use tidegate::store::{ObjectStore, StoreError};
use tidegate::stream::{ByteStream, StreamError};
use tokio_util::sync::CancellationToken;

use crate::store::{Bucket, sample};
use crate::stream::body;

fn instance() -> InstanceName {
    InstanceName::new("production").unwrap()
}

fn plan(name: &str) -> PartPlan {
    let cover = Cover { include: vec![String::new()], exclude: vec!["logs".into()] };
    PartPlan { name: PartName::new(name).unwrap(), mount: "/appsmith-stacks".into(), cover }
}

fn tar_of(sizes: &[usize]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (index, size) in sizes.iter().enumerate() {
        let mut header = tar::Header::new_ustar();
        header.set_size(*size as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, format!("data/{index}"), &*sample(*size)).unwrap();
    }
    builder.into_inner().unwrap()
}

fn definition() -> Definition {
    Definition {
        container: "appsmith".into(),
        image_ref: "appsmith/appsmith-ce:v1.9".into(),
        image_id: ImageId::new(format!("sha256:{}", "a".repeat(64))).unwrap(),
        restart: RestartPolicy::no(),
        config: serde_json::json!({ "Env": ["PASSWORD=x"] }),
        host_config: serde_json::json!({}),
        networks: BTreeMap::new(),
        mounts: Vec::new(),
        lost: Vec::new(),
    }
}

fn no_progress() -> Progress {
    Arc::new(|_| {})
}

async fn write(repository: &Repository, id: &str, name: &str, tar: ByteStream) -> Result<PartRecord, RepositoryError> {
    let id = SnapshotId::new(id).unwrap();
    repository.write_part(&id, &plan(name), tar, 1, CancellationToken::new(), no_progress()).await
}

/// A snapshot of two parts, not yet published.
async fn capture(repository: &Repository, id: &str, sequence: u64) -> Manifest {
    let mut parts = Vec::new();
    for (name, sizes) in [("mongodb", vec![3_000_000, 0, 700]), ("git-storage", vec![90])] {
        parts.push(write(repository, id, name, body(&tar_of(&sizes), 30_000)).await.unwrap());
    }
    let id = SnapshotId::new(id).unwrap();
    let definition = repository.write_definition(&id, &definition()).await.unwrap();
    Manifest {
        format: FORMAT,
        id,
        instance: instance(),
        sequence,
        taken_at: "2026-11-21T10:15:30Z".into(),
        run: RunId::new("snapshot-20261121-101530-7f3a").unwrap(),
        reason: Reason::Manual,
        container: "appsmith".into(),
        image: ImageRecord {
            id: ImageId::new(format!("sha256:{}", "a".repeat(64))).unwrap(),
            reference: "appsmith/appsmith-ce:v1.9".into(),
            digests: Vec::new(),
        },
        version: None,
        data_format: None,
        healthy: true,
        unhealthy_because: None,
        clean: true,
        observation: None,
        parts,
        definition,
        verified_at: None,
        tags: Vec::new(),
        taken_by: "host".into(),
        mode: Default::default(),
    }
}

async fn verify(repository: &Repository, manifest: &Manifest) -> Result<(), RepositoryError> {
    repository.verify(manifest, CancellationToken::new(), no_progress()).await
}

fn problems(error: RepositoryError) -> Vec<Problem> {
    match error {
        RepositoryError::NotWhole { problems, .. } => problems,
        other => panic!("{other:?}"),
    }
}

async fn in_memory() -> (MemoryStore, Repository) {
    let store = MemoryStore::default();
    (store.clone(), Repository::open_or_init(Arc::new(store)).await.unwrap())
}

async fn goes_there_and_back(store: Arc<dyn ObjectStore>) {
    assert!(matches!(Repository::open(store.clone()).await.unwrap_err(), RepositoryError::NotThere { .. }));
    let repository = Repository::open_or_init(store.clone()).await.unwrap();
    assert_eq!(repository.next_sequence(&instance()).await.unwrap(), 1);
    let manifest = capture(&repository, "0123abcd", 1).await;
    assert_eq!(repository.manifests(&instance()).await.unwrap(), [], "nothing is a snapshot before its manifest");
    verify(&repository, &manifest).await.unwrap();
    let key = repository.publish(&manifest).await.unwrap();
    assert_eq!(key.0, "snapshots/production/00000001-20261121T101530Z-0123abcd.json");
    assert_eq!(repository.publish(&manifest).await.unwrap(), key, "again is the same");

    let repository = Repository::open(store).await.unwrap();
    let found = repository.find("0123").await.unwrap();
    assert_eq!(found, manifest);
    assert_eq!(repository.manifests(&instance()).await.unwrap(), [ManifestEntry::Whole(Box::new(manifest))]);
    assert_eq!(repository.next_sequence(&instance()).await.unwrap(), 2);
    assert!(repository.read_definition(&found).await.unwrap() == definition());
    let blocks: Vec<Bytes> = repository.read_part(&found.parts[0]).await.unwrap().try_collect().await.unwrap();
    assert!(blocks.concat() == tar_of(&[3_000_000, 0, 700]));
    assert_eq!((found.parts[0].entries, found.parts[0].plain_bytes), (3, 3_003_904));
    assert!(found.parts[0].object.stored_bytes > 0);
}

#[tokio::test]
async fn a_snapshot_comes_back_from_memory() {
    goes_there_and_back(Arc::new(MemoryStore::default())).await;
}

#[tokio::test]
async fn a_snapshot_comes_back_from_a_folder() {
    let root = tempfile::tempdir().unwrap();
    goes_there_and_back(Arc::new(DirStore::open(root.path()).await.unwrap())).await;
}

#[tokio::test]
async fn a_snapshot_comes_back_from_s3() {
    let bucket = Bucket::start().await;
    goes_there_and_back(Arc::new(bucket.store().await)).await;
    assert_eq!(bucket.server.leftover_parts().unwrap(), Vec::<String>::new());
}

/// `gzip -d | tar x` must do where there is no Tidegate.
#[tokio::test]
async fn a_part_is_a_plain_tar_gz() {
    let (store, repository) = in_memory().await;
    let record = write(&repository, "0123abcd", "mongodb", body(&tar_of(&[5000]), 777)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.tar.gz");
    std::fs::write(&path, &store.objects()[&record.object.key]).unwrap();
    let done = std::process::Command::new("tar").current_dir(folder.path()).args(["-xzf", "part.tar.gz"]).status();
    assert!(done.unwrap().success());
    assert!(std::fs::read(folder.path().join("data/0")).unwrap() == sample(5000));
}

#[tokio::test]
async fn only_a_known_format_is_opened() {
    let store = MemoryStore::default();
    let other = |text: &str| store.objects().insert(repository_key(), Bytes::from(text.to_owned()));
    let open = || Repository::open_or_init(Arc::new(store.clone()));
    other(r#"{"kind": "tidegate-repository", "format": 99, "new": true}"#);
    assert!(matches!(open().await.unwrap_err(), RepositoryError::UnknownFormat { found: 99, .. }));
    for text in ["", "{}", r#"{"kind": "restic", "format": 1}"#] {
        other(text);
        assert!(matches!(open().await.unwrap_err(), RepositoryError::BadHeader { .. }), "{text}");
    }
    other(r#"{"kind": "tidegate-repository", "format": 1, "note": "x"}"#);
    open().await.unwrap();
}

/// bcgov#149: a broken pipe went unnoticed, and a damaged archive was a success.
#[tokio::test]
async fn a_tar_that_is_cut_short_leaves_nothing_and_is_never_published() {
    let (store, repository) = in_memory().await;
    let whole = capture(&repository, "0123abcd", 1).await;
    let tar = tar_of(&[2000, 500]);
    for cut in [0, 1, 512, 700, 2560, 3072, tar.len() - 1024, tar.len() - 512, tar.len() - 1] {
        let error = write(&repository, "ffffffff", "mongodb", body(&tar[..cut], 100)).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Store(StoreError::Source { .. })), "cut at {cut}: {error:?}");
        let key = part_key(&SnapshotId::new("ffffffff").unwrap(), &PartName::new("mongodb").unwrap());
        assert!(!store.objects().contains_key(&key), "cut at {cut}");
        let mut manifest = Manifest { id: SnapshotId::new("ffffffff").unwrap(), ..whole.clone() };
        manifest.parts[0].object.key = key;
        repository.publish(&manifest).await.unwrap_err();
    }
    assert_eq!(repository.manifests(&instance()).await.unwrap(), []);
}

#[tokio::test]
async fn stopping_removes_what_was_written() {
    let (store, repository) = in_memory().await;
    let cancel = CancellationToken::new();
    let (seen, stop) = (Arc::new(AtomicU64::new(0)), cancel.clone());
    let told = seen.clone();
    let progress: Progress = Arc::new(move |bytes| {
        if told.fetch_add(bytes, Ordering::SeqCst) + bytes > 50_000 {
            stop.cancel();
        }
    });
    let id = SnapshotId::new("0123abcd").unwrap();
    let tar = body(&tar_of(&[400_000]), 10_000).chain(stream::pending()).boxed();
    let error = repository.write_part(&id, &plan("mongodb"), tar, 1, cancel, progress).await.unwrap_err();
    let stopped = matches!(error, RepositoryError::Store(StoreError::Source { source: StreamError::Cancelled, .. }));
    assert!(stopped, "{error:?}");
    assert!(seen.load(Ordering::SeqCst) >= 50_000);
    assert_eq!(store.objects().len(), 1, "only `repository.json`");

    let manifest = capture(&repository, "0123abcd", 1).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = repository.verify(&manifest, cancel, no_progress()).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Stopped { source: StreamError::Cancelled, .. }), "{error:?}");
}

#[tokio::test]
async fn every_damaged_and_missing_object_is_named() {
    let (store, repository) = in_memory().await;
    let manifest = capture(&repository, "0123abcd", 1).await;
    let keys = [&manifest.parts[0].object.key, &manifest.parts[1].object.key, &manifest.definition.key];
    let kinds = |problems: Vec<Problem>| -> Vec<(ObjectKey, ProblemKind)> {
        problems.into_iter().map(|problem| (problem.key, problem.kind)).collect()
    };
    let good: Vec<Bytes> = keys.iter().map(|key| store.objects()[*key].clone()).collect();

    for (index, key) in keys.iter().enumerate() {
        for at in [0, 11, good[index].len() / 2, good[index].len() - 1] {
            let mut damaged = good[index].to_vec();
            damaged[at] ^= 1;
            store.objects().insert((*key).clone(), damaged.into());
            let found = kinds(problems(verify(&repository, &manifest).await.unwrap_err()));
            assert_eq!(found, [((*key).clone(), ProblemKind::Damaged)], "byte {at}");
        }
        for other in [good[index].slice(..good[index].len() - 1), [&good[index][..], b"x"].concat().into()] {
            store.objects().insert((*key).clone(), other);
            let found = kinds(problems(verify(&repository, &manifest).await.unwrap_err()));
            assert_eq!(found, [((*key).clone(), ProblemKind::Damaged)]);
            let found = kinds(problems(repository.check_presence(&manifest).await.unwrap_err()));
            assert_eq!(found, [((*key).clone(), ProblemKind::Damaged)], "a wrong size shows without reading");
        }
        store.objects().insert((*key).clone(), good[index].clone());
    }
    verify(&repository, &manifest).await.unwrap();

    store.objects().remove(keys[0]);
    store.objects().insert(keys[1].clone(), Bytes::from("rubbish"));
    store.objects().remove(keys[2]);
    let all = [ProblemKind::Missing, ProblemKind::Damaged, ProblemKind::Missing];
    let expected: Vec<_> = keys.into_iter().cloned().zip(all).collect();
    assert_eq!(kinds(problems(verify(&repository, &manifest).await.unwrap_err())), expected);
    assert_eq!(kinds(problems(repository.publish(&manifest).await.unwrap_err())), expected);
    assert_eq!(repository.manifests(&instance()).await.unwrap(), [], "the manifest goes last");
}

/// Other plain bytes under right stored ones: a manifest that does not belong to its part.
#[tokio::test]
async fn the_plain_bytes_are_checked_too() {
    let (_, repository) = in_memory().await;
    let manifest = capture(&repository, "0123abcd", 1).await;
    let mut other = manifest.clone();
    other.parts[0].plain_sha256 = "0".repeat(64);
    assert_eq!(problems(verify(&repository, &other).await.unwrap_err()).len(), 1);
    let mut other = manifest.clone();
    other.parts[1].plain_bytes -= 512;
    assert_eq!(problems(verify(&repository, &other).await.unwrap_err()).len(), 1);
}

#[tokio::test]
async fn a_store_that_breaks_its_word_is_found_out() {
    let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
    let repository = Repository::open_or_init(faulty.clone()).await.unwrap();
    let manifest = capture(&repository, "0123abcd", 1).await;

    faulty.plan(Verb::GetStream, 1, Fault::BodyShort { after_bytes: 1000 });
    let found = problems(verify(&repository, &manifest).await.unwrap_err());
    assert_eq!((found.len(), found[0].kind), (1, ProblemKind::Damaged));

    faulty.plan(Verb::GetStream, 2, Fault::BodyBreaks { after_bytes: 20 });
    let found = problems(verify(&repository, &manifest).await.unwrap_err());
    assert_eq!((found[0].key.clone(), found[0].kind), (manifest.parts[1].object.key.clone(), ProblemKind::Unreadable));

    faulty.plan(Verb::GetStream, 2, Fault::Unreachable);
    let error = verify(&repository, &manifest).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Store(StoreError::Unreachable { .. })), "{error:?}");

    // The manifest's write fails, or only its answer is lost; then it is published again.
    for fault in [Fault::Unreachable, Fault::AnswerLost] {
        faulty.plan(Verb::Put, 1, fault);
        repository.publish(&manifest).await.unwrap_err();
    }
    repository.publish(&manifest).await.unwrap();
    assert_eq!(repository.find("0123abcd").await.unwrap(), manifest);
}

#[tokio::test]
async fn a_manifest_is_never_replaced() {
    let (_, repository) = in_memory().await;
    let manifest = capture(&repository, "0123abcd", 1).await;
    repository.publish(&manifest).await.unwrap();
    let other = Manifest { healthy: false, ..manifest.clone() };
    assert!(matches!(repository.publish(&other).await.unwrap_err(), RepositoryError::ManifestTaken { .. }));
    assert_eq!(repository.find("0").await.unwrap(), manifest);
    let bad = Manifest { taken_at: "yesterday".into(), ..manifest };
    assert!(matches!(repository.publish(&bad).await.unwrap_err(), RepositoryError::BrokenManifest { .. }));
}

#[tokio::test]
async fn a_manifest_that_cannot_be_used_is_shown() {
    let (store, repository) = in_memory().await;
    let manifest = capture(&repository, "0123abcd", 1).await;
    let key = repository.publish(&manifest).await.unwrap();
    let text = store.objects()[&key].clone();
    let lie = |number: u32, text: Bytes| {
        let key = format!("snapshots/production/{number:08}-20261121T101530Z-0000000{number}.json");
        store.objects().insert(ObjectKey(key), text);
    };
    lie(2, text.slice(..text.len() / 2));
    lie(3, text.clone());
    lie(4, Bytes::from(r#"{"format": 7}"#));
    store.objects().insert(ObjectKey("snapshots/production/notes.txt".into()), Bytes::from("x"));
    let reasons: Vec<String> = repository
        .manifests(&instance())
        .await
        .unwrap()
        .into_iter()
        .map(|entry| match entry {
            ManifestEntry::Whole(manifest) => manifest.id.to_string(),
            ManifestEntry::Broken { reason, .. } => reason,
        })
        .collect();
    assert_eq!(reasons[0], "0123abcd");
    assert!(reasons[1].starts_with("it is not a manifest: EOF"), "{}", reasons[1]);
    assert_eq!(reasons[2], format!("it is the manifest of `{key}`"));
    assert_eq!(reasons[3], "it has format 7; this version knows format 1");
    assert_eq!(reasons.len(), 5);
    assert_eq!(repository.next_sequence(&instance()).await.unwrap(), 5, "the number of a broken one is taken");
    assert!(matches!(repository.find("00000002").await.unwrap_err(), RepositoryError::BrokenManifest { .. }));
}

#[tokio::test]
async fn a_snapshot_is_found_by_an_unambiguous_prefix() {
    let (_, repository) = in_memory().await;
    for (id, sequence) in [("0123abcd", 1), ("0124abcd", 2)] {
        let manifest = capture(&repository, id, sequence).await;
        repository.publish(&manifest).await.unwrap();
    }
    assert_eq!(repository.find("0124").await.unwrap().sequence, 2);
    let error = repository.find("012").await.unwrap_err();
    assert!(matches!(&error, RepositoryError::AmbiguousSnapshot { found, .. } if found.len() == 2), "{error}");
    for none in ["", "9", "0123abcd0", "production"] {
        assert!(matches!(repository.find(none).await.unwrap_err(), RepositoryError::NoSuchSnapshot { .. }), "{none}");
    }
    assert_eq!(repository.next_sequence(&instance()).await.unwrap(), 3);
}
