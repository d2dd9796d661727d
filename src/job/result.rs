//! Takes what the engine made out of the cage: the image, and what the layers of every stage are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bstr::BString;
use serde_json::{Value, json};

use super::{
    Ports,
    assemble::{Assembled, Parts, assemble},
    bases::{Base, Tail},
    execute::{ExecuteError, Kept},
    plan::{Plan, Stage},
};
use crate::{
    attest::BuildDefinition,
    buildroot::{BuildrootError, Ended, Workspace},
    compute,
    engine::{Buildah, Command, Engine as _, RESULT},
    layer::Profile,
    model::json::canonical,
    progress::Update,
};

/// A finished run of the engine.
pub(super) struct EngineResult<'a> {
    pub(super) ports: &'a Ports,
    pub(super) definition: &'a BuildDefinition,
    pub(super) plan: &'a Plan,
    pub(super) workspace: &'a Workspace,
    pub(super) engine: &'a Buildah,
    pub(super) bases: &'a [Base],
}

impl EngineResult<'_> {
    /// The image, written canonically into the store.
    pub(super) async fn image(&self, profile: &Profile) -> Result<Assembled, ExecuteError> {
        self.assembled(RESULT, "out", profile, self.plan.result()).await
    }

    /// Keeps the canonical diffIDs of every stage, each with its instruction, so that drift behind a `COPY --from` can be
    /// followed to the instruction that made it. `images` are the engine's, by stage; a stage that did not run has none.
    pub(super) async fn keep_layers(
        &self,
        profile: &Profile,
        image: &Assembled,
        images: &[Option<String>],
    ) -> Result<Kept, ExecuteError> {
        let target = self.plan.stages.len() - 1; // A Dockerfile without a stage has no plan.
        let ids = if target == 0 { String::new() } else { self.run(self.engine.list()).await? };
        let full = |prefix: &str| {
            ids.lines().filter_map(|id| id.strip_prefix("sha256:")).find(|id| id.starts_with(prefix))
        };
        let mut stages = Vec::new();
        for (index, stage) in self.plan.stages.iter().enumerate() {
            let ran = images.get(index).and_then(Option::as_deref).and_then(full);
            let layers = match ran {
                _ if index == target => layers(image),
                Some(id) if !stage.in_result => {
                    match self.assembled(id, &format!("stage-{index}"), profile, stage).await {
                        Ok(assembled) => layers(&assembled),
                        Err(ExecuteError::Cancelled) => return Err(ExecuteError::Cancelled),
                        Err(error) => {
                            let text = format!("the layers of stage {index} are not recorded: {error}");
                            self.ports.progress.update(Update::Warning(&text));
                            continue;
                        }
                    }
                }
                _ => continue, // It did not run, or its layers are the lowest of the result's.
            };
            stages.push(json!({"stage": index, "layers": layers}));
        }
        let bytes = canonical(&json!({ "stages": stages }));
        Ok(Kept { digest: self.ports.store.put(&bytes)?, size: bytes.len() as u64 })
    }

    /// Runs one command of the engine; the last it said.
    async fn run(&self, command: Command) -> Result<String, ExecuteError> {
        let mut tail = Tail::default();
        let plan = [command];
        let ended = self.workspace.run(&plan, false, &self.ports.cancel, |line| {
            tail.push(line);
            Ok(())
        });
        match ended.await? {
            Ended::Exited(0) => Ok(tail.text()),
            Ended::Cancelled => Err(ExecuteError::Cancelled),
            Ended::Exceeded(exceeded) => Err(ExecuteError::Exceeded(exceeded)),
            _ => {
                let said = format!("the engine cannot write its result: {}", tail.text());
                Err(BuildrootError::Cage(said).into())
            }
        }
    }

    /// The engine's image `name`, through the directory `out`, as the image that `stage` makes.
    async fn assembled(
        &self,
        name: &str,
        out: &str,
        profile: &Profile,
        stage: &Stage,
    ) -> Result<Assembled, ExecuteError> {
        let to = format!("{}/build/{out}", self.workspace.root());
        self.run(self.engine.export(name, &to)).await?;
        let (store, dir) = (self.ports.store.clone(), self.workspace.dir().join(out));
        let drops = &self.definition.external.normalize.drop;
        let drops = drops.iter().map(|drop| (drop.path.clone(), drop.because.clone())).collect();
        let profile = profile.clone().with_drops(drops);
        let (chain, epoch_s) = (Arc::clone(&stage.chain), self.definition.internal.epoch);
        let base = stage.base.map(|index| self.bases[index].image.clone());
        let mounts = mounts(&self.workspace.steps()?);
        let assembled = compute::run(move || {
            let parts = Parts {
                store: &store,
                dir: &dir,
                base: base.as_ref(),
                chain: &chain,
                epoch_s,
                profile: &profile,
                mounts: &mounts,
            };
            assemble(&parts)
        });
        Ok(assembled.await?)
    }
}

/// Lowest first; those of the base have no instruction.
fn layers(image: &Assembled) -> Vec<Value> {
    let layers = image.image.config.diff_ids().iter().zip(&image.instructions);
    let layer = |(diff_id, made_by): (_, &Option<(u32, String)>)| match made_by {
        Some((line, text)) => json!({"diffId": diff_id, "instruction": {"line": line, "text": text}}),
        None => json!({"diffId": diff_id}),
    };
    layers.map(layer).collect()
}

/// Mount points of all steps, as paths in the image.
fn mounts(steps: &str) -> BTreeSet<BString> {
    let read = |line: &str| serde_json::from_str::<BTreeMap<String, Vec<String>>>(line).ok();
    let destinations =
        steps.lines().filter_map(read).flat_map(|mut step| step.remove("mounts").unwrap_or_default());
    let mut mounts: BTreeSet<_> = destinations
        .map(|path| BString::from(path.trim_matches('/')))
        .filter(|path| !path.is_empty())
        .collect();
    if mounts.iter().any(|path| path.starts_with(b"run/secrets/")) {
        mounts.insert("run/secrets".into()); // The engine makes it for the secrets in it.
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mount_points_of_all_steps() {
        let steps = concat!(
            r#"{"args":["true"],"mounts":["/proc","/run/x/","/run/secrets/a"]}"#,
            "\n",
            "not json\n",
            r#"{"args":[],"mounts":["/","/dev"]}"#,
            "\n",
        );
        let expected: BTreeSet<BString> =
            ["proc", "run/x", "run/secrets", "run/secrets/a", "dev"].map(BString::from).into();
        assert_eq!(mounts(steps), expected);
    }
}
