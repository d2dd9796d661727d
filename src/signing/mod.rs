//! Private keys, and the files keys live in (FORMATS.md §7).
//!
//! An edge: it reads and writes key files and draws randomness. It knows nothing of registries or policies;
//! passwords are given by the caller, never asked for.
#![expect(clippy::disallowed_methods, reason = "an edge: keys live in files")]

mod cosign;
pub mod keyless;
mod private;
mod signer;
mod words;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

pub use private::{KeyType, Passwords, PrivateKey, PrivateKeyError};
pub use signer::{SignError, Signer, SignerCommand};

use crate::{
    attest::{PublicKey, PublicKeyError},
    model::{
        Secret,
        limits::{KEY_SIZE_BYTES_MAX, TRUSTED_ROOT_SIZE_BYTES_MAX, read_bounded},
    },
};

/// A failure with a key file.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// It cannot be read.
    #[error("cannot read key file `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a private key's, and others may read it.
    #[error(
        "private key `{}` can be read by others (mode {mode:04o}); run `chmod 600 {}`, and take a new key if anybody may have",
        path.display(), path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no private key we can use.
    #[error("cannot sign with `{}`", path.display())]
    Private {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: PrivateKeyError,
    },
    /// It holds no public key we can use.
    #[error("cannot trust `{}`", path.display())]
    Public {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: PublicKeyError,
    },
    /// It holds no trusted root.
    #[error("cannot trust `{}`", path.display())]
    Root {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: keyless::RootError,
    },
    /// It is there already, and a key is never overwritten.
    #[error("`{}` exists already and is not overwritten; choose another prefix or move it away", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("cannot write key file `{}`", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl PrivateKey {
    /// Reads the private key in the PEM file `path`; one of `passwords` is needed if it is encrypted.
    ///
    /// # Errors
    /// Those of the file, and of [`PrivateKey::from_pem`]; they name the file. If its group or others may read it, unless
    /// it is no private key at all, which is said then.
    pub fn load(path: &Path, passwords: &Passwords) -> Result<Self, SigningError> {
        let (text, mode) = read(path)?;
        let refused = |source| SigningError::Private { path: path.to_owned(), source };
        private::is_private(&text).map_err(refused)?;
        if mode & 0o077 != 0 {
            return Err(SigningError::Open { path: path.to_owned(), mode });
        }
        Self::from_pem(&text, passwords).map_err(refused)
    }
}

/// Writes `PREFIX.key` (mode 0600; encrypted if there is a password) and `PREFIX.pub`; gives both paths.
///
/// # Errors
/// If either file exists (nothing is written then), or the disk says no.
pub fn write_pair(
    prefix: &Path,
    key: &PrivateKey,
    password: Option<&Secret>,
) -> Result<(PathBuf, PathBuf), SigningError> {
    let (private, public) = (with_suffix(prefix, ".key"), with_suffix(prefix, ".pub"));
    if fs::symlink_metadata(&public).is_ok() {
        return Err(SigningError::Exists(public));
    }
    write_new(&private, 0o600, &key.to_pem(password))?;
    write_new(&public, 0o644, &key.public_pem()).inspect_err(|_| {
        let _ = fs::remove_file(&private); // Half a pair is of no use; the first error is the one to tell.
    })?;
    Ok((private, public))
}

/// Reads the public keys to be trusted, in the order of `paths`.
///
/// # Errors
/// If a file cannot be read or holds no public key; they name the file.
pub fn load_trust(paths: &[PathBuf]) -> Result<Vec<PublicKey>, SigningError> {
    paths.iter().map(|path| load_public(path)).collect()
}

/// Reads the public key in the PEM file `path`.
///
/// # Errors
/// If it cannot be read or holds no public key; they name the file.
pub fn load_public(path: &Path) -> Result<PublicKey, SigningError> {
    let (text, _) = read(path)?;
    PublicKey::from_pem(&text).map_err(|source| SigningError::Public { path: path.to_owned(), source })
}

/// Reads the trusted root in the JSON file `path`.
///
/// # Errors
/// If it cannot be read or is none; they name the file.
pub fn load_root(path: &Path) -> Result<keyless::TrustedRoot, SigningError> {
    load_root_text(path).map(|(root, _)| root)
}

/// [`load_root`], and the file's text.
///
/// # Errors
/// Those of [`load_root`].
pub fn load_root_text(path: &Path) -> Result<(keyless::TrustedRoot, String), SigningError> {
    let (text, _) = read_up_to(path, TRUSTED_ROOT_SIZE_BYTES_MAX)?;
    match keyless::TrustedRoot::parse(&text) {
        Ok(root) => Ok((root, text)),
        Err(source) => Err(SigningError::Root { path: path.to_owned(), source }),
    }
}

fn read(path: &Path) -> Result<(String, u32), SigningError> {
    read_up_to(path, KEY_SIZE_BYTES_MAX)
}

/// The text of a small regular file (through links), and its permissions. It is never waited for: a pipe is no key file.
fn read_up_to(path: &Path, size_bytes_max: u64) -> Result<(String, u32), SigningError> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default(); // Both are small.
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let read = opened.and_then(|file| {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "it is a directory" } else { "it is no regular file" };
            return Err(io::Error::other(what));
        }
        let bytes = read_bounded(file, size_bytes_max, "it")?;
        let text =
            String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text; keys are PEM files"))?;
        Ok((text, metadata.mode() & 0o7777))
    });
    read.map_err(|source| SigningError::Read { path: path.to_owned(), source })
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), SigningError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = opened.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => SigningError::Exists(path.to_owned()),
        _ => SigningError::Write { path: path.to_owned(), source },
    })
}

fn with_suffix(prefix: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_pair_is_written_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let key = PrivateKey::generate(KeyType::P256);
        let (private, public) = write_pair(&dir.path().join("ci.v1"), &key, None).unwrap();
        assert_eq!(private, dir.path().join("ci.v1.key"));
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            load_trust(&[public]).unwrap(),
            [PrivateKey::load(&private, &Passwords::default()).unwrap().public()]
        );

        let before = fs::read(&private).unwrap();
        let error = write_pair(&dir.path().join("ci.v1"), &PrivateKey::generate(KeyType::P256), None);
        assert!(error.unwrap_err().to_string().contains("not overwritten"));
        assert_eq!(fs::read(&private).unwrap(), before);
    }

    #[test]
    fn nothing_is_written_beside_an_existing_file() {
        for taken in ["a.key", "a.pub"] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(taken), "mine").unwrap();
            let key = PrivateKey::generate(KeyType::Ed25519);
            assert!(matches!(write_pair(&dir.path().join("a"), &key, None), Err(SigningError::Exists(_))));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{taken}");
            assert_eq!(fs::read(dir.path().join(taken)).unwrap(), b"mine");
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        use std::error::Error as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pub");
        fs::write(&path, bytes).unwrap();
        let error = load_trust(std::slice::from_ref(&path)).unwrap_err();
        assert!(error.to_string().contains("k.pub"), "{error}");
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains(expected), "{cause}");
    }

    #[test]
    fn what_cannot_be_trusted_says_why() {
        check(b"\xff", "no text");
        check(b"hello", "PEM");
        check(&vec![b' '; 1 << 20], "larger than allowed");
        check(PrivateKey::generate(KeyType::P256).to_pem(None).as_bytes(), "reprov key public");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = PrivateKey::load(Path::new("/nonexistent/x.key"), &Passwords::default()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read key file `/nonexistent/x.key`");
    }
}
