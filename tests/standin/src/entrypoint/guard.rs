//! May this image start on this data? Asked before anything is changed.

use crate::behaviour::Behaviour;
use crate::data::marker::{self, Verdict};
use crate::failure::{Failure, Result};
use crate::paths::Volume;
use crate::say;

/// Refuses data that is too new or too old, with the texts of the real entry point and backend.
pub fn may_start(volume: &Volume, behaviour: &Behaviour) -> Result<()> {
    let (version, writes, reads_from) = (behaviour.version, behaviour.format, behaviour.reads_from);
    match marker::judge(marker::read(volume)?, writes, reads_from) {
        Verdict::Fresh | Verdict::Same => Ok(()),
        Verdict::Raises(from) => {
            say::out(&format!(
                "MongoDB data files have feature compatibility version {from}.0, and will be raised to {writes}.0"
            ));
            Ok(())
        }
        Verdict::TooNew(found) => Err(Failure::new(format!(
            "ERROR: the MongoDB data files have feature compatibility version {found}.0, but Appsmith {version} supports \
             at most {writes}.0.\nThis data was used by a newer version of Appsmith. Going back to an older image is not \
             possible with it: start the newer image, or restore a backup taken before the upgrade. Nothing was changed."
        ))),
        Verdict::TooOld(found) => {
            say::err("APPSMITH BACKEND START ABORTED - CHECKPOINT MISSED");
            Err(Failure::new(format!(
                "Looks like you skipped some required update(s). Please go back to the mandatory version and upgrade \
                 from there (AE-APP-5022).\nThe MongoDB data files have feature compatibility version {found}.0, but \
                 Appsmith {version} needs at least {reads_from}.0. Nothing was changed."
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Baked;
    use crate::options::Options;

    fn image(version: &str) -> Behaviour {
        let words = ["--version".to_owned(), version.to_owned()];
        Baked::take(&mut Options::read(&words).unwrap()).unwrap().in_environment(None, None).unwrap()
    }

    #[test]
    fn a_downgrade_and_a_skipped_checkpoint_are_refused_and_the_path_between_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::at(dir.path());
        std::fs::create_dir_all(volume.mongodb()).unwrap();
        assert!(may_start(&volume, &image("v2.0")).is_ok(), "fresh data");
        marker::raise(&volume, 5).unwrap();
        let skipped = may_start(&volume, &image("v2.0")).unwrap_err().to_string();
        assert!(skipped.starts_with("Looks like you skipped some required update(s)"), "{skipped}");
        assert!(may_start(&volume, &image("v1.99")).is_ok());
        marker::raise(&volume, 6).unwrap();
        assert!(may_start(&volume, &image("v2.5.1")).is_ok());
        marker::raise(&volume, 7).unwrap();
        let old = may_start(&volume, &image("v1.99")).unwrap_err().to_string();
        assert!(old.contains("7.0, but Appsmith v1.99 supports at most 6.0"), "{old}");
    }
}
