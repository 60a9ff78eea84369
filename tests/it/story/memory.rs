//! A snapshot's memory does not grow with the data.

use std::time::Duration;

use super::pair::{Make, Pair};
use super::wait_at_most;

const MOST_KIB: u64 = 256 << 10;

/// 2 GB are read, packed, sent and read back, beside all other tests.
const LONG: Duration = Duration::from_secs(1200);

#[tokio::test(flavor = "multi_thread")]
async fn a_large_volume_needs_little_memory() {
    let full = std::env::var("TIDEGATE_TEST_FULL").is_ok_and(|full| full == "1");
    let megabytes = if full { 2_048 } else { 640 };
    let pair = Pair::start("memory", Make { megabytes, tags: &[], ..Make::default() }).await;
    let mut running = pair.begin(&["snapshot", "staging", "--json"]);
    let status = format!("/proc/{}/status", running.pid());
    let mut most_kib = 0;
    wait_at_most(LONG, "the snapshot", async || {
        // The high-water mark only rises; it cannot be read any more once the process has ended.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most_kib = most_kib.max(kib.unwrap_or_default());
        running.has_ended().then_some(())
    })
    .await;
    let ended = running.end().await.expect(0);
    let plain = ended.json()["snapshot"]["plain_bytes"].as_u64().unwrap();
    assert!(plain > u64::from(megabytes) * 1_000_000, "{plain} bytes");
    println!("{} MB read, {} MiB of memory at most", plain / 1_000_000, most_kib >> 10);
    assert!((1..MOST_KIB).contains(&most_kib), "{most_kib} KiB");
}
