//! What only the machine knows: the time, its memory, and names that were never used before.
#![expect(clippy::disallowed_methods, reason = "the place that reads the clock, and /proc")]

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

/// Memory of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total_bytes: u64,
    /// What programs could have now without swapping.
    pub available_bytes: u64,
}

/// What there is now; what the kernel does not say counts as without end.
#[must_use]
pub fn memory() -> Memory {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| {
        let kilobytes = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        kilobytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or(u64::MAX >> 10) << 10
    };
    Memory { total_bytes: bytes("MemTotal:"), available_bytes: bytes("MemAvailable:") }
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
