//! Old or new, and never something between.

use super::content::Content;
use super::pair::{OLD, Pair, Site};

/// Which of the two states an upgrade may end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The old image on the old data, byte for byte.
    Old,
    /// The new image on migrated data.
    New,
}

/// As [`pairing`], and the app must be well and have its restart policy.
pub async fn side(pair: &Pair, site: &Site, before: &Content) -> Side {
    let seen = site.inspect().await.expect("a container");
    assert_eq!(seen["State"]["Running"], true, "{} does not run", site.name);
    assert_eq!(site.restart_policy().await, site.restart, "of {}", site.name);
    site.is_well().await;
    pairing(pair, site, before).await
}

/// Looks at image, format marker and content together, and fails unless they agree.
pub async fn pairing(pair: &Pair, site: &Site, before: &Content) -> Side {
    let seen = site.inspect().await.expect("a container");
    let (old_image, content) = (seen["Image"] == pair.image_id(OLD).await, site.content().await);
    match (old_image, content.is(before), content.is_migrated_from(before)) {
        (true, true, false) => Side::Old,
        (false, false, true) => Side::New,
        _ => {
            let changed = content.changed(before);
            panic!(
                "{} is mixed: old image: {old_image}, format {:?}, changed {changed:?}",
                site.name,
                content.format()
            );
        }
    }
}
