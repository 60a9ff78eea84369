//! Whether this host can hold the container that is to come, and whether its data is its own.

use super::At;
use super::look::NotFit;
use crate::engine::EngineError;
use crate::model::definition::{Definition, MountSource};
use crate::model::layout;
use crate::workflow::{RunCx, StepError};

impl At {
    /// Creates a trial of that container and removes it, so that what this host cannot give is found while nothing
    /// was touched. Refuses fields that would get lost and that nobody said may be.
    pub(super) async fn can_be_created(&self, cx: &RunCx, definition: &Definition) -> Result<(), StepError> {
        let trial = layout::trial_container(&cx.run, &self.instance);
        let tried = self.engine().try_out(&trial, definition, &self.labels(&cx.run, "trial")).await;
        let lost = match tried {
            Ok(lost) => lost,
            Err(error @ (EngineError::Unreachable { .. } | EngineError::LostAnswer { .. })) => return Err(error.into()),
            Err(source) => {
                let container = definition.container.clone();
                return Err(Box::new(NotFit::CannotCreate { container, source }));
            }
        };
        let known = self.tools.settings.acknowledged.get(&self.instance);
        let (known, unknown): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|field| known.is_some_and(|known| known.fields.contains(field)));
        if !unknown.is_empty() {
            let (instance, container) = (self.instance.clone(), definition.container.clone());
            return Err(Box::new(NotFit::Lossy { instance, container, fields: unknown }));
        }
        if !known.is_empty() {
            let fields = known.join(", ");
            cx.warn(format!("`{}` loses {fields} when it is created anew, as acknowledged", definition.container));
        }
        Ok(())
    }

    /// Fails if another running container may write to the data: what is read then is torn, and what is filled in is
    /// overwritten.
    pub(super) async fn nobody_else_writes(&self, sources: &[MountSource]) -> Result<(), StepError> {
        let known = self.tools.settings.acknowledged.get(&self.instance);
        for source in sources {
            let writers = self.engine().writers_of(source).await?;
            let other = writers.into_iter().find(|writer| {
                writer != self.container() && !known.is_some_and(|known| known.writers.contains(writer))
            });
            if let Some(writer) = other {
                let (instance, source_text) = (self.instance.clone(), source.to_string());
                return Err(Box::new(NotFit::OtherWriter { instance, source_text, writer }));
            }
        }
        Ok(())
    }
}
