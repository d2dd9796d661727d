//! What RUN steps find: written before the engine starts, injected by the shim.

use std::path::Path;

use super::{BuildrootError, Clock, clock, vary::Varied, workspace::write};

/// What RUN steps find in their environment and under `/dev/.gw`.
#[derive(Debug, Default)]
pub struct Profile {
    /// The gateway's CA, PEM.
    pub ca_pem: String,
    /// Environment of every step unless image or Dockerfile sets it.
    pub env: Vec<(String, String)>,
    /// Files under `/dev/.gw` (path, bytes, mode).
    pub files: Vec<(String, Vec<u8>, u32)>,
    /// The clock of every step, if it is not the real one.
    pub clock: Option<Clock>,
}

impl Profile {
    /// Writes it as `dir`, for the shim; steps run by `runtime`.
    pub(super) fn write(&self, dir: &Path, runtime: &Path, varied: &Varied) -> Result<(), BuildrootError> {
        let mut env: String = self.env.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let mut apt_conf = APT_CONF.to_owned();
        if let Some(clock) = self.clock {
            write(&dir.join("gw").join(clock::FILE), &clock.object(), 0o755)?;
            env += &format!("LD_PRELOAD=/dev/.gw/{}\n", clock::FILE);
            apt_conf += APT_CONF_OF_CLOCK;
        }
        let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#; // reprov verified every digest itself.
        for (name, text) in [
            ("runtime", runtime.to_string_lossy().as_ref()),
            ("env", &env),
            ("hostname", &varied.place.hostname),
            ("steps", ""),
            ("policy.json", policy),
            ("containers.conf", ""),
            ("registries.conf", ""),
            ("storage.conf", "[storage]\ndriver = \"overlay\"\n"),
            ("gw/ca.pem", &self.ca_pem),
            ("gw/apt.conf", &apt_conf),
            ("gw/wgetrc", "ca_certificate = /dev/.gw/ca.pem\n"),
        ] {
            write(&dir.join(name), text.as_bytes(), 0o644)?;
        }
        for (name, text) in &varied.views {
            write(&dir.join("views").join(name), text.as_bytes(), 0o444)?;
        }
        for (path, bytes, mode) in &self.files {
            write(&dir.join("gw").join(path), bytes, *mode)?;
        }
        Ok(())
    }
}

/// apt must trust the gateway's CA for https repositories, and accept a recorded index after its Valid-Until.
const APT_CONF: &str = "Acquire::https::CaInfo \"/dev/.gw/ca.pem\";\nAcquire::Check-Valid-Until \"false\";\n";

/// With a clock that stands at the commit, an index may be from after it, and so may the key that signed the index; the
/// signature itself is checked as ever.
const APT_CONF_OF_CLOCK: &str =
    "Acquire::Check-Date \"false\";\nAcquire::gpgv::Options { \"--ignore-time-conflict\"; };\n";
