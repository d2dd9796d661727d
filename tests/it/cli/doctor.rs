//! `reprov doctor` on this machine, and in small roots made of this machine's own files that lack one thing each.

use std::{
    io::{self, Write as _},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{Lab, Registry, must, root};

#[test]
fn finds_this_machine_fit() {
    for lab in [Lab::new(), Lab::ordinary()] {
        let ran = lab.reprov(&["doctor", "--store", &lab.path("store")]).exits(0);
        assert!(ran.out.lines().all(|line| !line.starts_with("no ")), "{ran}");
        for name in
            ["kernel", "user namespaces", "overlay", "buildah", "runc", "subordinate ids", "buildroot"]
        {
            assert!(ran.out.contains(&format!("ok    {name:<16} ")), "{name}: {ran}");
        }
        assert_eq!(lab.leftovers(), [""; 0]);
    }
}

#[test]
fn names_what_is_missing_and_the_line_that_fixes_it() {
    let Some(lab) = Lab::without_subordinate_ids() else { return };
    let ran = lab.reprov(&["doctor", "--store", &lab.path("store")]).exits(3);
    ran.says("usermod --add-subuids");
    let json = lab.reprov(&["doctor", "--store", &lab.path("store"), "--format", "json"]).exits(3).json();
    assert_eq!((&json["schema"], &json["ready"]), (&"reprov.doctor/v1".into(), &false.into()), "{json:#}");
    let source = lab.source("app", &[("Dockerfile", "FROM base.example/tiny:1\n")]);
    let registry = Registry::shared();
    lab.build(registry, &source, &registry.name("no-ids"), &[]).exits(3).says("usermod --add-subuids");
}

#[test]
fn a_store_that_cannot_be_made_is_one_need_of_many() {
    let lab = Lab::new();
    let json = lab.reprov(&["doctor", "--store", "/proc/none/store", "--format", "json"]).exits(3).json();
    let answer = Answer(json);
    answer.fails("store", "/proc/none", "--store DIR");
    answer.fails("buildroot", "not tried", "above");
    answer.is_ok("buildah");
    answer.is_ok("kernel");
}

/// What doctor said.
struct Answer(Value);

impl Answer {
    #[track_caller]
    fn need(&self, name: &str) -> &Value {
        let needs = self.0["needs"].as_array().unwrap();
        let need = needs.iter().find(|need| need["name"] == name);
        need.unwrap_or_else(|| panic!("no need {name}: {:#}", self.0))
    }

    #[track_caller]
    fn is_ok(&self, name: &str) {
        assert_eq!(self.need(name)["state"], "ok", "{:#}", self.0);
    }

    #[track_caller]
    fn fails(&self, name: &str, found: &str, fix: &str) {
        let need = self.need(name);
        let has = |key: &str, words: &str| need[key].as_str().unwrap_or_default().contains(words);
        assert!(
            need["state"] == "fail" && has("found", found) && has("fix", fix),
            "{name} does not say `{found}`, `{fix}`: {:#}",
            self.0
        );
    }

    /// The names of all needs that are not met.
    fn failed(&self) -> Vec<&str> {
        let needs = self.0["needs"].as_array().unwrap();
        needs
            .iter()
            .filter(|need| need["state"] == "fail")
            .map(|need| need["name"].as_str().unwrap())
            .collect()
    }
}

/// A root of the lab's own: this machine's programs and configuration, kernel interfaces, a store, the program.
const MAKE: &str = r#"
lab=$1 program=$2
shift 2
root=$lab/root store=$lab/inside
mount --make-rprivate /
mkdir "$root" "$store"
chown --reference="$lab" "$store"
[ -n "$PLAIN" ] || mount -t tmpfs -o mode=0755 tmpfs "$root"
for name in usr bin sbin lib lib32 lib64 libx32 etc opt; do
    if [ -L "/$name" ]; then
        cp -P "/$name" "$root/"
    elif [ -d "/$name" ]; then
        mkdir "$root/$name"
        mount --rbind "/$name" "$root/$name"
    fi
done
cd "$root"
mkdir proc sys dev tmp mnt store old
chmod 1777 tmp
for name in proc sys dev; do mount --rbind "/$name" $name; done
mount --bind "$store" store
: >reprov
mount --bind "$program" reprov
"#;
const PIVOT: &str = "
pivot_root . old
cd /
umount -l /old
";
const CHROOT: &str = r#"
set -- chroot "$root" "$@"
"#;

const RUNC: &str = r#"
exec runc --root "$lab/state" run --bundle "$lab" "reprov-it-$$"
"#;

/// Capabilities that Docker and Podman give a container.
const USUAL: [&str; 9] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_SYS_CHROOT",
];

