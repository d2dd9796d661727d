//! Takes what the engine made out of the cage: the image, and what the layers of every stage are.
#![expect(clippy::disallowed_methods, reason = "lists what the engine committed")]

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use bstr::{BString, ByteSlice as _};

use super::{
    Ports,
    assemble::{AssembleError, Assembled, Parts, assemble, open, read_config},
    bases::{Base, Tail},
    execute::{ExecuteError, Kept},
    owned::owned,
    plan::{self, Link, Plan, Stage},
    stages,
};
use crate::{
    attest::{BuildDefinition, StageLayer, StageLayers, StageStack, rebuilt::Instruction},
    buildroot::{BuildrootError, Ended, Workspace},
    compute,
    engine::{Buildah, COMMITTED, Command, Engine as _, RESULT_ID},
    layer::{Profile, drop_rule},
    model::{DiffId, Digest, json::to_canonical, limits},
    oci::Config,
    progress::Update,
};

/// Most files of packages that are named one by one.
const WARNED_PATHS_MAX: usize = 10;

/// A finished run of the engine.
pub(super) struct EngineResult<'a> {
    pub(super) ports: &'a Ports,
    pub(super) definition: &'a BuildDefinition,
    pub(super) plan: &'a Plan,
    pub(super) workspace: &'a Workspace,
    pub(super) engine: &'a Buildah,
    pub(super) bases: &'a [Base],
    /// Mount points of all steps, as in a container.
    pub(super) mounts: &'a BTreeSet<String>,
}

