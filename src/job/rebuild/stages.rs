//! Drift behind a `COPY --from`, followed into the stage that it was copied from.

use std::collections::BTreeMap;

use super::{Job, Outcome};
use crate::{
    attest::{Provenance, StageLayers},
    drift::{Drift, FromStage, InstructionRef},
    job::{Ports, evidence::chain, execute::Kept},
    model::limits::STAGE_LAYERS_SIZE_BYTES_MAX,
    progress::Update,
};

/// Says of each drift in a layer that was copied from another stage where it begins there; `original` reads the original's
/// stages, if it comes to that. What cannot be read of the stages is said; the rest stands.
pub(in crate::job) async fn follow(
    ports: &Ports,
    original: impl Future<Output = Result<StageLayers, String>>,
    outcome: &mut Outcome,
) {
    let own = outcome.execution.as_ref().and_then(|execution| execution.layers);
    let (Some(own), Some(explained)) = (own, &mut outcome.explained) else { return };
    let unread = |why: String| {
        let text = format!("drift behind a COPY --from is not followed into its stage: {why}");
        ports.progress.update(Update::Warning(&text));
    };
    let rebuilt = match in_store(ports, Some(own)) {
        Ok(rebuilt) => rebuilt,
        Err(why) => return unread(why),
    };
    let copied = |drift: &Drift| match &drift.instruction {
        Some(InstructionRef { line: Some(line), text }) => rebuilt.copied((*line, text)),
        _ => None,
    };
    if explained.drifts.iter().all(|drift| copied(drift).is_none()) {
        return;
    }
    let original = match original.await {
        Ok(original) => original,
        Err(why) => return unread(why),
    };
    let begins = |layer: usize| {
        rebuilt.begins(&original, layer).map(|(stage, instruction)| FromStage {
            stage: stage.stage,
            name: stage.name.clone(),
            instruction: InstructionRef { line: Some(instruction.line), text: instruction.text.clone() },
        })
    };
    let mut known: BTreeMap<usize, Option<FromStage>> = BTreeMap::new();
    for drift in &mut explained.drifts {
        let Some(layer) = copied(drift) else { continue };
        drift.from.clone_from(known.entry(layer).or_insert_with(|| begins(layer)));
    }
}

impl Job<'_> {
    /// [`follow`], with what is beside the image.
    pub(super) async fn follow(&self, provenance: &Provenance, outcome: &mut Outcome) {
        follow(self.ports, self.recorded_stages(provenance), outcome).await;
    }

    async fn recorded_stages(&self, provenance: &Provenance) -> Result<StageLayers, String> {
        let byproduct = provenance.run.byproducts.iter().find(|byproduct| byproduct.name == "layers");
        let digest = byproduct.and_then(crate::model::ResourceDescriptor::sha256);
        let digest = digest.ok_or("the provenance does not list the layers of its stages")?;
        let read = self.evidence.read(self.ports, &digest, STAGE_LAYERS_SIZE_BYTES_MAX).await;
        let bytes = read.map_err(|error| chain(&error))?;
        let bytes =
            bytes.ok_or_else(|| format!("the list of their layers {digest} is not beside the image"))?;
        StageLayers::read(&bytes).map_err(|error| chain(&error))
    }
}

/// The layers of the stages of a run here.
pub(in crate::job) fn in_store(ports: &Ports, kept: Option<Kept>) -> Result<StageLayers, String> {
    let digest = kept.ok_or("the layers of its stages were not kept")?.digest;
    let bytes = ports.store.read(&digest, STAGE_LAYERS_SIZE_BYTES_MAX).map_err(|error| chain(&error))?;
    StageLayers::read(&bytes).map_err(|error| chain(&error))
}
