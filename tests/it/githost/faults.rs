//! What a promotion meets on a bad day: locks, clients that give up, a backend that ends, a commit that stays behind.

use std::time::Duration;

use serde_json::{Value, json};

use super::flow::{GIT, Lab, connect, import};
use super::standin::QUICK;
use crate::docker::docker_ok;
use crate::story::wait_for;

/// A lock is waited for 4 s and expires after 24 s: time for what happens meanwhile, also on a busy machine.
const SLOWER: &str = "0.2";

/// Waits until it holds.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    wait_for(what, async || condition().await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_goes_on_without_its_client_and_ends_with_the_backend() {
    let lab = Lab::with("alone", "v1.99", ["git-slow:commit:15", ""], SLOWER).await;
    let (host, staging) = (&lab.host, &lab.staging);
    let base = connect(staging, host).await;
    let (committing, status) = (format!("{GIT}/{base}/commit"), format!("{GIT}/{base}/status"));
    let before = host.head("returns", "production").await;
    let give_up = async || {
        let call = staging.post(&committing, json!({"message": "a change"}));
        assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err(), "it is slow");
    };
    staging.edit(&base, None, "made on staging").await;
    give_up().await;
    assert_eq!(staging.get(&status).await.unwrap_err().code, "AE-GIT-5020", "it is at work");
    until("the commit", async || host.head("returns", "production").await != before).await;
    until("the lock", async || staging.get(&status).await.is_ok_and(|status| status["isClean"] == true)).await;
    assert_eq!(staging.deployed(&base, None).await, "made on staging");

    let before = host.head("returns", "production").await;
    staging.edit(&base, None, "never committed").await;
    give_up().await;
    docker_ok(&["exec", &staging.name, "supervisorctl", "restart", "backend"]).await;
    staging.wait().await;
    assert!(staging.has_lock(&base).await, "nobody gave it back");
    until("the lock to expire", async || staging.get(&status).await.is_ok()).await;
    assert_eq!(host.head("returns", "production").await, before);
    assert_eq!(staging.get(&status).await.unwrap()["isClean"], false);
    lab.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_can_hang_a_step_can_fail_once_and_a_commit_can_stay_behind() {
    let lab =
        Lab::with("bad", "v1.99", ["", "git-lock,git-fails:pull:AE-GIT-5014:once,git-no-followup-push"], QUICK).await;
    let (host, staging, production) = (&lab.host, &lab.staging, &lab.production);
    connect(staging, host).await;
    let (imported, _) = import(production, host).await;
    let (status, pull) = (format!("{GIT}/{imported}/status"), format!("{GIT}/{imported}/pull"));
    assert!(production.has_lock(&imported).await, "the import kept it");
    until("the lock to expire", async || production.get(&status).await.is_ok()).await;
    let refused = production.get(&pull).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (504, "AE-GIT-5014"));

    // What somebody wrote by hand is written anew after a pull, in a commit of its own.
    let theme = host.file("returns", "production", "theme.json").await;
    let theme: Value = serde_json::from_str(&theme).unwrap();
    let written = host.write("returns", "production", "theme.json", &format!("{theme}\n")).await;
    production.get(&pull).await.unwrap();
    let behind = production.get(&format!("{status}?compareRemote=true")).await.unwrap();
    assert_eq!((&behind["aheadCount"], &behind["isClean"]), (&json!(1), &json!(true)), "{behind}");
    assert_eq!(host.head("returns", "production").await, written);
    lab.remove().await;
}
