//! An image config (OCI image-spec, "Image Configuration"), as raw JSON with typed views.

use serde_json::Value;

use super::{OciError, object, shape, string_or_nothing, strings_or_nothing};
use crate::model::{
    DiffId, Digest,
    limits::{CONFIG_SIZE_BYTES_MAX, LAYERS_MAX},
};

const WHAT: &str = "config";

/// An image config; no field is lost.
#[derive(Debug, Clone)]
pub struct Config {
    raw: Value,
    diff_ids: Vec<DiffId>,
}

impl Config {
    /// Reads a config strictly.
    ///
    /// # Errors
    /// Not strict JSON, too large, no `rootfs.diff_ids` of ours or too many, a history that is not a list of
    /// objects, or a field read here (`Env`, `Shell`, `OnBuild`, `WorkingDir`, platform) of another type.
    pub fn parse(bytes: &[u8]) -> Result<Self, OciError> {
        let raw = object(WHAT, bytes, CONFIG_SIZE_BYTES_MAX)?;
        let diff_ids = diff_ids(&raw)?;
        match raw.get("history") {
            None | Some(Value::Null) => {}
            Some(Value::Array(entries)) if entries.iter().all(Value::is_object) => {}
            Some(_) => return Err(shape(WHAT, "`history` is not a list of objects")),
        }
        for name in ["os", "architecture", "variant"] {
            string_or_nothing(WHAT, name, raw.get(name))?;
        }
        let inner = match raw.get("config") {
            None | Some(Value::Null) => &Value::Null,
            Some(inner) if inner.is_object() => inner,
            Some(_) => return Err(shape(WHAT, "`config` is not an object")),
        };
        for name in ["Env", "Shell", "OnBuild"] {
            strings_or_nothing(WHAT, name, inner.get(name))?;
        }
        string_or_nothing(WHAT, "WorkingDir", inner.get("WorkingDir"))?;
        Ok(Self { raw, diff_ids })
    }

    /// The digests of the uncompressed layers, lowest first.
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.diff_ids
    }

    /// The history entries, oldest first; those with `empty_layer` have no layer.
    pub fn history(&self) -> &[Value] {
        self.raw.get("history").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// `NAME=value` entries.
    pub fn env(&self) -> Vec<&str> {
        self.strings("Env")
    }

    /// The shell of shell-form instructions; empty means the default.
    pub fn shell(&self) -> Vec<&str> {
        self.strings("Shell")
    }

    /// Instructions that run in the builds on top.
    pub fn onbuild(&self) -> Vec<&str> {
        self.strings("OnBuild")
    }

    /// The working directory, or nothing.
    pub fn working_dir(&self) -> &str {
        self.raw.pointer("/config/WorkingDir").and_then(Value::as_str).unwrap_or_default()
    }

    /// `os/architecture[/variant]`.
    pub fn platform(&self) -> String {
        platform_name(&self.raw)
    }

    /// The JSON it was read from.
    pub fn raw(&self) -> &Value {
        &self.raw
    }

    fn strings(&self, name: &str) -> Vec<&str> {
        let items = self.raw.get("config").and_then(|inner| inner.get(name)).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

/// `os/architecture[/variant]` of a config or of an index entry's platform.
pub fn platform_name(value: &Value) -> String {
    let part = |name| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let os = part("os").unwrap_or("unknown");
    let architecture = part("architecture").unwrap_or("unknown");
    match part("variant") {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    }
}

fn diff_ids(raw: &Value) -> Result<Vec<DiffId>, OciError> {
    let Some(items) = raw.pointer("/rootfs/diff_ids").and_then(Value::as_array) else {
        return Err(shape(WHAT, "`rootfs.diff_ids` is not a list"));
    };
    if items.len() > LAYERS_MAX {
        let actual = items.len() as u64;
        return Err(OciError::TooMuch { what: "config's list of diffIDs", actual, max: LAYERS_MAX as u64 });
    }
    let read = |(index, item): (usize, &Value)| {
        let digest = item.as_str().and_then(|text| text.parse::<Digest>().ok());
        digest
            .map(DiffId)
            .ok_or_else(|| shape(WHAT, format!("`rootfs.diff_ids[{index}]` is no sha256 digest")))
    };
    items.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> Result<Config, OciError> {
        Config::parse(format!(r#"{{"rootfs":{{"type":"layers","diff_ids":[]}}{rest}}}"#).as_bytes())
    }

    #[test]
    fn reads_and_keeps_all() {
        let config = parse(
            r#","os":"linux","architecture":"arm","variant":"v7","history":[{"empty_layer":true}],
               "config":{"Env":["A=1"],"Shell":["/bin/bash","-c"],"WorkingDir":"/w","Healthcheck":{"Test":[]}}"#,
        )
        .unwrap();
        assert_eq!(config.platform(), "linux/arm/v7");
        assert_eq!((config.env(), config.shell()), (vec!["A=1"], vec!["/bin/bash", "-c"]));
        assert_eq!((config.working_dir(), config.onbuild().len(), config.history().len()), ("/w", 0, 1));
        assert!(config.raw().pointer("/config/Healthcheck").is_some());
        assert_eq!(parse(r#","config":{"Env":null},"history":null"#).unwrap().platform(), "unknown/unknown");
    }

    #[test]
    fn refuses() {
        for rest in [
            r#","config":[]"#,
            r#","config":{"Env":"A=1"}"#,
            r#","config":{"Shell":[1]}"#,
            r#","config":{"WorkingDir":1}"#,
            r#","history":[1]"#,
            r#","os":7"#,
        ] {
            assert!(matches!(parse(rest), Err(OciError::Shape { .. })), "{rest}");
        }
        assert!(Config::parse(br#"{"rootfs":{"diff_ids":["sha512:00"]}}"#).is_err());
        assert!(Config::parse(b"{}").is_err());
    }
}
