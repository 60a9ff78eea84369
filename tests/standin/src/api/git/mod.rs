//! Applications in Git, by both schemes of paths: the newer one beside the older one.
//!
//! ```text
//! routes -> ask (who asks what) -> guard (lock, faults, detached from the client)
//!        -> { keys, settings, connect, bring_in, branches, work, pull, merge, auto_commit } -> steps -> git
//! ```
//!
//! An operation goes on when its client has gone, and ends with the backend.

mod ask;
mod auto_commit;
mod branches;
mod bring_in;
mod connect;
mod errors;
mod guard;
mod keys;
mod merge;
mod pull;
mod settings;
mod steps;
mod target;
mod work;

use crate::feature::Feature;
use crate::version::Version;
use crate::world::World;
use axum::Router;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use std::sync::Arc;

pub use connect::remove_connected;

type Route = (&'static str, MethodRouter<Arc<World>>);

/// Everything of Git below `/api/v1`.
pub fn router(version: Version) -> Router<Arc<World>> {
    let mut all: Vec<Route> = old();
    if version.has(Feature::GitApplications) {
        all.extend(new());
    }
    all.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// The scheme of v1.56 and later.
fn new() -> Vec<Route> {
    vec![
        ("/git/applications/{id}/metadata", get(settings::metadata)),
        ("/git/applications/{id}/ssh-keypair", get(keys::read).post(keys::make)),
        ("/git/applications/{id}/connect", post(connect::connect)),
        ("/git/applications/{id}/disconnect", post(connect::disconnect)),
        ("/git/applications/{id}/status", get(work::status)),
        ("/git/applications/{id}/refs", get(branches::list)),
        ("/git/applications/{id}/ref", delete(branches::delete)),
        ("/git/applications/{id}/create-ref", post(branches::create)),
        ("/git/applications/{id}/checkout-ref", post(branches::check_out)),
        ("/git/applications/{id}/commit", post(work::commit)),
        ("/git/applications/{id}/pull", get(pull::pull)),
        ("/git/applications/{id}/fetch/remote", get(work::fetch)),
        ("/git/applications/{id}/merge/status", post(merge::status)),
        ("/git/applications/{id}/merge", post(merge::merge)),
        ("/git/applications/{id}/discard", put(work::discard)),
        ("/git/applications/{id}/protected-branches", get(settings::protected).post(settings::protect)),
        ("/git/applications/{id}/auto-commit", post(auto_commit::start)),
        ("/git/applications/{id}/auto-commit/progress", get(auto_commit::progress)),
        ("/git/applications/{id}/auto-commit/toggle", patch(auto_commit::toggle)),
        ("/git/artifacts/{id}/profile", get(settings::profile).put(settings::set_profile)),
        ("/git/artifacts/profile/default", get(settings::default_profile).post(settings::set_default_profile)),
        ("/git/artifacts/import/keys", get(keys::for_import)),
        ("/git/artifacts/import", post(bring_in::import)),
        ("/git/artifacts/protocol/key-types", get(keys::kinds)),
        ("/git/artifacts/doc-urls", get(settings::documents)),
    ]
}

/// The scheme before; later releases have it too.
fn old() -> Vec<Route> {
    vec![
        ("/git/metadata/app/{id}", get(settings::metadata)),
        ("/applications/ssh-keypair/{id}", get(keys::read).post(keys::make)),
        ("/git/connect/app/{id}", post(connect::connect)),
        ("/git/disconnect/app/{id}", post(connect::disconnect)),
        ("/git/status/app/{id}", get(work::status)),
        ("/git/branch/app/{id}", get(branches::list).delete(branches::delete)),
        ("/git/create-branch/app/{id}", post(branches::create)),
        ("/git/checkout-branch/app/{id}", get(branches::check_out)),
        ("/git/commit/app/{id}", post(work::commit)),
        ("/git/push/app/{id}", post(work::push)),
        ("/git/pull/app/{id}", get(pull::pull)),
        ("/git/fetch/remote/app/{id}", get(work::fetch)),
        ("/git/merge/status/app/{id}", post(merge::status)),
        ("/git/merge/app/{id}", post(merge::merge)),
        ("/git/discard/app/{id}", put(work::discard)),
        ("/git/branch/app/{id}/protected", get(settings::protected).post(settings::protect)),
        ("/git/auto-commit/app/{id}", post(auto_commit::start)),
        ("/git/auto-commit/progress/app/{id}", get(auto_commit::progress)),
        ("/git/auto-commit/toggle/app/{id}", patch(auto_commit::toggle)),
        ("/git/profile/app/{id}", get(settings::profile).put(settings::set_profile)),
        ("/git/profile/default", get(settings::default_profile).post(settings::set_default_profile)),
        ("/git/import/keys", get(keys::for_import)),
        ("/git/import/{id}", post(bring_in::import)),
        ("/git/protocol/key-types", get(keys::kinds)),
        ("/git/doc-urls", get(settings::documents)),
    ]
}
