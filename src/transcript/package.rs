//! What package a fetched file is, by its URL alone.

use std::borrow::Cow;

/// Longest name or version that is taken for one, in bytes.
const WORD_SIZE_BYTES_MAX: usize = 256;
/// Endings of archives that are named `NAME-VERSION`.
const ARCHIVES: [&str; 6] = [".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".tgz", ".zip"];

/// A package of some version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// `deb`, `rpm`, `apk`, `wheel`, `npm`, `crate`, `go`, `gem`, or `archive`: any other file called `NAME-VERSION`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its version, with the release where there is one.
    pub version: String,
}

impl Package {
    /// Reads it out of the path of `url`; none where the last segment is no package's.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        let path = decoded(url.split(['?', '#']).next()?)?;
        let (directory, file) = path.rsplit_once('/')?;
        let package = go(directory, file)
            .or_else(|| npm(directory, file))
            .or_else(|| crate_download(directory, file))
            .or_else(|| by_ending(file))?;
        let plain = |word: &str| !word.is_empty() && word.len() <= WORD_SIZE_BYTES_MAX;
        (plain(&package.name) && plain(&package.version)).then_some(package)
    }

    fn new(kind: &'static str, name: &str, version: &str) -> Self {
        Self { kind, name: name.to_owned(), version: version.to_owned() }
    }
}

fn by_ending(file: &str) -> Option<Package> {
    let ends = |end: &str| file.strip_suffix(end);
    if let Some(stem) = ends(".deb").or_else(|| ends(".udeb")) {
        let mut words = stem.split('_');
        let (name, version, architecture) = (words.next()?, words.next()?, words.next()?);
        return (words.next().is_none() && !architecture.is_empty())
            .then(|| Package::new("deb", name, version));
    }
    if let Some(stem) = ends(".rpm") {
        let (stem, _architecture) = stem.rsplit_once('.')?;
        let (rest, release) = stem.rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        return Some(Package::new("rpm", name, &format!("{version}-{release}")));
    }
    if let Some(stem) = ends(".apk") {
        let (rest, release) = stem.rsplit_once("-r").filter(|(_, release)| is_number(release))?;
        let (name, version) = rest.rsplit_once('-').filter(|(_, version)| starts_with_digit(version))?;
        return Some(Package::new("apk", name, &format!("{version}-r{release}")));
    }
    if let Some(stem) = ends(".whl") {
        let words: Vec<_> = stem.split('-').collect();
        return matches!(words.len(), 5 | 6).then(|| Package::new("wheel", &normalized(words[0]), words[1]));
    }
    if let Some(stem) = ends(".crate") {
        let (name, version) = split_at_first_version(stem)?;
        return Some(Package::new("crate", name, version));
    }
    if let Some(stem) = ends(".gem") {
        let (name, version) = split_at_first_version(stem)?;
        // What follows a dash is the platform.
        return Some(Package::new("gem", name, version.split('-').next()?));
    }
    let stem = ARCHIVES.iter().find_map(|end| ends(end))?;
    let (name, version) = stem.rsplit_once('-')?;
    let is_version = starts_with_digit(version.strip_prefix('v').unwrap_or(version));
    is_version.then(|| Package::new("archive", name, version))
}

/// `…/MODULE/@v/VERSION.zip`.
fn go(directory: &str, file: &str) -> Option<Package> {
    let module = directory.strip_suffix("/@v")?;
    let version = file.strip_suffix(".zip").filter(|version| version.starts_with('v'))?;
    let (_, path) = module.split_once("://")?.1.split_once('/')?;
    // A module begins with a host's name; what is before it is the proxy's own.
    let mut at = 0;
    for segment in path.split('/') {
        if segment.contains('.') {
            return Some(Package::new("go", &path[at..], version));
        }
        at += segment.len() + 1;
    }
    Some(Package::new("go", path, version))
}

/// `…/[@SCOPE/]NAME/-/NAME-VERSION.tgz`.
fn npm(directory: &str, file: &str) -> Option<Package> {
    let (above, name) = directory.strip_suffix("/-")?.rsplit_once('/')?;
    let version = file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".tgz")?;
    let scope = above.rsplit('/').next().filter(|scope| scope.starts_with('@'));
    let name = scope.map_or_else(|| name.to_owned(), |scope| format!("{scope}/{name}"));
    Some(Package::new("npm", &name, version))
}

