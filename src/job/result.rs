//! Takes what the engine made out of the cage.

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;

use super::{
    Ports,
    assemble::{Assembled, Parts, assemble},
    bases::{Base, Tail},
    execute::ExecuteError,
    plan::Plan,
};
use crate::{
    attest::BuildDefinition,
    buildroot::{BuildrootError, Ended, Workspace},
    compute,
    engine::{Buildah, Engine as _, RESULT},
    layer::Profile,
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
        let to = format!("{}/build/out", self.workspace.root());
        let mut tail = Tail::default();
        let plan = [self.engine.export(RESULT, &to)];
        let ended = self.workspace.run(&plan, false, &self.ports.cancel, |line| {
            tail.push(line);
            Ok(())
        });
        match ended.await? {
            Ended::Exited(0) => {}
            Ended::Cancelled => return Err(ExecuteError::Cancelled),
            _ => {
                let said = format!("the engine cannot write its result: {}", tail.text());
                return Err(BuildrootError::Cage(said).into());
            }
        }
        let (store, dir) = (self.ports.store.clone(), self.workspace.dir().join("out"));
        let drops = &self.definition.external.normalize.drop;
        let drops = drops.iter().map(|drop| (drop.path.clone(), drop.because.clone())).collect();
        let profile = profile.clone().with_drops(drops);
        let (chain, epoch_s) = (self.plan.chain.clone(), self.definition.internal.epoch);
        let base = self.plan.base_of_chain.map(|index| self.bases[index].image.clone());
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

/// Mount points of all steps, as paths in the image.
fn mounts(steps: &str) -> BTreeSet<BString> {
    let read = |line: &str| serde_json::from_str::<BTreeMap<String, Vec<String>>>(line).ok();
    let destinations =
        steps.lines().filter_map(read).flat_map(|mut step| step.remove("mounts").unwrap_or_default());
    destinations.map(|path| BString::from(path.trim_matches('/'))).filter(|path| !path.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mount_points_of_all_steps() {
        let steps = concat!(
            r#"{"args":["true"],"mounts":["/proc","/run/x/"]}"#,
            "\n",
            "not json\n",
            r#"{"args":[],"mounts":["/","/dev"]}"#,
            "\n",
        );
        let expected: BTreeSet<BString> = ["proc", "run/x", "dev"].map(BString::from).into();
        assert_eq!(mounts(steps), expected);
    }
}