impl EngineResult<'_> {
    /// The image, written canonically into the store.
    pub(super) async fn image(&self, profile: &Profile) -> Result<Assembled, ExecuteError> {
        self.assembled(&self.result_id()?, "export", profile, self.plan.result()).await
    }

    /// Warns of drops of the recipe that took nothing, and of those that took what packages own.
    pub(super) async fn warn_of_drops(&self, image: &Assembled) -> Result<(), ExecuteError> {
        let warn = |text: String| self.ports.progress.update(Update::Warning(&text));
        for drop in &self.definition.external.normalize.drop {
            let rule = drop_rule(&drop.path);
            if !image.normalized.iter().any(|count| count.rule == rule) {
                warn(format!("[normalize] drop: `{}` matches nothing that a RUN step left", drop.path));
            }
        }
        if image.dropped.is_empty() {
            return Ok(());
        }
        let (store, layers) = (self.ports.store.clone(), image.image.manifest.layers().to_vec());
        let dropped = image.dropped.clone();
        let owned = compute::run(move || {
            owned(&store, &layers, &dropped)
                .map_err(|source| AssembleError::Layer { instruction: "[normalize] drop".to_owned(), source })
        });
        let owned = owned.await?;
        for (path, package) in owned.iter().take(WARNED_PATHS_MAX) {
            warn(format!("[normalize] drop: `{}` is a file of package `{package}`", path.to_str_lossy()));
        }
        if owned.len() > WARNED_PATHS_MAX {
            warn(format!("[normalize] drop: and {} more files of packages", owned.len() - WARNED_PATHS_MAX));
        }
        Ok(())
    }

    fn result_id(&self) -> Result<Digest, AssembleError> {
        let path = self.workspace.dir().join(RESULT_ID);
        let bytes = open(&path).and_then(|file| limits::read_bounded(file, 100, "id of the result"));
        let bytes = bytes.map_err(|source| AssembleError::Read { path, source })?;
        let id = str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
        id.ok_or(AssembleError::Id)
    }

    /// Ids and configs of what the engine committed, as far as its history is as long as that of a stage which the result
    /// does not stand on.
    fn committed(&self) -> Result<Vec<(Digest, Config)>, AssembleError> {
        let others = self.plan.stages.iter().filter(|stage| !stage.in_result);
        let base =
            |stage: &Stage| stage.base.map_or(0, |index| self.bases[index].image.config.history().len());
        let lengths: BTreeSet<usize> = others.map(|stage| base(stage) + stage.chain.len()).collect();
        if lengths.is_empty() {
            return Ok(Vec::new());
        }
        let path = self.workspace.dir().join(COMMITTED);
        let entries = std::fs::read_dir(&path);
        let entries = entries.map_err(|source| AssembleError::Read { path: path.clone(), source })?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut committed = Vec::new();
        for id in names.filter_map(|name| name.strip_suffix(".config")?.parse().ok()) {
            // One that cannot be read is no stage's.
            let config = read_config(&path.join(self.engine.config(&id)));
            let config = config.ok().filter(|config| lengths.contains(&config.history().len()));
            committed.extend(config.map(|config| (id, config)));
        }
        Ok(committed)
    }

    /// Keeps the canonical diffIDs of every stage, each with its instruction, so that drift behind a `COPY --from` can be
    /// followed to the instruction that made it. A stage that did not run has none.
    pub(super) async fn keep_layers(
        &self,
        profile: &Profile,
        image: &Assembled,
    ) -> Result<Kept, ExecuteError> {
        let target = self.plan.stages.len() - 1; // A Dockerfile without a stage has no plan.
        let committed = self.committed()?;
        let mut listed = Vec::new();
        for (index, stage) in self.plan.stages.iter().enumerate() {
            let base = stage.base.map(|index| &self.bases[index].image.config);
            let ran = stages::find(&committed, base, &stage.chain, stages::alike(&self.plan.stages, index));
            let layers = match ran {
                _ if index == target => layers(image, stage),
                Some(id) if !stage.in_result => {
                    match self.assembled(id, &format!("export-{index}"), profile, stage).await {
                        Ok(assembled) => layers(&assembled, stage),
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
            listed.push(StageStack { stage: index, name: stage.name.clone(), layers });
        }
        let bytes = to_canonical(&StageLayers { stages: listed }).expect("its keys are strings");
        Ok(Kept { digest: self.ports.store.put(&bytes)?, size: bytes.len() as u64 })
    }

    /// Runs one command of the engine; the last it said.
    async fn run(&self, command: Command) -> Result<String, ExecuteError> {
        let mut tail = Tail::default();
        let plan = [command];
        let ended = self.workspace.run(&plan, &[], &self.ports.cancel, |line| {
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

    /// The engine's image `id` as the image that `stage` makes; `export` names a directory that nobody uses yet.
    async fn assembled(
        &self,
        id: &Digest,
        export: &str,
        profile: &Profile,
        stage: &Stage,
    ) -> Result<Assembled, ExecuteError> {
        let base = stage.base.map(|index| self.bases[index].clone());
        let mut config = self.workspace.dir().join(COMMITTED).join(self.engine.config(id));
        if config.symlink_metadata().is_err() {
            config = self.exported(id, export).await?.join(id.hex()); // A Dockerfile of FROM alone commits nothing.
        }
        let config = read_config(&config)?;
        let inherited = base.as_ref().map_or(0, |base| base.image.config.diff_ids().len());
        let files = self.files(id, config.diff_ids().get(inherited..).unwrap_or_default(), export).await?;
        let drops = &self.definition.external.normalize.drop;
        let drops = drops.iter().map(|drop| (drop.path.clone(), drop.because.clone())).collect();
        let (store, profile) = (self.ports.store.clone(), profile.clone().with_drops(drops));
        let (chain, epoch_s) = (Arc::clone(&stage.chain), self.definition.internal.epoch);
        let mounts = mounts(self.mounts);
        let assembled = compute::run(move || {
            let contents = base.as_ref().map(|base| base.contents(&store)).transpose()?;
            let parts = Parts {
                store: &store,
                config: &config,
                files: &files,
                base: base.as_ref().map(|base| &base.image).zip(contents.as_ref().map(|found| &found.lower)),
                chain: &chain,
                epoch_s,
                profile: &profile,
                mounts: &mounts,
            };
            Ok::<_, ExecuteError>(assemble(&parts)?)
        });
        assembled.await
    }

    /// Where each of the layers `own` of the image `id` is. The engine keeps only what it commits: for a layer that its
    /// store has already, as when a base was made by the same instruction, all are written out to `export`.
    async fn files(&self, id: &Digest, own: &[DiffId], export: &str) -> Result<Vec<PathBuf>, ExecuteError> {
        let dir = self.workspace.dir().join(COMMITTED);
        let kept: Vec<_> = own.iter().map(|diff_id| dir.join(self.engine.layer(diff_id))).collect();
        if kept.iter().all(|path| path.symlink_metadata().is_ok()) {
            return Ok(kept);
        }
        let dir = self.exported(id, export).await?;
        Ok(own.iter().map(|diff_id| dir.join(diff_id.0.hex())).collect())
    }

    /// The directory `export` with all of the image `id`, written unless it is there.
    async fn exported(&self, id: &Digest, export: &str) -> Result<PathBuf, ExecuteError> {
        let dir = self.workspace.dir().join(export);
        if dir.symlink_metadata().is_err() {
            let to = format!("{}/build/{export}", self.workspace.root());
            self.run(self.engine.export(&id.hex(), &to)).await?;
        }
        Ok(dir)
    }
}

/// The layers that `stage` came to.
fn layers(image: &Assembled, stage: &Stage) -> Vec<StageLayer> {
    let from = |(line, text): &(u32, String)| {
        let made = |link: &&Link| plan::line(link.step.line) == *line && link.step.text == *text;
        stage.chain.iter().find(made).and_then(|link| link.step.from)
    };
    let layers = image.image.config.diff_ids().iter().zip(&image.instructions);
    let layer = |(diff_id, made_by): (&DiffId, &Option<(u32, String)>)| StageLayer {
        diff_id: *diff_id,
        instruction: made_by.clone().map(|(line, text)| Instruction { line, text }),
        from: made_by.as_ref().and_then(from),
    };
    layers.map(layer).collect()
}

/// Mount points of all steps, as paths in the image.
fn mounts(destinations: &BTreeSet<String>) -> BTreeSet<BString> {
    let mut mounts: BTreeSet<_> = destinations
        .iter()
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
    fn mount_points_become_paths_in_the_image() {
        let steps = ["/proc", "/run/x/", "/run/secrets/a", "/", "/dev"].map(str::to_owned).into();
        let expected: BTreeSet<BString> =
            ["proc", "run/x", "run/secrets", "run/secrets/a", "dev"].map(BString::from).into();
        assert_eq!(mounts(&steps), expected);
    }
}
