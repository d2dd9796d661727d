//! Whether this machine can build, need by need, each with the line that fixes it.

use std::{fs, path::Path, time::Duration};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{BuildrootError, Ids, Tools, Workspace, tools::which};

/// One thing a build needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Stable name.
    pub name: &'static str,
    /// Whether it is met.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do if it is not met.
    pub fix: Option<String>,
}

impl Need {
    fn met(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, ok: true, found: found.into(), fix: None }
    }

    fn unmet(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, ok: false, found: found.into(), fix: Some(fix.into()) }
    }
}

/// Looks at every need; the last one enters a real cage and mounts an overlay in it.
pub async fn examine(store: &Path) -> Vec<Need> {
    let mut needs = vec![program("buildah", "buildah"), program("runc", "runc"), program("git", "git")];
    if rustix::process::geteuid().as_raw() != 0 {
        needs.push(program("newuidmap", "uidmap"));
    }
    let tools = Tools::find().await;
    needs.push(match &tools {
        Ok(tools) => {
            Need::met("engine", format!("buildah {}, runc {}", tools.engine.version, tools.runtime.version))
        }
        Err(error) => Need::unmet("engine", error.to_string(), "apt-get install buildah runc"),
    });
    needs.push(user_namespaces());
    let ids = Ids::find(store);
    needs.push(match &ids {
        Ok(ids) => Need::met(
            "subordinate ids",
            format!("65,536 from {}", ids.maps()[0].last().map_or(0, |map| map.1)),
        ),
        Err(error) => Need::unmet("subordinate ids", "none for this user", error.to_string()),
    });
    needs.push(match (tools, ids) {
        (Ok(tools), Ok(ids)) => cage(store, ids, tools).await,
        _ => Need::unmet("buildroot", "not tried: the needs above come first", "meet the needs above"),
    });
    needs
}

fn program(name: &'static str, package: &'static str) -> Need {
    match which(name) {
        Some(path) => Need::met(name, path.display().to_string()),
        None => Need::unmet(name, "not installed", format!("apt-get install {package}")),
    }
}

fn user_namespaces() -> Need {
    let name = "user namespaces";
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let root = rustix::process::geteuid().is_root();
    if read("/proc/sys/user/max_user_namespaces") == "0" {
        return Need::unmet(name, "the limit is 0", "sysctl -w user.max_user_namespaces=65536");
    }
    if !root && read("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        return Need::unmet(
            name,
            "forbidden to ordinary users",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        );
    }
    if !root && read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        return Need::unmet(
            name,
            "restricted by AppArmor",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        );
    }
    Need::met(name, "allowed")
}

/// Enters a cage and mounts an overlay there, with the options builds use.
async fn cage(store: &Path, ids: Ids, tools: Tools) -> Need {
    let name = "buildroot";
    let workspace = match Workspace::create(store, store.join("blobs"), ids, tools).await {
        Ok(workspace) => workspace,
        Err(error) => return Need::unmet(name, error.to_string(), fix(&error)),
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
            let limited = workspace.run(&plan, false, &cancel, line);
            tokio::time::timeout(Duration::from_mins(1), limited).await
        }
        Err(error) => Ok(Err(error)),
    };
    let removed = workspace.remove().await;
    match (ended, removed) {
        (Ok(Ok(super::Ended::Exited(0))), Ok(())) => Need::met(name, "entered, overlay mounted"),
        (Ok(Err(error)), _) | (_, Err(error)) => Need::unmet(name, error.to_string(), fix(&error)),
        _ => Need::unmet(name, said.trim().to_owned(), OVERLAY),
    }
}

const OVERLAY: &str =
    "an overlay in a user namespace needs Linux 5.11 and a store on a file system that takes one";

fn fix(error: &BuildrootError) -> &'static str {
    match error {
        BuildrootError::Cage(_) => {
            "a chroot(2) refuses user namespaces (enter it by pivot_root); see the message"
        }
        BuildrootError::Io { .. } => "name a store that can be written to: --store DIR",
        _ => "meet the needs above",
    }
}
