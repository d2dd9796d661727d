//! What the package managers of a base image are set up to fetch from: the default allow list.

use std::collections::BTreeSet;

use super::repositories::prefix;
use crate::model::{Repository, RepositoryKind};

/// The repositories that `files` (path in the image, bytes) configure.
///
/// Reads apt's one-line (`.list`) and deb822 (`.sources`) files and yum's `.repo` files, by path order; takes what
/// is enabled and `http` or `https`; cuts a URL before the first segment with a variable in it; leaves out what lies
/// under another. Named `apt-1`, `apt-2`, …, `yum-1`, … in order of appearance. What cannot be read is not allowed,
/// and so shows as a refused request.
#[must_use]
pub fn system_repositories(files: &[(String, Vec<u8>)]) -> Vec<Repository> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    let mut found: Vec<(RepositoryKind, String)> = Vec::new();
    for (path, bytes) in files {
        let text = String::from_utf8_lossy(bytes);
        let (kind, urls) = match path.rsplit('.').next() {
            Some("list") => (RepositoryKind::Apt, one_line(&text)),
            Some("sources") => (RepositoryKind::Apt, deb822(&text)),
            Some("repo") => (RepositoryKind::Yum, yum(&text)),
            _ => continue,
        };
        found.extend(urls.iter().filter_map(|url| fixed_prefix(url)).map(|url| (kind, url)));
    }
    named(&found)
}

fn named(found: &[(RepositoryKind, String)]) -> Vec<Repository> {
    let all: BTreeSet<&str> = found.iter().map(|(_, url)| url.as_str()).collect();
    let mut taken = BTreeSet::new();
    let (mut apt, mut yum) = (0, 0);
    let mut repositories = Vec::new();
    for (kind, url) in found {
        let inner = url.rmatch_indices('/').any(|(at, _)| all.contains(&url[..at]));
        if inner || !taken.insert(url) {
            continue;
        }
        let (word, count) = if *kind == RepositoryKind::Apt { ("apt", &mut apt) } else { ("yum", &mut yum) };
        *count += 1;
        let name = format!("{word}-{count}");
        repositories.push(Repository::plain(name, *kind, url.clone()));
    }
    repositories
}

/// The part of `url` that is the same whatever the variables are.
fn fixed_prefix(url: &str) -> Option<String> {
    let fixed = match url.find('$') {
        Some(at) => &url[..=url[..at].rfind('/')?],
        None => url,
    };
    prefix(fixed).ok()
}

/// sources.list(5), "one-line-style format": `deb [options] URI suite component…`.
fn one_line(text: &str) -> Vec<String> {
    let url = |line: &str| {
        let line = line.split('#').next()?.trim();
        let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        rest.split_whitespace().next().map(str::to_owned)
    };
    text.lines().filter_map(url).collect()
}

/// sources.list(5), "deb822-style format": paragraphs of fields.
fn deb822(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).flat_map(paragraph).collect()
}

fn paragraph(lines: &[&str]) -> Vec<String> {
    let (mut uris, mut types, mut enabled) = (Vec::new(), Vec::new(), true);
    let mut field = String::new();
    for line in lines {
        let value = match line.split_once(':') {
            Some((name, value)) if !line.starts_with([' ', '\t']) => {
                field = name.trim().to_ascii_lowercase();
                value
            }
            _ => line,
        };
        let words = value.split_whitespace().map(str::to_owned);
        match field.as_str() {
            "uris" => uris.extend(words),
            "types" => types.extend(words),
            "enabled" => enabled = !is_off(value),
            _ => {}
        }
    }
    let binary = types.iter().any(|word| word == "deb");
    if enabled && binary { uris } else { Vec::new() }
}

/// yum.conf(5), "[repository] OPTIONS": `baseurl` is a list over whitespace, commas and indented lines.
fn yum(text: &str) -> Vec<String> {
    let mut urls = Vec::new();
    let (mut section, mut enabled, mut in_baseurl) = (Vec::new(), true, false);
    for line in text.lines().filter(|line| !line.starts_with(['#', ';'])).chain(["[end]"]) {
        let words = |value: &str| -> Vec<String> {
            value.split([' ', '\t', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        if line.starts_with('[') {
            urls.extend(std::mem::take(&mut section).into_iter().filter(|_| enabled));
            (enabled, in_baseurl) = (true, false);
        } else if line.starts_with([' ', '\t']) {
            section.extend(words(line).into_iter().filter(|_| in_baseurl));
        } else if let Some((key, value)) = line.split_once('=') {
            in_baseurl = key.trim() == "baseurl";
            match key.trim() {
                "baseurl" => section = words(value),
                "enabled" => enabled = !is_off(value),
                _ => {}
            }
        }
    }
    urls
}

/// The spellings of "no" of apt and yum.
fn is_off(value: &str) -> bool {
    ["0", "no", "false", "off", "without", "disable"].contains(&value.trim().to_ascii_lowercase().as_str())
}
