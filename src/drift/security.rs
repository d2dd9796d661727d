//! What no rule may explain away: privileges, programs, and what decides whom the system trusts.

use serde::Serialize;

use super::view::View;
use crate::{
    diff::{Change, ChangeKind},
    layer::{Entry, Kind, is_attribute_record, matches},
};

/// Why a drift concerns security.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Setuid or setgid bits.
    SetId,
    /// User or group.
    Owner,
    /// A capability, an access list, a label of a security module.
    Attribute,
    /// A device.
    Device,
    /// A certificate that programs trust.
    TrustedCertificate,
    /// Who may log in, and become whom.
    Login,
    /// A library that every program loads.
    Preload,
    /// A program that only one image has.
    NewProgram,
    /// A program of other bytes, for no known cause.
    ChangedProgram,
    /// A file of a package that has the same version on both sides.
    SamePackage,
}

impl Security {
    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::SetId,
        Self::Owner,
        Self::Attribute,
        Self::Device,
        Self::TrustedCertificate,
        Self::Login,
        Self::Preload,
        Self::NewProgram,
        Self::ChangedProgram,
        Self::SamePackage,
    ];

    /// In words, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::SetId => "setuid or setgid",
            Self::Owner => "owner",
            Self::Attribute => "capability, access list or label",
            Self::Device => "device",
            Self::TrustedCertificate => "trusted certificate",
            Self::Login => "who may log in, and become whom",
            Self::Preload => "library that every program loads",
            Self::NewProgram => "program that only one image has",
            Self::ChangedProgram => "program of other bytes",
            Self::SamePackage => "changed package of the same version",
        }
    }
}

const SET_ID_BITS: u32 = 0o6000;
const EXECUTE_BITS: u32 = 0o111;

/// Where programs look for certificates that they are to trust.
const TRUST: [&str; 6] = [
    "usr/local/share/ca-certificates/**",
    "usr/share/ca-certificates/**",
    "etc/ca-certificates/trust-source/**",
    "etc/pki/ca-trust/source/**",
    "etc/pki/trust/anchors/**",
    "usr/share/pki/**",
];
const LOGIN: [&str; 8] = [
    "**/.ssh/authorized_keys",
    "**/.ssh/authorized_keys2",
    "etc/sudoers",
    "etc/sudoers.d/*",
    "etc/doas.conf",
    "etc/pam.d/*",
    "etc/security/*.conf",
    "etc/polkit-1/rules.d/*",
];
/// Who there is: what is explained of these is no matter of security.
const ACCOUNTS: [&str; 4] = ["etc/passwd", "etc/shadow", "etc/group", "etc/gshadow"];
const ELF: &[u8] = b"\x7fELF";
const PRELOAD: [&str; 1] = ["etc/ld.so.preload"];
/// Where shells and service managers look for programs.
const PROGRAMS: [&str; 5] = ["bin/*", "sbin/*", "**/bin/*", "**/sbin/*", "**/libexec/**"];

/// Whether `path` is where certificates lie that are trusted.
fn is_trusted(path: &[u8]) -> bool {
    fits(path, &TRUST)
}

/// What of security `change` touches by itself, whatever its cause.
pub(super) fn of(view: &View<'_>) -> Option<Security> {
    let change = view.change;
    let renumbered = view.siblings.accounts.is_some_and(|accounts| accounts.own(change));
    if renumbered { None } else { privilege(change).or_else(|| place(change)) }
}

/// A changed program or library that nothing explains, who there is, or a file of a package that says it did not change.
pub(super) fn of_unexplained(view: &View<'_>) -> Option<Security> {
    let change = view.change;
    let code = |entry: &Option<Entry>| {
        entry.as_ref().is_some_and(|entry| is_program(entry) || (entry.kind == Kind::File && entry.peek.starts_with(ELF)))
    };
    if change.kind != ChangeKind::Content {
        None
    } else if view.siblings.packages.is_of_same_version(&change.path) {
        Some(Security::SamePackage)
    } else if code(&change.a) && code(&change.b) {
        Some(Security::ChangedProgram)
    } else {
        fits(&change.path, &ACCOUNTS).then_some(Security::Login)
    }
}