/// Makes the lab a bundle for runc: a container with `more` capabilities, whose /proc is masked or not.
fn bundle(lab: &Lab, more: &[&str], masked: bool) {
    if !root() {
        return;
    }
    must(Command::new("runc").args(["spec", "--bundle", &lab.path("")]));
    let path = lab.path("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let words = doctor(lab);
    let words = std::iter::once(words.get_program()).chain(words.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
    let process = &mut config["process"];
    (process["args"], process["terminal"]) = (json!(words), false.into());
    process["noNewPrivileges"] = false.into();
    for set in process["capabilities"].as_object_mut().unwrap().values_mut() {
        *set = json!([&USUAL, more].concat());
    }
    config["root"] = json!({"path": lab.path("root"), "readonly": false});
    if !masked {
        (config["linux"]["maskedPaths"], config["linux"]["readonlyPaths"]) = (json!([]), json!([]));
    }
    std::fs::write(path, config.to_string()).unwrap();
}

fn doctor(lab: &Lab) -> Command {
    let mut words = lab.command("/reprov");
    words.args(["doctor", "--store", "/store", "--format", "json"]);
    words
}

/// Runs doctor in a root that `change` changed, entered as `enter` says; none where only root could make one.
fn inside(lab: &Lab, change: &str, enter: &str) -> Option<Answer> {
    if !root() {
        let _ = writeln!(io::stderr(), "skipped: only root can make a root to run doctor in");
        return None;
    }
    let words = doctor(lab);
    let plain = if enter == CHROOT && change.is_empty() { "1" } else { "" };
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("PLAIN", plain);
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-ec",
        &format!("{MAKE}{change}{enter}exec \"$@\""),
        "sh",
    ]);
    command.arg(lab.path("")).arg(lab.program()).arg(words.get_program()).args(words.get_args());
    let ran = Lab::run(command);
    assert!(matches!(ran.code, Some(0 | 3)), "{ran}");
    let answer = Answer(ran.json());
    assert_eq!(answer.0["ready"], ran.code == Some(0), "{ran}");
    assert_eq!(lab.leftovers(), [""; 0]);
    Some(answer)
}

#[test]
fn a_root_entered_by_pivot_root_is_as_good_as_any() {
    for lab in [Lab::new(), Lab::ordinary()] {
        let Some(answer) = inside(&lab, "", PIVOT) else { return };
        assert_eq!(answer.failed(), [""; 0], "{:#}", answer.0);
        answer.is_ok("buildroot");
    }
}

#[test]
fn without_subordinate_ids() {
    let lab = Lab::ordinary();
    let change = ": >none; for name in subuid subgid; do mount --bind none etc/$name; done\n";
    let Some(answer) = inside(&lab, change, PIVOT) else { return };
    answer.fails("subordinate ids", "none for this user", "usermod --add-subuids 100000-165535");
    assert_eq!(answer.failed(), ["subordinate ids", "buildroot"], "{:#}", answer.0);
}

#[test]
fn without_the_rights_of_newuidmap() {
    let lab = Lab::ordinary();
    let change = "mount --bind usr/bin/true usr/bin/newuidmap\nrm -f none\n";
    let Some(answer) = inside(&lab, change, PIVOT) else { return };
    answer.fails("newuidmap", "neither setuid root", "chmod 4755");
    answer.is_ok("newgidmap");
}

#[test]
fn without_runc() {
    let lab = Lab::new();
    let change = "mount --bind /dev/null \".$(command -v runc)\"\n";
    let Some(answer) = inside(&lab, change, PIVOT) else { return };
    answer.fails("runc", "not installed", "apt-get install runc");
    answer.is_ok("overlay");
    assert_eq!(answer.failed(), ["runc", "buildroot"], "{:#}", answer.0);
}

