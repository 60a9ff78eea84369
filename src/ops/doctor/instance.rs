//! One instance: its container, its data, its app.

use std::path::Path;
use std::sync::Arc;

use super::Doctor;
use crate::engine::{Answer, ContainerEngine, ContainerView, HelperMount, Labels, Listing, PorterRequest};
use crate::instance::InstanceAdapter;
use crate::model::definition::MountSource;
use crate::model::ids::RunId;
use crate::model::layout::{LABEL_CONTAINER, LABEL_ROLE, LABEL_RUN, helper_target, porter_container};
use crate::workflow::StepError;

impl Doctor {
    /// Its container, what it mounts, and whether the app answers and takes the login.
    pub async fn instance(
        &mut self,
        engine: &dyn ContainerEngine,
        adapter: &Arc<dyn InstanceAdapter>,
        state_dir: &Path,
        asks_app: bool,
    ) {
        let (area, container) = (adapter.name().to_string(), adapter.container().to_owned());
        let view = match engine.find(&container).await {
            Ok(Some(view)) => view,
            Ok(None) => {
                let remedy = format!("`docker ps -a` lists the containers; correct `instances.{area}.container`");
                return self.problem(&area, format!("there is no container `{container}`"), &remedy);
            }
            Err(error) => return self.failed(&area, &error),
        };
        self.container(&area, &view, state_dir);
        self.data(engine, adapter, &view).await;
        if !view.is_up() {
            let remedy = format!("`docker start {container}`, or `tidegate restore {area}`");
            return self.problem(&area, format!("`{container}` does not run"), &remedy);
        }
        if !asks_app {
            return;
        }
        match adapter.observe(engine, None).await {
            Ok(seen) => match seen.first_failure() {
                None => self.ok(&area, format!("the app answers: {} checks passed", seen.passed_count())),
                Some(failure) => {
                    self.warning(&area, failure, "an upgrade compares with this: what fails now may fail then")
                }
            },
            Err(error) => self.failed(&area, &error),
        }
    }

    fn container(&mut self, area: &str, view: &ContainerView, state_dir: &Path) {
        let name = &view.name;
        if view.auto_remove {
            self.problem(
                area,
                format!("`{name}` was started with --rm: a stop would remove it"),
                "start it without --rm",
            );
        }
        if view.restart.name == "no" || view.restart.name.is_empty() {
            self.warning(
                area,
                format!("`{name}` has the restart policy `no`: a reboot leaves it down"),
                &format!("`docker update --restart unless-stopped {name}`"),
            );
        } else {
            self.ok(area, format!("`{name}` on {}, restart policy `{}`", view.image_ref, view.restart.name));
        }
        for mount in &view.mounts {
            match &mount.source {
                MountSource::Volume(volume) if is_anonymous(volume) => self.warning(
                    area,
                    format!("{} is the anonymous volume {}", mount.destination, &volume[..12]),
                    "give it a name: `docker rm -v` and `docker-compose down -v` delete an anonymous volume",
                ),
                MountSource::Bind(path) if mount.writable && state_dir.starts_with(path) => self.problem(
                    area,
                    format!("`state_dir` lies in {path}, which belongs to it and would be set aside by a restore"),
                    "move `state_dir` somewhere else",
                ),
                _ => {}
            }
        }
    }

    /// Lists its data through the porter, and asks whether parts cover all of it.
    async fn data(&mut self, engine: &dyn ContainerEngine, adapter: &Arc<dyn InstanceAdapter>, view: &ContainerView) {
        let area = adapter.name().to_string();
        let mut listings = Vec::new();
        for wanted in adapter.survey(view) {
            let Some(mount) = view.mounts.iter().find(|mount| mount.destination == wanted.mount) else { continue };
            if !matches!(mount.source, MountSource::Volume(_) | MountSource::Bind(_)) {
                continue;
            }
            let request = PorterRequest::List { root: helper_target(0), cover: wanted.cover, stat: wanted.stat };
            match list(engine, adapter, &mount.source, &request).await {
                Ok(listing) => {
                    if let Some(run) = &listing.filling {
                        let remedy = format!("`tidegate resume {run}`, on the host that began it");
                        self.problem(&area, format!("{} is half filled by {run}", mount.source), &remedy);
                    }
                    listings.push((wanted.mount, listing));
                }
                Err(error) => return self.failed(&area, &*error),
            }
        }
        let left = adapter.leftovers(&listings);
        if let Some((first, _)) = left.first() {
            let bytes = left.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
            let more = if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
            self.warning(
                &area,
                format!("left by its own restores: {first}{more}, {} MiB", bytes >> 20),
                "delete them once nobody needs them: they hold old settings with their keys; snapshots leave them out",
            );
        }
        match adapter.parts(view, &listings) {
            Ok(parts) => {
                let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
                self.ok(&area, format!("its data is covered by {}", names.join(", ")));
            }
            Err(error) => self.failed(&area, &error),
        }
    }
}

/// Docker names them by 64 hex digits.
fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn list(
    engine: &dyn ContainerEngine,
    adapter: &Arc<dyn InstanceAdapter>,
    source: &MountSource,
    request: &PorterRequest,
) -> Result<Listing, StepError> {
    let run = RunId::new(format!("doctor-{:08x}", rand::random::<u32>()))?;
    let labels: Labels = [(LABEL_ROLE, "porter"), (LABEL_RUN, run.as_str()), (LABEL_CONTAINER, adapter.container())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let mounts = [HelperMount { source: source.clone(), writable: false }];
    match engine.porter(&porter_container(&run, adapter.name()), &mounts, &labels, request).await? {
        Answer::Listing(listing) => Ok(listing),
        Answer::Failed { error, .. } => Err(format!("at {source}: {error}").into()),
        other => Err(format!("the porter answered {other:?} to a question for a listing").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anonymous_volume_is_known_by_its_name() {
        assert!(is_anonymous(&"a1".repeat(32)) && !is_anonymous("appsmith"));
    }
}
