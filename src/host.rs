//! What only the machine knows: the time, and names that were never used before.
#![expect(clippy::disallowed_methods, reason = "the place that reads the clock")]

use std::io::Read;

/// Seconds since 1970, now.
#[must_use]
pub fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Now, as RFC 3339 with whole seconds.
#[must_use]
pub fn now() -> String {
    crate::model::rfc3339(now_s())
}

/// What this machine's programs are for: `linux/amd64`.
#[must_use]
pub fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

/// Cores that this process may use, at least 1.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// 32 random hex digits.
///
/// # Errors
/// If the kernel gives no random bytes.
pub fn random_id() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
