//! Programs that change containers behind Tidegate's back.

use super::Doctor;
use crate::engine::{ContainerEngine, ContainerView, Labels};

impl Doctor {
    /// Programs that change containers behind Tidegate's back.
    pub async fn rivals(&mut self, engine: &dyn ContainerEngine, ours: &[String]) {
        let all = match engine.labelled(&Labels::new()).await {
            Ok(all) => all,
            Err(error) => return self.failed("rivals", &error),
        };
        let managed: Vec<&ContainerView> = all.iter().filter(|view| ours.contains(&view.name)).collect();
        let mut found = false;
        for (rival, kind) in
            all.iter().filter(|view| view.is_up()).filter_map(|view| Some((view, kind_of(&view.image_ref)?)))
        {
            found = true;
            let spared = |view: &&&ContainerView| view.labels.get(WATCHTOWER).is_some_and(|value| value == "false");
            if kind == Kind::Updates && !managed.is_empty() && managed.iter().all(|view| spared(&view)) {
                self.ok(
                    "rivals",
                    format!("`{}` ({}) is told by label to leave the instances alone", rival.name, rival.image_ref),
                );
                continue;
            }
            let (what, remedy) = match kind {
                Kind::Updates => (
                    "changes images by itself, past snapshot and gate, and may delete the image that a way back needs",
                    format!("stop it, or give the instances the label {WATCHTOWER}=false"),
                ),
                Kind::Heals => {
                    ("starts containers that are at rest", "stop it, or leave the instances out of it".to_owned())
                }
            };
            self.problem("rivals", format!("`{}` ({}) {what}", rival.name, rival.image_ref), &remedy);
        }
        for view in managed.iter().filter(|view| view.labels.get(WATCHTOWER).is_some_and(|value| value == "true")) {
            found = true;
            let remedy = format!("create it without that label, or with {WATCHTOWER}=false");
            self.warning("rivals", format!("`{}` asks to be updated by watchtower, by its label", view.name), &remedy);
        }
        if !found {
            self.ok("rivals", "no rival updater runs on this engine");
        }
    }
}

const WATCHTOWER: &str = "com.centurylinklabs.watchtower.enable";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Pulls images and creates containers anew.
    Updates,
    /// Restarts what is unhealthy or stopped.
    Heals,
}

/// What an image is known to do; the ones that only tell of new versions do no harm.
fn kind_of(image: &str) -> Option<Kind> {
    let name = image.split('@').next()?.rsplit('/').next()?.split(':').next()?.to_ascii_lowercase();
    let any = |names: &[&str]| names.iter().any(|known| name.contains(known));
    if any(&["watchtower", "ouroboros", "tugtainer", "drydock", "dockcheck", "shepherd"]) {
        Some(Kind::Updates)
    } else if any(&["autoheal", "auto-heal"]) {
        Some(Kind::Heals)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_are_known_by_their_image_and_those_that_only_tell_are_none() {
        for image in
            ["containrrr/watchtower", "ghcr.io/nicholas-fedor/watchtower:1.7", "pyouroboros/ouroboros@sha256:00"]
        {
            assert_eq!(kind_of(image), Some(Kind::Updates), "{image}");
        }
        assert_eq!(kind_of("willfarrell/autoheal:1.2"), Some(Kind::Heals));
        for image in ["crazymax/diun:4", "appsmith/appsmith-ce:v2.1", "watchtower.example/app:1"] {
            assert_eq!(kind_of(image), None, "{image}");
        }
    }
}
