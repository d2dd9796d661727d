//! Whether this machine can build, need by need, each with the line that fixes it. Everything is looked at, whatever
//! fails before: facts are gathered (`facts`), then judged (`judge`), and at last a whole cage is entered.

mod facts;
mod judge;
#[cfg(test)]
mod judge_tests;
mod mounts;

use std::{path::Path, time::Duration};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::facts::{Changer, Disk, Facts};
use super::{
    BuildrootError, Ids, Tool, Tools, Workspace,
    tools::{self, which},
    with_causes,
};
use crate::store::Store;

/// How a need stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is met.
    Ok,
    /// It is met, but look at it.
    Warn,
    /// It is not met: no build works.
    Fail,
}

/// One thing a build needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Stable name.
    pub name: &'static str,
    /// Whether it is met: `state` is not `fail`.
    pub ok: bool,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it; none if `state` is `ok`.
    pub fix: Option<String>,
}

impl Need {
    fn met(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, ok: true, state: State::Ok, found: found.into(), fix: None }
    }

    fn doubtful(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, ok: true, state: State::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    fn unmet(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, ok: false, state: State::Fail, found: found.into(), fix: Some(fix.into()) }
    }

    fn untried(name: &'static str) -> Self {
        Self::unmet(name, "not tried: it needs user namespaces", "meet the needs above")
    }
}

/// Looks at every need of a build whose store is, or would be, at `dir`; the last one enters a real cage.
pub async fn examine(dir: &Path) -> Vec<Need> {
    let store = Store::open(dir);
    let facts = Facts::gather(store.as_ref().ok().map(Store::tmp).as_deref()).await;
    let disk = Disk::of(dir, &facts.mounts);
    let mut needs = judge::kernel(&facts);
    needs.push(match &store {
        Ok(store) => Need::met("store", store.root().display().to_string()),
        Err(error) => {
            Need::unmet("store", with_causes(error), "name one that can be written to: --store DIR")
        }
    });
    needs.extend(judge::store(&facts, &disk));
    let (engine, runtime) = (tools::engine().await, tools::runtime().await);
    needs.push(tool("buildah", &engine));
    needs.push(tool("runc", &runtime));
    needs.push(match which("git") {
        Some(path) => Need::met("git", path.display().to_string()),
        None => Need::unmet("git", "not installed", "apt-get install git"),
    });
    let ids = Ids::find(store.as_ref().map_or(dir, Store::root));
    needs.push(subordinate(&facts, &ids));
    if !facts.root {
        for name in ["newuidmap", "newgidmap"] {
            needs.push(judge::changer(name, &facts, Changer::find(name).as_ref()));
        }
    }
    let fit = needs.iter().all(|need| need.ok);
    needs.push(match (store, ids, engine, runtime) {
        (Ok(store), Ok(ids), Ok(engine), Ok(runtime)) if fit => {
            cage(store.root(), ids, Tools { engine, runtime, root: None }).await
        }
        _ => Need::unmet("buildroot", "not tried: the needs above come first", "meet the needs above"),
    });
    needs
}

fn tool(name: &'static str, found: &Result<Tool, BuildrootError>) -> Need {
    match found {
        Ok(tool) => Need::met(name, format!("{} at {}", tool.version, tool.path.display())),
        Err(BuildrootError::NoProgram { package, .. }) => {
            Need::unmet(name, "not installed", format!("apt-get install {package}"))
        }
        Err(error) => Need::unmet(name, with_causes(error), format!("apt-get install {name}")),
    }
}

fn subordinate(facts: &Facts, ids: &Result<Ids, BuildrootError>) -> Need {
    let name = "subordinate ids";
    match ids {
        Ok(ids) => {
            judge::blocks(facts, ids.maps().map(|map| map.last().map_or((0, 1), |map| (map.1, map.2))))
        }
        Err(error @ BuildrootError::NoSubids { .. }) => {
            Need::unmet(name, "none for this user", error.to_string())
        }
        Err(error) => Need::unmet(name, with_causes(error), "see the message"),
    }
}

/// Enters a cage and mounts an overlay there, with ids and options of builds.
async fn cage(store: &Path, ids: Ids, tools: Tools) -> Need {
    let name = "buildroot";
    let refused = |error: &BuildrootError| {
        let fix = match error {
            BuildrootError::Io { .. } => "name a store that can be written to: --store DIR",
            _ => "see the message, and docs/where.md",
        };
        Need::unmet(name, with_causes(error), fix)
    };
    let workspace = match Workspace::create(store, store.join("blobs"), ids, tools).await {
        Ok(workspace) => workspace,
        Err(error) => return refused(&error),
    };
    let script = format!(
        "cd {0}/build/tmp && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w,{1} o m && umount m",
        workspace.root(),
        crate::engine::MOUNT_OPTIONS,
    );
    let plan = [vec!["sh".to_owned(), "-ec".into(), script]];
    let mut said = String::new();
    let handed = workspace.hand_over();
    let ended = match handed {
        Ok(()) => {
            let line = |line: &[u8]| {
                said.push_str(&String::from_utf8_lossy(line));
                Ok(())
            };
            let cancel = CancellationToken::new();
            let limited = workspace.run(&plan, &[], &cancel, line);
            tokio::time::timeout(Duration::from_mins(1), limited).await
        }
        Err(error) => Ok(Err(error)),
    };
    let removed = workspace.remove().await;
    match (ended, removed) {
        (Ok(Ok(super::Ended::Exited(0))), Ok(())) => Need::met(name, "entered, overlay mounted"),
        (Ok(Err(error)), _) | (_, Err(error)) => refused(&error),
        _ => Need::unmet(name, said.trim().to_owned(), "see the message, and docs/where.md"),
    }
}
