//! Compiles the static shim (src/shim) and the clock's shared object (src/clock), and hands their paths to the library,
//! which embeds them.

#![expect(clippy::disallowed_methods, reason = "a build script: it reads what cargo sets and starts rustc")]

use std::{env, path::PathBuf, process::Command};

fn main() {
    compile(
        "shim/main.rs",
        "SHIM_BINARY",
        &[
            "--crate-name=reprov_shim",
            "--crate-type=bin",
            "-Ctarget-feature=+crt-static",
            "-Crelocation-model=static",
        ],
    );
    // Without any libc, so that it is loaded whatever libc a program has. One unit: what assembly says of symbols holds
    // for all of it.
    compile(
        "clock/lib.rs",
        "CLOCK_OBJECT",
        &[
            "--crate-name=reprov_clock",
            "--crate-type=cdylib",
            "-Ctarget-feature=-crt-static",
            "-Ccodegen-units=1",
            "-Cforce-unwind-tables=yes",
            "-Clink-args=-nostdlib -nostartfiles",
        ],
    );
}

/// Compiles `src/SOURCE` without dependencies; the library finds its path in `REPROV_NAME`.
fn compile(source: &str, name: &str, args: &[&str]) {
    let source = PathBuf::from("src").join(source);
    println!("cargo::rerun-if-changed={}", source.parent().expect("it has a directory").display());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(name);
    let status = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC"))
        .args(["--edition=2024", "-Copt-level=s", "-Cstrip=symbols", "-Cpanic=abort", "--target"])
        .arg(env::var("TARGET").expect("cargo sets TARGET"))
        .args(args)
        .arg(&source)
        .arg("-o")
        .arg(&out)
        .status()
        .expect("rustc runs");
    assert!(status.success(), "`{}` does not compile", source.display());
    println!("cargo::rustc-env=REPROV_{name}={}", out.display());
}