fn privilege(change: &Change) -> Option<Security> {
    match (&change.a, &change.b) {
        (Some(a), Some(b)) => {
            let any = |of: fn(&str) -> bool| change.fields.iter().any(|field| of(&field.name));
            if (a.mode ^ b.mode) & SET_ID_BITS != 0 {
                Some(Security::SetId)
            } else if change.has("uid") || change.has("gid") {
                Some(Security::Owner)
            } else if any(is_security_field) {
                Some(Security::Attribute)
            } else if change.has("device") {
                Some(Security::Device)
            } else if change.has("type") {
                privileged(a).or_else(|| privileged(b))
            } else {
                None
            }
        }
        (Some(only), None) | (None, Some(only)) => privileged(only),
        (None, None) => None,
    }
}

fn privileged(entry: &Entry) -> Option<Security> {
    if entry.mode & SET_ID_BITS != 0 && entry.kind != Kind::Directory {
        Some(Security::SetId)
    } else if matches!(entry.kind, Kind::Char | Kind::Block) {
        Some(Security::Device)
    } else if entry.xattrs.keys().any(|name| is_security_attribute(name))
        || entry.attribute_records().any(|(name, _)| is_security_record(name))
    {
        Some(Security::Attribute)
    } else {
        None
    }
}

/// By where it lies: a change of metadata alone is none.
fn place(change: &Change) -> Option<Security> {
    if change.kind == ChangeKind::Metadata && !change.has("link") {
        return None;
    }
    let path = &change.path;
    let directory = |entry: &Entry| entry.kind == Kind::Directory;
    if [&change.a, &change.b].into_iter().flatten().all(directory) {
        None
    } else if is_trusted(path) {
        Some(Security::TrustedCertificate)
    } else if fits(path, &LOGIN) {
        Some(Security::Login)
    } else if fits(path, &PRELOAD) {
        Some(Security::Preload)
    } else {
        let only = matches!(change.kind, ChangeKind::OnlyInA | ChangeKind::OnlyInB);
        (only && fits(path, &PROGRAMS) && change.entry().is_some_and(is_program))
            .then_some(Security::NewProgram)
    }
}

fn is_program(entry: &Entry) -> bool {
    let magic = [ELF, b"#!"].iter().any(|magic| entry.peek.starts_with(magic));
    entry.kind == Kind::File && entry.mode & EXECUTE_BITS != 0 && magic
}

fn is_security_field(name: &str) -> bool {
    name.strip_prefix("xattr:").is_some_and(|name| is_security_attribute(name.as_bytes()))
        || name.strip_prefix("pax:").is_some_and(|name| is_security_record(name.as_bytes()))
}

fn is_security_attribute(name: &[u8]) -> bool {
    [&b"security."[..], b"system.posix_acl", b"trusted."].iter().any(|prefix| name.starts_with(prefix))
}

/// A PAX record that some reader of tars makes an attribute of, other than those of users.
fn is_security_record(name: &[u8]) -> bool {
    let of_user = name.starts_with(b"LIBARCHIVE.xattr.user.") || name == b"SCHILY.fflags";
    is_attribute_record(name) && !of_user
}

fn fits(path: &[u8], patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| matches(pattern.as_bytes(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found() {
        for path in [
            "home/app/.ssh/authorized_keys",
            "root/.ssh/authorized_keys",
            "etc/sudoers.d/app",
            "etc/pam.d/su",
        ] {
            assert!(fits(path.as_bytes(), &LOGIN), "{path}");
        }
        for path in ["bin/a", "usr/bin/a", "opt/x/sbin/a", "usr/libexec/git-core/git-x"] {
            assert!(fits(path.as_bytes(), &PROGRAMS), "{path}");
        }
        assert!(is_trusted(b"usr/local/share/ca-certificates/corp/root.crt"));
        assert!(!is_trusted(b"etc/ssl/certs/ssl-cert-snakeoil.pem"));
        assert!(!fits(b"usr/share/bin.txt", &PROGRAMS));
    }

    #[test]
    fn records_of_other_tools_count() {
        for name in ["LIBARCHIVE.xattr.security.capability", "SCHILY.acl.access", "RHT.security.selinux"] {
            assert!(is_security_record(name.as_bytes()), "{name}");
        }
        for name in
            ["atime", "comment", "LIBARCHIVE.xattr.user.x", "SCHILY.fflags", "LIBARCHIVE.creationtime"]
        {
            assert!(!is_security_record(name.as_bytes()), "{name}");
        }
    }
}
