//! Repositories whose signer is pinned: nothing of their content reaches the build before it was judged, whatever the
//! build's own tools would let pass.
//!
//! What is judged is named by the URL that the build asked for first; a redirect does not change what was meant.

use std::{io::Read as _, sync::Arc};

use url::Url;

use super::{record::Failure, shared::Shared};
use crate::{
    model::{
        Blobs as _, Digest, ReadSeek, Reason, RepositoryKind,
        limits::{PINNED_FILES_MAX, SIGNED_INDEX_SIZE_BYTES_MAX},
    },
    pin::{self, PinError, Signers},
};

/// How an rpm package begins.
const RPM: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];

/// Who must have signed what comes from one repository.
#[derive(Debug, Clone)]
pub(super) struct Pinned {
    pub(super) repository: String,
    pub(super) kind: RepositoryKind,
    pub(super) signers: Arc<Signers>,
}

/// A file that a verified index names.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    digest: Digest,
    /// Where the files begin that it names in its turn, if it is an index of packages.
    index_of: Option<String>,
}

/// Whether `body`, the answer to a GET of `url` (canonical, as the build first asked), may be given to the build.
pub(super) async fn judge(
    shared: &Arc<Shared>,
    pinned: &Pinned,
    url: &str,
    body: Digest,
) -> Result<(), Failure> {
    let (shared, pinned, url) = (Arc::clone(shared), pinned.clone(), url.to_owned());
    let judging =
        tokio::task::spawn_blocking(move || Judge { shared: &shared, pinned: &pinned, url: &url }.of(body));
    match judging.await {
        Ok(judged) => judged,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

struct Judge<'a> {
    shared: &'a Shared,
    pinned: &'a Pinned,
    url: &'a str,
}

impl Judge<'_> {
    fn of(&self, body: Digest) -> Result<(), Failure> {
        match self.pinned.kind {
            RepositoryKind::Yum => self.yum(body),
            _ => self.apt(body),
        }
    }

    /// A Release that is clear-signed, or what one that came before names, itself or through an index of packages.
    fn apt(&self, body: Digest) -> Result<(), Failure> {
        let name = name(self.url);
        if let Some(dir) = name.strip_suffix("InRelease").filter(|dir| dir.ends_with('/')) {
            return self.release(dir, body);
        }
        let Some(expected) = self.shared.ledger().expected.get(&name).cloned() else {
            let because = "no index that this key signed and that was fetched in this build names it";
            return Err(self.refusal(Reason::Unlisted, because));
        };
        if expected.digest != body {
            let because = format!(
                "it is {body}, and the signed index names {}: the repository changed between index and file (each \
                 answer is kept for the whole build, so build again), or somebody changed the file",
                expected.digest
            );
            return Err(self.refusal(Reason::Changed, &because));
        }
        match expected.index_of {
            Some(root) => {
                let files = pin::files(self.open(body)?).map_err(|error| self.unsigned(&error))?;
                self.expect(files.into_iter().map(|file| {
                    (format!("{root}{}", file.path), Expected { digest: file.digest, index_of: None })
                }))
            }
            None => Ok(()),
        }
    }

    fn release(&self, dir: &str, body: Digest) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        let read = self.open(body)?.take(SIGNED_INDEX_SIZE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| self.unsigned(&error.into()))?;
        let text = self.pinned.signers.clear_signed(&bytes).map_err(|error| self.unsigned(&error))?;
        // An archive's files are named from above `dists`, a flat one's from where its Release is.
        let root = dir.rfind("/dists/").map_or(dir, |end| &dir[..=end]);
        self.expect(pin::release(&text).into_iter().map(|file| {
            let index = is_index(&file.path).then(|| root.to_owned());
            (format!("{dir}{}", file.path), Expected { digest: file.digest, index_of: index })
        }))
    }

    /// A package with a signature of its own, yum's metadata, or keys: those install nothing by themselves.
    fn yum(&self, body: Digest) -> Result<(), Failure> {
        let path = name(self.url);
        let path = path.split('?').next().unwrap_or_default();
        let mut head = [0; 36];
        let mut file = self.open(body)?;
        let whole = file.read_exact(&mut head).is_ok();
        // A package stays one wherever it lies.
        let metadata = path.contains("/repodata/") && !head.starts_with(&RPM);
        if metadata || whole && head.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----") {
            return Ok(());
        }
        let mut rest = head.as_slice().chain(file);
        let package = if whole {
            pin::package(&self.pinned.signers, &mut rest)
        } else {
            Err(PinError::Form("an rpm package"))
        };
        package.map_err(|error| self.unsigned(&error))
    }

    fn open(&self, body: Digest) -> Result<Box<dyn ReadSeek>, Failure> {
        self.shared.store.open(&body).map_err(|error| Failure {
            reason: Reason::Store,
            sentence: format!("GET {} could not be judged: {error}", self.url),
            refused: false,
        })
    }

    fn expect(&self, files: impl Iterator<Item = (String, Expected)>) -> Result<(), Failure> {
        let mut ledger = self.shared.ledger();
        ledger.expected.extend(files);
        if ledger.expected.len() <= PINNED_FILES_MAX {
            return Ok(());
        }
        drop(ledger);
        Err(self.refusal(Reason::Size, &format!("its indexes name more than {PINNED_FILES_MAX} files")))
    }

    fn unsigned(&self, error: &PinError) -> Failure {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        self.refusal(Reason::Signer, &format!("{error}{cause}"))
    }

    fn refusal(&self, reason: Reason, because: &str) -> Failure {
        refusal(self.pinned, self.url, reason, because)
    }
}

/// A sentence with the repository, its key, and why.
pub(super) fn refusal(pinned: &Pinned, url: &str, reason: Reason, because: &str) -> Failure {
    let (repository, keys) = (&pinned.repository, pinned.signers.fingerprints());
    let sentence =
        format!("GET {url} is refused, since repository `{repository}` is pinned to key {keys}: {because}");
    Failure { reason, sentence, refused: true }
}

/// Whether a Release's file of that name, or any by its hash, may be an index of packages. What is none names nothing.
fn is_index(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    let stem = last.split('.').next().unwrap_or_default();
    matches!(stem, "Packages" | "Sources") || path.contains("by-hash/")
}

/// The URL with its path read: clients encode more or less of it.
fn name(url: &str) -> String {
    let Ok(parsed) = Url::parse(url) else { return url.to_owned() };
    let decoded = decoded(parsed.path());
    let query = parsed.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{decoded}{query}", parsed.origin().ascii_serialization())
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        let read = hex.filter(|_| *first == b'%');
        bytes.push(read.unwrap_or(*first));
        rest = if read.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_however_it_is_encoded() {
        assert_eq!(
            name("http://m.example.org/p/g%2b%2B_1%3a2.deb"),
            name("http://m.example.org/p/g++_1:2.deb")
        );
        assert_eq!(name("http://m.example.org/a%2"), "http://m.example.org/a%2");
        assert_ne!(name("http://m.example.org/a?b"), name("http://m.example.org/a%3fc"));
    }

    #[test]
    fn indexes_by_name() {
        for path in ["Packages", "main/binary-amd64/Packages.xz", "main/by-hash/SHA256/00", "x/Sources.gz"] {
            assert!(is_index(path), "{path}");
        }
        for path in ["main/i18n/Translation-en.xz", "main/Contents-amd64.gz", "Packages/x"] {
            assert!(!is_index(path), "{path}");
        }
    }
}
