//! Contents that no report may show: password hashes and private keys, whatever the cause of their difference.

use bstr::{BStr, ByteSlice as _};

use super::{Cause, evidence, view::Pair};

/// Account files with a hash in the second field (shadow(5), gshadow(5)).
const SHADOWS: [&[u8]; 4] = [b"shadow", b"shadow-", b"gshadow", b"gshadow-"];

/// What stands for the difference of the file at `path` where the contents must not be shown; none where they may be.
pub(super) fn evidence(path: &BStr, (a, b): Pair<'_>, cause: Cause) -> Option<String> {
    let (directory, name) = path.rsplit_once_str("/").unwrap_or((b"", path));
    if SHADOWS.contains(&name) && directory.rsplit_str("/").next() == Some(b"etc") {
        let (a, b) = (without_hashes(a), without_hashes(b));
        return Some(if a == b { "a password's hash".to_owned() } else { evidence::lines(&a, &b) });
    }
    let key = |text: &[u8]| text.contains_str("PRIVATE KEY") || text.contains_str("AGE-SECRET-KEY-");
    let secret = matches!(cause, Cause::KeyMaterial | Cause::PasswordSalt)
        || directory.contains_str("private-keys-v1.d")
        || key(a)
        || key(b);
    secret.then(|| "not shown, since it holds a key".to_owned())
}

/// Lines of an account file, the second field of each cut to its method.
fn without_hashes(text: &[u8]) -> Vec<u8> {
    let line = |line: &[u8]| -> Vec<u8> {
        let mut fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let hash = fields.get_mut(1).filter(|hash| hash.len() > 2);
        if let Some(hash) = hash {
            *hash = "…".as_bytes();
        }
        fields.join(&b':')
    };
    text.split(|byte| *byte == b'\n').map(line).collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, [a, b]: [&str; 2], cause: Cause, expected: Option<&str>) {
        let shown = evidence(BStr::new(path), (a.as_bytes(), b.as_bytes()), cause);
        assert_eq!(shown.as_deref(), expected, "{path}");
    }

    #[test]
    fn hashes_and_keys_stay_hidden_whatever_the_cause() {
        let dated = ["app:$y$abc:20781:\n", "app:$y$abc:20782:\n"];
        check("etc/shadow", dated, Cause::ShadowDate, Some("app:…:20781: → app:…:20782:"));
        check("srv/etc/shadow-", dated, Cause::AccountBackup, Some("app:…:20781: → app:…:20782:"));
        check("etc/gshadow", ["a:$6$x::\n", "a:$6$y::\n"], Cause::Unexplained, Some("a password's hash"));
        check("usr/share/shadow", dated, Cause::Unexplained, None);
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (path, cause) in [("etc/key.pem", Cause::KeyMaterial), ("opt/bundle.pem", Cause::Unexplained)] {
            check(path, [key, "none"], cause, Some("not shown, since it holds a key"));
        }
        check("opt/a", ["a", "b"], Cause::KeyMaterial, Some("not shown, since it holds a key"));
        check("opt/a", ["a", "b"], Cause::Unexplained, None);
    }
}
