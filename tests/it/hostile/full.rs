//! A full disk at every write: said with the store's path and what to do, nothing half is left, and the next run works
//! once there is room.

use std::{fs, path::Path, process::Command};

use crate::support::{Lab, Registry, must, root};

#[test]
fn a_disk_that_is_full_at_once_or_while_the_base_or_a_step_is_written() {
    full("full-few", &["64k", "1m", "6m"]);
}

#[test]
#[ignore = "slow: make acceptance"]
fn a_disk_of_any_size() {
    let kib = (1..=24).map(|step| format!("{}k", step * 512));
    let sizes: Vec<String> = ["16k", "128k"].map(str::to_owned).into_iter().chain(kib).collect();
    full("full-many", &sizes.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Runs its arguments on an empty disk of SIZE at STORE, then with room; what is not whole goes to OUT.
const SCRIPT: &str = r#"
set -eu
size=$1 store=$2 out=$3; shift 3
mount -t tmpfs -o "size=$size,mode=0700" none "$store"
code=0; "$@" >"$out/answer" 2>"$out/said" || code=$?
echo "$code" >"$out/code"
: >"$out/broken"
if cd "$store/blobs/sha256" 2>/dev/null; then
    for blob in *; do
        [ -e "$blob" ] || continue
        [ "$(sha256sum <"$blob" | cut -c1-64)" = "$blob" ] || echo "$blob" >>"$out/broken"
    done
    cd /
fi
ls -A "$store/engine/builds" 2>/dev/null | grep -v '\.lock$' >>"$out/broken" || true
mount -o remount,size=1g "$store"
"$@" >"$out/answer-later" 2>"$out/said-later" || { cat "$out/said-later" >&2; exit 1; }
ls -A "$store/tmp" "$store/engine/builds" | grep -v ':$' | grep . >>"$out/broken" || true
"#;

/// Whether this kernel can build on a tmpfs: the overlay's marks are user attributes, which tmpfs has since Linux 6.6.
fn overlay_on_tmpfs() -> bool {
    let script = "mount -t tmpfs none /mnt && cd /mnt && mkdir l u w m \
        && mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w,userxattr m";
    Command::new("unshare").args(["--mount", "sh", "-c", script]).output().unwrap().status.success()
}

fn full(repository: &str, sizes: &[&str]) {
    if !root() || !overlay_on_tmpfs() {
        println!("skipped: only root can mount a small disk, and on a tmpfs only from Linux 6.6 on");
        return;
    }
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1\nRUN dd if=/dev/zero of=/zeros bs=1024 count=2048 2>&1\n\
        COPY large /large\n";
    let large = "0123456789abcdef".repeat(1 << 16);
    let source = lab.source("app", &[("Dockerfile", dockerfile), ("large", &large)]);
    fs::create_dir(lab.path("store")).unwrap();
    let out = lab.path("out");
    fs::create_dir(&out).unwrap();
    let mut failed = 0;
    for size in sizes {
        let built = lab.building(registry, &source, &registry.name(repository), &[]);
        let mut command = lab.command("unshare");
        command.args(["--mount", "bash", "-c", SCRIPT, "full", size, &lab.path("store"), &out]);
        command.arg(built.get_program()).args(built.get_args());
        must(&mut command);
        failed += u32::from(judge(size, Path::new(&out), &lab.path("store")));
        assert_eq!(lab.leftovers(), [""; 0], "{size}");
    }
    assert!(failed > 0, "no disk was small enough");
}

/// Whether the build failed on the small disk, in the way it should.
fn judge(size: &str, out: &Path, store: &str) -> bool {
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let (code, said) = (read("code"), read("said"));
    println!(
        "{size}: {} {}",
        code.trim(),
        said.lines().filter(|line| line.starts_with("error")).collect::<String>()
    );
    assert_eq!(read("broken"), "", "{size}: {said}");
    if code.trim() == "0" {
        return false;
    }
    assert!(code.trim() == "3", "{size}: {code}{said}");
    for words in ["error: ", "hint: ", "--store", store] {
        assert!(said.contains(words), "{size}: `{words}`: {said}");
    }
    assert!(said.to_lowercase().contains("no space left on device"), "{size}: {said}");
    true
}
