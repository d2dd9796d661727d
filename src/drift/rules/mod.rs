//! The rules, narrowest first, one file a family.

mod account;
mod archive;
mod build_path;
mod builder;
mod cache;
mod certificate;
mod checksum;
mod database;
mod elf;
mod git;
mod input;
mod keystore;
mod metadata;
mod moved;
mod name;
mod package;
mod proc;
mod python;
mod secret;
mod text;

#[cfg(test)]
mod tests;

pub(super) use cache::is_cache;
pub(super) use metadata::lies;

use super::{Cause, Confidence, view::View};
use crate::layer::is_attribute_record;

/// A cause as a rule found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) cause: Cause,
    pub(super) confidence: Confidence,
    pub(super) consequence_of: Option<String>,
    /// Shown in place of the plain difference.
    pub(super) evidence: Option<String>,
}

impl Finding {
    pub(super) fn certain(cause: Cause) -> Self {
        Self { cause, confidence: Confidence::Certain, consequence_of: None, evidence: None }
    }

    fn likely(cause: Cause) -> Self {
        Self { confidence: Confidence::Likely, ..Self::certain(cause) }
    }

    pub(super) fn shown(self, evidence: impl Into<String>) -> Self {
        Self { evidence: Some(evidence.into()), ..self }
    }
}

/// Looks at one change; names the cause if it owns it.
pub(super) type Rule = fn(&View<'_>) -> Option<Finding>;

/// Every rule; the first that owns a change decides.
pub(super) const RULES: &[Rule] = &[
    builder::mount_point,
    builder::whiteout_form,
    metadata::mode_type_bits,
    metadata::context_mode,
    metadata::mtime,
    metadata::pax_time,
    metadata::header_names,
    package::version,
    package::lists,
    moved::archive,
    moved::status_old,
    moved::linker_cache,
    moved::planned,
    input::changed,
    account::backup,
    account::shadow,
    account::ids,
    secret::machine_id,
    secret::key_material,
    secret::gnupg,
    secret::public_half,
    certificate::certificate,
    secret::hash_link,
    cache::package_log,
    moved::log,
    cache::apt_cache,
    moved::apt_cache,
    cache::ldconfig_cache,
    moved::linker_notes,
    cache::fontconfig_cache,
    cache::tool_cache,
    cache::librepo_attribute,
    database::database,
    git::metadata,
    python::uv_origin,
    python::record,
    python::pyc_timestamp,
    python::pyc_refs,
    moved::compiled,
    archive::gzip_timestamp,
    archive::archive,
    keystore::timestamp,
    archive::compressed,
    elf::elf,
    build_path::build_path,
    name::random_name,
    checksum::checksums,
    proc::capture,
    text::clock,
    text::hostname,
    account::salted,
    text::random_token,
    text::drawn_names,
    text::set_order,
    text::key_order,
    text::line_order,
];

/// Whether two contents are private keys, made anew.
pub(super) fn is_renewed_key(a: &[u8], b: &[u8]) -> bool {
    secret::private(a, b).is_some()
}

/// Whether the field `name` is a PAX record that no file system keeps.
pub(super) fn is_free_record(name: &str) -> bool {
    name.strip_prefix("pax:").is_some_and(|record| !is_attribute_record(record.as_bytes()))
}

/// Whether only fields that pass `allowed` differ, and at least one does.
fn only_fields(view: &View<'_>, allowed: fn(&str) -> bool) -> bool {
    let fields = &view.change.fields;
    !fields.is_empty() && fields.iter().all(|field| allowed(&field.name))
}
