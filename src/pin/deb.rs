//! apt's indexes: a signed Release names the others by digest, those name the packages (Debian's repository format).

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
};

use super::PinError;
use crate::{
    layer::Compression,
    model::{
        Digest,
        limits::{INDEX_LINE_SIZE_BYTES_MAX, PINNED_FILES_MAX},
    },
};

/// A file that an index names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where: relative to the Release file, or to the root of the archive; clean.
    pub path: String,
    /// What it is.
    pub digest: Digest,
}

/// Every file that the signed text of a Release names with a SHA-256 digest, under its name and under each of its
/// `by-hash` names.
#[must_use]
pub fn release(text: &str) -> Vec<Listed> {
    let mut by_name: BTreeMap<&str, Digest> = BTreeMap::new();
    let mut by_hash = Vec::new();
    let mut field = "";
    for line in text.lines() {
        let Some(entry) = line.strip_prefix([' ', '\t']) else {
            field = line.split(':').next().unwrap_or_default().trim_end();
            continue;
        };
        let words: Vec<_> = entry.split_whitespace().collect();
        let (&[hash, _, name], true) = (&words[..], is_hash(field)) else { continue };
        if !is_clean(name) || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        by_hash.push((field, hash, name));
        if let Some(digest) = Digest::from_hex(&hash.to_ascii_lowercase()).filter(|_| field == "SHA256") {
            by_name.insert(name, digest);
        }
    }
    let aliases = by_hash.iter().filter_map(|(field, hash, name)| {
        let dir = name.rsplit_once('/').map(|(dir, _)| format!("{dir}/")).unwrap_or_default();
        Some(Listed { path: format!("{dir}by-hash/{field}/{hash}"), digest: *by_name.get(name)? })
    });
    let aliases: Vec<_> = aliases.collect();
    let named = by_name.into_iter().map(|(name, digest)| Listed { path: name.to_owned(), digest });
    named.chain(aliases).collect()
}

fn is_hash(field: &str) -> bool {
    matches!(field, "MD5Sum" | "SHA1" | "SHA256" | "SHA512")
}

/// Every file that a Packages or Sources index names with a SHA-256 digest; plain, in gzip, xz or zstd. Anything else
/// names none.
///
/// # Errors
/// [`PinError`]: it cannot be read or inflated, or names more than is ever held.
pub fn files(mut index: impl Read + Send) -> Result<Vec<Listed>, PinError> {
    let mut head = Vec::new();
    index.by_ref().take(6).read_to_end(&mut head)?;
    let compression = Compression::of_magic(&head);
    let mut lines = BufReader::new(compression.open(std::io::Cursor::new(head).chain(index))?);
    let (mut found, mut stanza, mut line) = (Vec::new(), Stanza::default(), Vec::new());
    loop {
        line.clear();
        let read = lines.by_ref().take(INDEX_LINE_SIZE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if read as u64 == INDEX_LINE_SIZE_BYTES_MAX {
            return Err(PinError::Size("a line of the index"));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            found.extend(std::mem::take(&mut stanza).files());
        } else {
            stanza.line(text);
        }
        if found.len() > PINNED_FILES_MAX {
            return Err(PinError::Size("the index"));
        }
        if read == 0 {
            return Ok(found);
        }
    }
}

/// What of one package's paragraph counts.
#[derive(Default)]
struct Stanza {
    field: String,
    filename: Option<String>,
    sha256: Option<Digest>,
    directory: Option<String>,
    sources: Vec<(String, Digest)>,
}

impl Stanza {
    fn line(&mut self, text: &str) {
        if let Some(entry) = text.strip_prefix([' ', '\t']) {
            let words: Vec<_> = entry.split_whitespace().collect();
            if let (&[hash, _, name], "checksums-sha256") = (&words[..], self.field.as_str()) {
                self.sources.extend(Digest::from_hex(hash).map(|digest| (name.to_owned(), digest)));
            }
            return;
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        self.field = field.to_ascii_lowercase();
        let value = value.trim();
        match self.field.as_str() {
            "filename" => self.filename = Some(value.to_owned()),
            "sha256" => self.sha256 = Digest::from_hex(value),
            "directory" => self.directory = Some(value.to_owned()),
            _ => {}
        }
    }

    fn files(self) -> impl Iterator<Item = Listed> {
        let package = self.filename.zip(self.sha256);
        let dir = self.directory.filter(|dir| dir != ".").map(|dir| format!("{dir}/")).unwrap_or_default();
        let sources = self.sources.into_iter().map(move |(name, digest)| (format!("{dir}{name}"), digest));
        let clean = |(path, digest): (String, Digest)| {
            let path = path.strip_prefix("./").unwrap_or(&path);
            is_clean(path).then(|| Listed { path: path.to_owned(), digest })
        };
        package.into_iter().chain(sources).filter_map(clean)
    }
}

/// Whether it stays where it is joined to.
fn is_clean(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[track_caller]
    fn check(found: &[Listed], expected: &[(&str, &str)]) {
        let found: Vec<_> = found.iter().map(|file| (file.path.as_str(), file.digest.hex())).collect();
        let expected: Vec<_> = expected.iter().map(|(path, hex)| (*path, (*hex).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_release_names_files_and_their_hashes() {
        let text = format!(
            "Suite: x\r\nMD5Sum:\r\n 00ff 3 main/Packages\r\n 00aa 3 only/md5\r\nSHA256:\r\n {A} 3 main/Packages\r\n \
             {B} 4 Contents\r\n {A} 3 ../up\r\n {A} 3 /abs\r\n nothex 3 x\r\nDescription: y\r\n {A} 3 z\r\n"
        );
        check(
            &release(&text),
            &[
                ("Contents", B),
                ("main/Packages", A),
                ("main/by-hash/MD5Sum/00ff", A),
                (&format!("main/by-hash/SHA256/{A}"), A),
                (&format!("by-hash/SHA256/{B}"), B),
            ],
        );
    }

    #[test]
    fn an_index_names_packages_and_sources() {
        let text = format!(
            "Package: a\nFilename: ./pool/a+b.deb\nSHA256: {A}\n\nPackage: b\nFilename: pool/b.deb\n\n\
             Package: c\nFilename: ../c.deb\nSHA256: {A}\n\n\
             Package: s\nDirectory: pool/s\nChecksums-Sha1:\n 00 1 s.sha1\nChecksums-Sha256:\n {B} 1 s.dsc\n {A} 1 s.tar.xz"
        );
        let expected = [("pool/a+b.deb", A), ("pool/s/s.dsc", B), ("pool/s/s.tar.xz", A)];
        check(&files(text.as_bytes()).unwrap(), &expected);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, text.as_bytes()).unwrap();
        check(&files(gzip.finish().unwrap().as_slice()).unwrap(), &expected);
        check(&files(zstd::encode_all(text.as_bytes(), 1).unwrap().as_slice()).unwrap(), &expected);
        check(&files(&b"BZh9"[..]).unwrap(), &[]);
    }

    #[test]
    fn what_is_endless_ends() {
        assert!(matches!(files(std::io::repeat(b'x')), Err(PinError::Size(_))));
    }
}