/// `…/NAME/VERSION/download`.
fn crate_download(directory: &str, file: &str) -> Option<Package> {
    let (above, version) = directory.rsplit_once('/').filter(|_| file == "download")?;
    let name = above.rsplit('/').next()?;
    starts_with_digit(version).then(|| Package::new("crate", name, version))
}

/// `NAME-VERSION`, where a version begins with digits and a dot.
fn split_at_first_version(stem: &str) -> Option<(&str, &str)> {
    let is_version = |text: &str| text.split_once('.').is_some_and(|(first, _)| is_number(first));
    let at = stem.match_indices('-').find(|(at, _)| is_version(&stem[at + 1..]))?.0;
    Some((&stem[..at], &stem[at + 1..]))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}

/// A Python project's name in its one form (PEP 503).
fn normalized(name: &str) -> String {
    let mut out = String::new();
    for letter in name.to_lowercase().chars() {
        match letter {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            letter => out.push(letter),
        }
    }
    out
}

/// `text` with its escapes read once; none if that is no UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = rest.next() {
        let escaped = || {
            let mut ahead = rest.clone();
            let (high, low) = (digit(ahead.next())?, digit(ahead.next())?);
            u8::try_from(high * 16 + low).ok()
        };
        match (byte == b'%').then(escaped).flatten() {
            Some(escaped) => {
                bytes.push(escaped);
                let _ = rest.nth(1); // Its two digits.
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<(&str, &str, &str)>) {
        let found = Package::of(&format!("https://mirror.example.org/{path}"));
        let found = found.as_ref().map(|it| (it.kind, it.name.as_str(), it.version.as_str()));
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn every_kind_says_it_in_its_own_way() {
        check("pool/g/greeting_1%2b1_all.deb?x=1", Some(("deb", "greeting", "1+1")));
        check("pool/libssl3_1%3a3.0.15-1~deb12u1_amd64.deb", Some(("deb", "libssl3", "1:3.0.15-1~deb12u1")));
        check("p/bash-completion-2.11-8.el9.noarch.rpm", Some(("rpm", "bash-completion", "2.11-8.el9")));
        check("x86_64/so:libx-1.2.3_rc1-r4.apk", Some(("apk", "so:libx", "1.2.3_rc1-r4")));
        check(
            "p/ab/Zope.Interface-6.1-cp311-cp311-linux_x86_64.whl",
            Some(("wheel", "zope-interface", "6.1")),
        );
        check("p/x__y-1.0-2-py3-none-any.whl", Some(("wheel", "x-y", "1.0")));
        check("p/python-dateutil-2.8.2.tar.gz", Some(("archive", "python-dateutil", "2.8.2")));
        check("r/app-v1.2.zip", Some(("archive", "app", "v1.2")));
        check("lodash/-/lodash-4.17.21.tgz", Some(("npm", "lodash", "4.17.21")));
        check("@types/node/-/node-22.1.0.tgz", Some(("npm", "@types/node", "22.1.0")));
        check("@types%2fnode/-/node-22.1.0-rc.1.tgz", Some(("npm", "@types/node", "22.1.0-rc.1")));
        check("crates/h-2/h-2-0.4.6.crate", Some(("crate", "h-2", "0.4.6")));
        check("api/v1/crates/serde/1.0.200/download", Some(("crate", "serde", "1.0.200")));
        check("go/github.com/x/y/v2/@v/v2.1.0.zip", Some(("go", "github.com/x/y/v2", "v2.1.0")));
        check("gems/nokogiri-1.15.0-x86_64-linux.gem", Some(("gem", "nokogiri", "1.15.0")));
    }

    #[test]
    fn other_files_are_no_packages() {
        for path in [
            "dists/stable/InRelease",
            "simple/flask/",
            "a_b.deb",
            "a_b_c_d.deb",
            "x.rpm",
            "x-1.rpm",
            "a-b.tar.gz",
            "_1_all.deb",
            "go/x/@v/list",
            "download",
            "x/y/download",
            "a.whl",
            "%ff-1.0.zip",
            ".crate",
            "-.gem",
        ] {
            check(path, None);
        }
        check(&format!("{}_1_all.deb", "a".repeat(300)), None);
        assert_eq!(Package::of("pool"), None);
    }
}
