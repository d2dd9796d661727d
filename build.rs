//! Compiles the static shim (src/shim) and hands its path to the library, which embeds it.

#![expect(clippy::disallowed_methods, reason = "a build script: it reads what cargo sets and starts rustc")]

use std::{env, path::PathBuf, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=src/shim");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("reprov-shim");
    let status = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"))
        .args([
            "--edition=2024",
            "--crate-name=reprov_shim",
            "--crate-type=bin",
            "-Copt-level=s",
            "-Cstrip=symbols",
        ])
        .args(["-Ctarget-feature=+crt-static", "-Crelocation-model=static", "-Cpanic=abort", "--target"])
        .arg(env::var("TARGET").expect("cargo sets TARGET"))
        .arg("src/shim/main.rs")
        .arg("-o")
        .arg(&out)
        .status()
        .expect("rustc runs");
    assert!(status.success(), "the shim does not compile");
    println!("cargo::rustc-env=REPROV_SHIM_BINARY={}", out.display());
}
