//! buildah 1.28 and later.

use super::{BuildRequest, COMMITTED, Command, Engine, RESULT, RESULT_ID};
use crate::model::{DiffId, Digest};

/// Options that decide how whiteouts and opaque directories are stored, and so layers: pinned and recorded.
pub const MOUNT_OPTIONS: &str = "userxattr";
/// The oldest version whose behaviour is known.
pub const VERSION_MIN: (u32, u32) = (1, 28);

/// Name of the container of a step that nothing is committed of.
const STEP: &str = "reprov-step";

/// buildah, as seen from inside the cage.
#[derive(Debug, Clone)]
pub struct Buildah {
    /// The program.
    pub program: String,
    /// The cage's tree (`/.reprov`).
    pub root: String,
}

impl Buildah {
    fn start(&self, store: &str, shared: bool) -> Command {
        let root = &self.root;
        let mut argv = vec![self.program.clone()];
        argv.extend(["--root".into(), format!("{root}/{store}")]);
        argv.extend(["--runroot".into(), format!("{root}/build/run/storage")]);
        argv.extend(["--storage-driver".into(), "overlay".into()]);
        argv.extend(["--storage-opt".into(), format!("overlay.mountopt={MOUNT_OPTIONS}")]);
        if shared {
            argv.extend(["--storage-opt".into(), format!("overlay.imagestore={root}/bases")]);
        }
        argv
    }

    fn policy(&self) -> [String; 2] {
        ["--signature-policy".into(), format!("{}/build/profile/policy.json", self.root)]
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

impl Engine for Buildah {
    fn load(&self, dir: &str, config_hex: &str, local: &str) -> Vec<Command> {
        let mut pull = self.start("bases", false);
        pull.extend(words("pull --quiet"));
        pull.extend(self.policy());
        pull.push(format!("dir:{dir}"));
        let mut tag = self.start("bases", false);
        tag.extend(["tag".into(), config_hex.into(), local.into()]);
        vec![pull, tag]
    }

    fn build(&self, request: &BuildRequest) -> Command {
        let root = &self.root;
        let mut argv = self.start("build/store", true);
        argv.extend(words("bud --isolation oci --network host --no-hosts --http-proxy=false --pull=false"));
        argv.extend(words(
            "--layers --no-cache --format docker --identity-label=false --ignorefile /dev/null",
        ));
        argv.extend(["--runtime".into(), format!("{root}/shim")]);
        argv.extend(self.policy());
        argv.extend(["--platform".into(), request.platform.clone()]);
        for (written, local) in &request.pinned {
            argv.extend(["--build-context".into(), format!("{written}=container-image://{local}")]);
        }
        if request.heredocs {
            argv.extend(["--build-context".into(), format!("reprov-heredoc={root}/build/lowered/copy")]);
        }
        for (id, path) in &request.secrets {
            argv.extend(["--secret".into(), format!("id={id},src={path}")]);
        }
        for (name, value) in &request.build_args {
            argv.extend(["--build-arg".into(), format!("{name}={value}")]);
        }
        if let Some(target) = &request.target {
            argv.extend(["--target".into(), target.clone()]);
        }
        // A layer is there as it was committed, so nothing is written out again afterwards.
        argv.extend(["--blob-cache".into(), format!("{root}/build/{COMMITTED}")]);
        argv.extend(["--iidfile".into(), format!("{root}/build/{RESULT_ID}")]);
        argv.extend(["--tag".into(), RESULT.into(), "--file".into(), format!("{root}/build/Dockerfile")]);
        argv.push(format!("{root}/build/context"));
        argv
    }

    fn step(&self, local: &str, user: Option<&str>, workdir: Option<&str>) -> Vec<Command> {
        let mut from = self.start("build/store", true);
        from.extend(words("from --quiet --pull-never"));
        from.extend(self.policy());
        from.extend(["--name".into(), STEP.into(), local.into()]);
        let mut run = self.start("build/store", true);
        run.extend(words("run --isolation oci --network host --no-hosts"));
        run.extend(["--runtime".into(), format!("{}/shim", self.root)]);
        for (flag, value) in [("--user", user), ("--workingdir", workdir)] {
            run.extend(value.map(|value| format!("{flag}={value}")));
        }
        run.extend([STEP, "--", "/bin/true"].map(str::to_owned)); // The shim knows better what is run.
        vec![from, run]
    }

    fn layer(&self, diff_id: &DiffId) -> String {
        diff_id.to_string()
    }

    fn config(&self, id: &Digest) -> String {
        format!("{id}.config")
    }

    fn export(&self, name: &str, dir: &str) -> Command {
        let mut argv = self.start("build/store", true);
        argv.extend(words("push --quiet --disable-compression"));
        argv.extend(self.policy());
        argv.extend([name.into(), format!("dir:{dir}")]);
        argv
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steps_commands_are_data() {
        let engine = Buildah { program: "/usr/bin/buildah".into(), root: "/.reprov".into() };
        let plan = engine.step("localhost/reprov-base:00", Some("app"), None);
        let plan: Vec<_> = plan.iter().map(|command| command.join(" ")).collect();
        insta::assert_snapshot!(plan.join("\n"), @r"
        /usr/bin/buildah --root /.reprov/build/store --runroot /.reprov/build/run/storage --storage-driver overlay --storage-opt overlay.mountopt=userxattr --storage-opt overlay.imagestore=/.reprov/bases from --quiet --pull-never --signature-policy /.reprov/build/profile/policy.json --name reprov-step localhost/reprov-base:00
        /usr/bin/buildah --root /.reprov/build/store --runroot /.reprov/build/run/storage --storage-driver overlay --storage-opt overlay.mountopt=userxattr --storage-opt overlay.imagestore=/.reprov/bases run --isolation oci --network host --no-hosts --runtime /.reprov/shim --user=app reprov-step -- /bin/true
        ");
    }

    #[test]
    fn the_build_command_is_data() {
        let engine = Buildah { program: "/usr/bin/buildah".into(), root: "/.reprov".into() };
        let request = BuildRequest {
            target: Some("app".into()),
            build_args: [("V".to_owned(), "1".to_owned())].into(),
            platform: "linux/amd64".into(),
            pinned: vec![("debian:x".into(), "localhost/reprov-base:00".into())],
            secrets: vec![("token".into(), "/.reprov/build/secrets/0".into())],
            heredocs: false,
        };
        insta::assert_snapshot!(engine.build(&request).join(" "), @"/usr/bin/buildah --root /.reprov/build/store --runroot /.reprov/build/run/storage --storage-driver overlay --storage-opt overlay.mountopt=userxattr --storage-opt overlay.imagestore=/.reprov/bases bud --isolation oci --network host --no-hosts --http-proxy=false --pull=false --layers --no-cache --format docker --identity-label=false --ignorefile /dev/null --runtime /.reprov/shim --signature-policy /.reprov/build/profile/policy.json --platform linux/amd64 --build-context debian:x=container-image://localhost/reprov-base:00 --secret id=token,src=/.reprov/build/secrets/0 --build-arg V=1 --target app --blob-cache /.reprov/build/committed --iidfile /.reprov/build/result --tag localhost/reprov-result:latest --file /.reprov/build/Dockerfile /.reprov/build/context");
    }
}
