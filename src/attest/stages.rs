//! The byproduct `layers`: what the layers of every stage are, so that drift behind a `COPY --from` can be followed to the
//! instruction that made it (WIRE.md §2).

use serde::{Deserialize, Serialize};

use super::{rebuilt::Instruction, strict};
use crate::model::{DiffId, limits::STAGE_LAYERS_SIZE_BYTES_MAX};

/// Every stage that ran, but for those that the image stands on; that of the image last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageLayers {
    /// By number.
    pub stages: Vec<StageStack>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStack {
    /// Its number, from 0.
    pub stage: usize,
    /// What `AS` calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its layers, lowest first.
    pub layers: Vec<StageLayer>,
}

/// One of its layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageLayer {
    /// The layer, written canonically.
    pub diff_id: DiffId,
    /// What made it; those of the base have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<Instruction>,
    /// Number of the stage that it copies from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<usize>,
}

/// Why bytes are not such a list.
#[derive(Debug, thiserror::Error)]
pub enum StageLayersError {
    /// No JSON that is read.
    #[error(transparent)]
    Json(#[from] strict::JsonError),
    /// A field is missing or of another type.
    #[error("list of the stages' layers is not of its shape")]
    Shape(#[from] serde_json::Error),
}

impl StageLayers {
    /// Reads it; unknown fields are ignored.
    ///
    /// # Errors
    /// [`StageLayersError`].
    pub fn read(bytes: &[u8]) -> Result<Self, StageLayersError> {
        let value = strict::read(bytes, STAGE_LAYERS_SIZE_BYTES_MAX)?;
        Ok(Self::deserialize(&*strict::without_nulls(&value))?)
    }

    /// The layer of the image that an instruction made by copying from another stage.
    #[must_use]
    pub fn copied(&self, made_by: (u32, &str)) -> Option<usize> {
        let mut layers = self.stages.last()?.layers.iter();
        layers.position(|layer| {
            let by = layer.instruction.as_ref().map(|by| (by.line, by.text.as_str()));
            layer.from.is_some() && by == Some(made_by)
        })
    }

    fn stage(&self, number: usize) -> Option<&StageStack> {
        self.stages.iter().find(|stage| stage.stage == number)
    }

    /// Where the difference of `layer` of the image begins, if it was copied from another stage: the first instruction
    /// there whose layer is another than in `other`, and so on from that if it copies too.
    #[must_use]
    pub fn begins(&self, other: &Self, layer: usize) -> Option<(&StageStack, &Instruction)> {
        let mut from = self.stages.last()?.layers.get(layer)?.from?;
        let mut found = None;
        loop {
            let next = self.stage(from).zip(other.stage(from)).and_then(|(stage, other)| {
                let mut others = other.layers.iter();
                let layer = stage
                    .layers
                    .iter()
                    .find(|layer| others.next().is_none_or(|other| other.diff_id != layer.diff_id))?;
                Some((stage, layer.instruction.as_ref()?, layer.from))
            });
            let Some((stage, instruction, copied)) = next else { return found };
            found = Some((stage, instruction));
            match copied.filter(|copied| *copied < from) {
                Some(copied) => from = copied,
                None => return found,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, json::canonical};

    /// A stage of layers (content, line, from); line 0: the base's.
    fn stage(stage: usize, layers: &[(&str, u32, Option<usize>)]) -> StageStack {
        let layer = |(content, line, from): &(&str, u32, Option<usize>)| StageLayer {
            diff_id: DiffId(Digest::of(content.as_bytes())),
            instruction: (*line > 0).then(|| Instruction { line: *line, text: "RUN true".into() }),
            from: *from,
        };
        StageStack { stage, name: None, layers: layers.iter().map(layer).collect() }
    }

    fn image(deps: &str, builder: &str, copied: &str) -> StageLayers {
        let deps = stage(0, &[("base", 0, None), ("same", 2, None), (deps, 3, None)]);
        let builder = stage(1, &[("base", 0, None), (builder, 5, Some(0)), ("x", 6, None)]);
        let result =
            stage(3, &[("tiny", 0, None), (copied, 9, Some(1)), ("y", 10, None), ("z", 11, Some(2))]);
        StageLayers { stages: vec![deps, builder, result] }
    }

    #[track_caller]
    fn check(a: &StageLayers, b: &StageLayers, layer: usize, expected: Option<(usize, u32)>) {
        let found = a.begins(b, layer).map(|(stage, instruction)| (stage.stage, instruction.line));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_copy_leads_to_the_first_instruction_that_differs() {
        let one = image("1", "1", "1");
        check(&one, &image("2", "2", "2"), 1, Some((0, 3)));
        check(&one, &image("1", "2", "2"), 1, Some((1, 5)));
        check(&one, &image("1", "1", "2"), 1, None);
        check(&one, &image("2", "2", "2"), 2, None);
        check(&one, &image("2", "2", "2"), 3, None);
        check(&one, &image("2", "2", "2"), 9, None);
        let mut short = image("1", "1", "2");
        short.stages[1].layers.truncate(2);
        check(&one, &short, 1, Some((1, 6)));
        check(&StageLayers::default(), &one, 1, None);
    }

    #[test]
    fn stages_that_copy_from_each_other_end_the_search() {
        let looped = |content: &str| StageLayers {
            stages: vec![
                stage(0, &[(content, 1, Some(1))]),
                stage(1, &[(content, 2, Some(1))]),
                stage(2, &[("x", 3, Some(1))]),
            ],
        };
        check(&looped("1"), &looped("2"), 0, Some((1, 2)));
    }

    #[test]
    fn reads_what_it_writes_and_what_older_releases_wrote() {
        let image = image("1", "2", "3");
        let bytes = canonical(&serde_json::to_value(&image).unwrap());
        assert_eq!(StageLayers::read(&bytes).unwrap(), image);
        let digest = Digest::of(b"x");
        let old = format!(r#"{{"stages":[{{"layers":[{{"diffId":"{digest}"}}],"stage":0}}]}}"#);
        assert_eq!(StageLayers::read(old.as_bytes()).unwrap().stages[0].layers[0].diff_id, DiffId(digest));
        assert!(StageLayers::read(b"{}").is_err());
        assert!(StageLayers::read(b"[").is_err());
    }
}