#[test]
fn without_an_overlay_where_the_store_is() {
    for lab in [Lab::new(), Lab::ordinary()] {
        let change = "mkdir lower; (cd \"$lab\"; mkdir u w; chown --reference=. u w)\n\
            mount -t overlay -o lowerdir=lower,upperdir=\"$lab/u\",workdir=\"$lab/w\" overlay store\n";
        let Some(answer) = inside(&lab, change, PIVOT) else { return };
        answer.fails("overlay", "overlay, the store's file system, takes none", "ext4");
        answer.is_ok("user namespaces");
        assert_eq!(answer.failed(), ["overlay", "buildroot"], "{:#}", answer.0);
    }
}

#[test]
fn where_the_store_may_run_nothing() {
    let lab = Lab::new();
    let Some(answer) = inside(&lab, "mount -t tmpfs -o noexec,size=8g tmpfs store\n", PIVOT) else { return };
    answer.fails("mount options", "noexec", "remount,exec");
    assert_eq!(answer.failed(), ["mount options", "buildroot"], "{:#}", answer.0);
}

#[test]
fn where_proc_is_masked() {
    for lab in [Lab::new(), Lab::ordinary()] {
        let Some(answer) = inside(&lab, "mount --bind /dev/null proc/interrupts\n", PIVOT) else { return };
        answer.fails("proc", "/proc/interrupts", "procMount: Unmasked");
        answer.is_ok("overlay");
        assert_eq!(answer.failed(), ["proc", "buildroot"], "{:#}", answer.0);
    }
}

#[test]
fn where_there_is_no_proc() {
    let lab = Lab::new();
    let Some(answer) = inside(&lab, "", &format!("{PIVOT}umount -l /proc\n")) else { return };
    answer.fails("proc", "not mounted", "mount -t proc");
    answer.fails("buildroot", "not tried", "above");
}

#[test]
fn inside_a_chroot() {
    for lab in [Lab::new(), Lab::ordinary()] {
        // A directory as root, as chroot(2) mostly has it; then a mount, which only root can tell from a whole root.
        let Some(answer) = inside(&lab, "", CHROOT) else { return };
        answer.fails("root directory", "inside a chroot(2)", "pivot_root");
        answer.fails("user namespaces", "refused inside a chroot(2)", "pivot_root");
        answer.is_ok("kernel");
        answer.is_ok("runc");
        answer.is_ok("subordinate ids");
    }
    let Some(answer) = inside(&Lab::new(), ":\n", CHROOT) else { return };
    answer.fails("root directory", "inside a chroot(2)", "pivot_root");
    let Some(answer) = inside(&Lab::ordinary(), ":\n", CHROOT) else { return };
    answer.fails("user namespaces", "refused", "chroot(2)");
}

#[test]
fn in_a_container_as_root() {
    let lab = Lab::new();
    bundle(&lab, &[], true);
    let Some(answer) = inside(&lab, "", RUNC) else { return };
    answer.fails("rights", "without CAP_SYS_ADMIN", "ordinary user");
    answer.fails("proc", "is masked", "systempaths=unconfined");
    assert_eq!(answer.failed(), ["rights", "proc", "buildroot"], "{:#}", answer.0);
    let lab = Lab::new();
    bundle(&lab, &["CAP_SYS_ADMIN"], false);
    let Some(answer) = inside(&lab, "", RUNC) else { return };
    assert_eq!(answer.failed(), [""; 0], "{:#}", answer.0);
}

#[test]
fn in_a_container_as_an_ordinary_user() {
    let lab = Lab::ordinary();
    bundle(&lab, &[], false);
    let Some(answer) = inside(&lab, "", RUNC) else { return };
    answer.fails("newuidmap", "needs CAP_SYS_ADMIN", "setcap cap_setuid=ep");
    assert_eq!(answer.failed(), ["newuidmap", "newgidmap", "buildroot"], "{:#}", answer.0);
    let lab = Lab::ordinary();
    bundle(&lab, &["CAP_SYS_ADMIN"], false);
    let Some(answer) = inside(&lab, "", RUNC) else { return };
    assert_eq!(answer.failed(), [""; 0], "{:#}", answer.0);
}
