//! What this program and this machine add to a definition.

use std::collections::BTreeMap;

use crate::{
    attest::{self, BuildrootMode, InternalParameters, Limits},
    buildroot::{GATEWAY_PORT, HOSTNAME, Tools},
    engine,
    model::{Maxima, names},
};

/// What this program and machine add. A rebuild takes it from the provenance instead.
pub(super) fn internal(epoch_s: i64, tools: &Tools, git: bool, maxima: &Maxima) -> InternalParameters {
    let tool = |tool: &crate::buildroot::Tool| attest::Tool {
        name: tool.name.clone(),
        version: tool.version.clone(),
        sha256: tool.digest,
    };
    InternalParameters {
        reprov: env!("CARGO_PKG_VERSION").to_owned(),
        writer: names::WRITER.to_owned(),
        epoch: epoch_s,
        mode: if tools.root.is_some() { BuildrootMode::Image } else { BuildrootMode::Host },
        engine: tool(&tools.engine),
        runtime: tool(&tools.runtime),
        // What was chosen: a share of this machine's memory or disk says nothing to others.
        limits: Limits {
            enforced_by: names::ENFORCED_BY.to_owned(),
            memory_bytes: maxima.memory_bytes,
            disk_bytes: maxima.disk_bytes,
            files: maxima.files,
            inputs_bytes: maxima.inputs_bytes,
        },
        env: step_env(epoch_s, git),
        hostname: HOSTNAME.to_owned(),
        mount_options: vec![engine::MOUNT_OPTIONS.to_owned()],
    }
}

/// The environment of every RUN step: constants, so that a step that prints it stays the same.
fn step_env(epoch_s: i64, git: bool) -> BTreeMap<String, String> {
    let proxy = format!("http://127.0.0.1:{GATEWAY_PORT}");
    let proxies = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map(|key| (key, proxy.clone()));
    let roots = [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "NODE_EXTRA_CA_CERTS",
        "npm_config_cafile",
        "CARGO_HTTP_CAINFO",
        "GIT_SSL_CAINFO",
    ];
    let roots = roots.map(|key| (key, "/dev/.gw/ca.pem".to_owned()));
    let rest = [
        ("APT_CONFIG", "/dev/.gw/apt.conf".to_owned()),
        ("WGETRC", "/dev/.gw/wgetrc".to_owned()),
        ("SOURCE_DATE_EPOCH", epoch_s.to_string()),
        ("TZ", "UTC".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
    ];
    // git refuses a repository of another owner; the one in the context is what the definition says it is.
    let safe = [("COUNT", "1"), ("KEY_0", "safe.directory"), ("VALUE_0", "*")];
    let safe = safe.map(|(name, value)| (format!("GIT_CONFIG_{name}"), value.to_owned()));
    let safe = safe.into_iter().filter(|_| git);
    let fixed = proxies.into_iter().chain(roots).chain(rest);
    fixed.map(|(key, value)| (key.to_owned(), value)).chain(safe).collect()
}
