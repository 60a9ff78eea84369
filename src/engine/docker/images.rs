//! Images: looking, pulling, naming.

use bollard::models::ImageInspect;
use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder};
use futures::StreamExt;

use super::DockerEngine;
use super::containers::image_id;
use super::errors::{not_in_time, status, unexpected};
use super::ours::missing_image;
use crate::engine::{EngineError, ImageView};
use crate::model::ids::ImageId;

impl DockerEngine {
    pub(super) async fn image(&self, reference: &str) -> Result<Option<ImageView>, EngineError> {
        let action = || format!("look at the image `{reference}`");
        if !is_reference(reference) {
            return Err(unexpected(action(), "that is not the name of an image"));
        }
        match self.docker.inspect_image(reference).await {
            Ok(image) => view(image).map(Some).ok_or_else(|| unexpected(action(), "it has no id")),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.trouble(action(), error)),
        }
    }

    pub(super) async fn pull(&self, reference: &str) -> Result<ImageView, EngineError> {
        let action = || format!("pull `{reference}`");
        if !is_reference(reference) {
            return Err(unexpected(action(), "that is not the name of an image"));
        }
        let (name, version) = split(reference);
        let options = CreateImageOptionsBuilder::default().from_image(name).tag(version).build();
        let docker = self.patient(self.options.pull_stall);
        let mut progress = docker.create_image(Some(options), None, None).boxed();
        loop {
            let next = tokio::time::timeout(self.options.pull_stall, progress.next()).await;
            match next {
                Err(_) => return Err(not_in_time(action(), "nothing came from the registry", self.options.pull_stall)),
                Ok(None) => break,
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => return Err(self.image_trouble(action(), reference, error)),
            }
        }
        // A pull can end quietly without an image, so what counts is what lies here now.
        self.image(reference).await?.ok_or_else(|| missing_image(reference))
    }

    pub(super) async fn tag(&self, image: &ImageId, tag: &str) -> Result<(), EngineError> {
        let action = || format!("tag {} as `{tag}`", image.short());
        if !is_reference(tag) {
            return Err(unexpected(action(), "that is not the name of an image"));
        }
        let (name, version) = split(tag);
        let options = TagImageOptionsBuilder::default().repo(name).tag(version).build();
        let tagged = self.docker.tag_image(image.as_str(), Some(options)).await;
        tagged.map_err(|error| self.image_trouble(action(), image.as_str(), error))
    }

    pub(super) async fn untag(&self, tag: &str) -> Result<(), EngineError> {
        let action = || format!("take the name `{tag}` away");
        let Some(image) = self.image(tag).await? else { return Ok(()) };
        // By an id the engine would remove the image under all of its names.
        if tag == image.id.as_str() || image.id.as_str().trim_start_matches("sha256:").starts_with(tag) {
            return Err(unexpected(action(), "that is an id and not a name"));
        }
        let options = RemoveImageOptionsBuilder::default().force(false).noprune(true).build();
        match self.docker.remove_image(tag, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            // It is the image's only name, and a container uses it: then the name has to stay.
            Err(error) if status(&error) == Some(409) => {
                tracing::info!(tag, image = image.id.short(), "the name of an image in use was kept");
                Ok(())
            }
            Err(error) => Err(self.trouble(action(), error)),
        }
    }
}

fn view(image: ImageInspect) -> Option<ImageView> {
    let config = image.config.unwrap_or_default();
    let mut volumes = config.volumes.unwrap_or_default();
    volumes.sort();
    Some(ImageView {
        id: image_id(image.id)?,
        digests: image.repo_digests.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        volumes,
        architecture: image.architecture.unwrap_or_default(),
        size_bytes: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
    })
}

/// Something that may stand in a path of the API.
fn is_reference(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    !text.is_empty()
        && text.chars().all(fine)
        && !text.split('/').any(|part| part.is_empty() || part == "." || part == "..")
}

/// Name and tag, or name and digest. Without a tag older engines would fetch all of them.
fn split(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        // A tag beside a digest says nothing.
        return (untagged(name).0, digest);
    }
    let (name, tag) = untagged(reference);
    (name, tag.unwrap_or("latest"))
}

fn untagged(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        // The colon of a registry's port comes before a `/`.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (reference, None),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_reference, split};

    #[test]
    fn a_port_is_not_a_tag_and_a_missing_tag_is_latest() {
        assert_eq!(split("127.0.0.1:5000/inst"), ("127.0.0.1:5000/inst", "latest"));
        assert_eq!(split("127.0.0.1:5000/inst:v1"), ("127.0.0.1:5000/inst", "v1"));
        assert_eq!(split("a/b:v1@sha256:00"), ("a/b", "sha256:00"));
        assert_eq!(split("a/b"), ("a/b", "latest"));
    }

    #[test]
    fn a_reference_cannot_leave_its_place_in_a_path() {
        for bad in ["", "a/../b", "a//b", "a b", "a?x", "/a"] {
            assert!(!is_reference(bad), "{bad}");
        }
        assert!(is_reference("sha256:0123"));
        assert!(is_reference("127.0.0.1:5000/inst@sha256:00"));
    }
}
