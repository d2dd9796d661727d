//! npm: a `package.json` in the directory of each package, and lock files that say which there are (npm's `package-lock.json`,
//! versions 2 and 3).

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice as _};
use serde_json::{Map, Value};

use super::{Moved, Packages};
use crate::{
    diff::{Change, ChangeKind},
    model::json,
};

type Object = Map<String, Value>;

const MODULES: &str = "node_modules/";
/// Of a project; what npm installed; what is published with a package.
const LOCKS: [&[u8]; 3] = [b"package-lock.json", b"node_modules/.package-lock.json", b"npm-shrinkwrap.json"];
/// Where a package says which others it wants.
const WANTED: [&str; 4] = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

/// Adds packages of other versions, and files that say nothing but that.
pub(super) fn add(changes: &[Change], packages: &mut Packages) {
    for change in changes {
        add_package(change, packages);
    }
    let locks = changes.iter().filter(|change| change.kind == ChangeKind::Content);
    for (change, directory) in locks.filter_map(|change| Some((change, of_lock(&change.path)?))) {
        let Some((a, b)) = objects(change) else { continue };
        if let Some(all) = lock(&a, &b, directory, change.path.as_bstr(), packages) {
            packages.databases.insert(change.path.clone(), all);
        }
    }
    for change in changes.iter().filter(|change| change.kind == ChangeKind::Content) {
        add_project(change, packages);
    }
}

/// The project's directory, with its slash, if a path is of a lock file.
fn of_lock(path: &[u8]) -> Option<&[u8]> {
    LOCKS.iter().rev().find_map(|name| {
        path.strip_suffix(*name).filter(|directory| directory.is_empty() || directory.ends_with(b"/"))
    })
}

fn objects(change: &Change) -> Option<(Object, Object)> {
    let (a, b) = change.read()?;
    let object = |text: &[u8]| match json::parse(text).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    };
    Some((object(&a)?, object(&b)?))
}

/// `node_modules/NAME/package.json` of another version: all below is the package's, but for other packages.
fn add_package(change: &Change, packages: &mut Packages) {
    let Some(directory) = change.path.strip_suffix(b"/package.json") else { return };
    let Some((_, name)) = directory.rsplit_once_str(MODULES) else { return };
    let parts = name.split_str("/").count();
    let plain = parts == if name.starts_with(b"@") { 2 } else { 1 };
    let known = plain && change.kind == ChangeKind::Content;
    let Some((a, b)) = known.then(|| change.read()).flatten() else { return };
    let said = |text: &[u8]| {
        let value: Value = serde_json::from_slice(text).ok()?;
        let field = |name: &str| value.get(name)?.as_str().map(BString::from);
        Some((field("name")?, field("version")?))
    };
    let (Some((name_a, one)), Some((name_b, other))) = (said(&a), said(&b)) else { return };
    if name_a == name_b && one != other {
        packages.databases.insert(change.path.clone(), vec![packages.moved.len()]);
        packages.directories.insert(directory.into(), packages.moved.len());
        let (versions, record) = ([Some(one), Some(other)], change.path.clone());
        packages.moved.push(Moved { name: name_a, versions, record });
    }
}

/// The packages in which two lock files of a project in `directory` differ, if they differ in nothing else.
fn lock(
    a: &Object,
    b: &Object,
    directory: &[u8],
    record: &BStr,
    packages: &mut Packages,
) -> Option<Vec<usize>> {
    let listed = |lock: &Object| Some(lock.get("packages")?.as_object()?.clone());
    let (one, other) = (listed(a)?, listed(b)?);
    let (mut all, mut root) = (Vec::new(), false);
    for key in keys(&one, &other) {
        let (old, new) = (one.get(key), other.get(key));
        if old == new {
            continue;
        }
        if key.is_empty() {
            root = true;
            continue;
        }
        let version = |of: Option<&Value>| Some(BString::from(of?.get("version")?.as_str()?));
        let versions = [version(old), version(new)];
        let (_, name) = key.rsplit_once(MODULES)?;
        if versions[0] == versions[1]
            || versions.iter().zip([old, new]).any(|(version, said)| version.is_some() != said.is_some())
        {
            return None; // The same version of something else.
        }
        all.push((BString::from([directory, key.as_bytes()].concat()), BString::from(name), versions));
    }
    let names: BTreeSet<&[u8]> = all.iter().map(|(_, name, _)| name.as_slice()).collect();
    let whole =
        |lock: &Object, at: &str| lock.get(at).and_then(Value::as_object).cloned().unwrap_or_default();
    let roots = !root || wants_alike(&whole(&one, ""), &whole(&other, ""), &names);
    let trees = trees_alike(&whole(a, "dependencies"), &whole(b, "dependencies"), &names);
    if all.is_empty() || !roots || !trees || !rest_alike(a, b, &["packages", "dependencies"]) {
        return None;
    }
    let index = |(directory, name, versions): (BString, BString, [Option<BString>; 2])| {
        if let Some(known) = packages.directories.get(&directory) {
            return (packages.moved[*known].versions == versions).then_some(*known);
        }
        let index = packages.moved.len();
        packages.directories.insert(directory, index);
        packages.moved.push(Moved { name, versions, record: record.into() });
        Some(index)
    };
    all.into_iter().map(index).collect()
}

/// A project's `package.json`, which wants other versions of packages that moved beside it.
fn add_project(change: &Change, packages: &mut Packages) {
    let Some(directory) = change.path.strip_suffix(b"package.json") else { return };
    let Some((a, b)) = objects(change).filter(|_| !packages.databases.contains_key(&change.path)) else {
        return;
    };
    let modules = [directory, MODULES.as_bytes()].concat();
    let beside = packages.directories.iter().filter_map(|(path, index)| {
        let name = path.strip_prefix(modules.as_slice())?;
        (!name.contains_str(MODULES)).then_some((name, *index))
    });
    let beside: Vec<_> = beside.collect();
    let names: BTreeSet<&[u8]> = beside.iter().map(|(name, _)| *name).collect();
    if !names.is_empty() && a != b && wants_alike(&a, &b, &names) {
        let all = beside.into_iter().map(|(_, index)| index).collect();
        packages.databases.insert(change.path.clone(), all);
    }
}

fn keys<'a>(a: &'a Object, b: &'a Object) -> BTreeSet<&'a String> {
    a.keys().chain(b.keys()).collect()
}

/// Whether two objects differ in nothing but members of these names.
fn rest_alike(a: &Object, b: &Object, but: &[&str]) -> bool {
    keys(a, b).into_iter().all(|key| but.contains(&key.as_str()) || a.get(key) == b.get(key))
}

/// Whether two descriptions of a package differ in nothing but which versions of `names` they want.
fn wants_alike(a: &Object, b: &Object, names: &BTreeSet<&[u8]>) -> bool {
    let of_names = |field: &str| {
        let wanted = |of: &Object| of.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
        let (one, other) = (wanted(a), wanted(b));
        let range = |value: Option<&Value>| value.is_none_or(|value| value.as_str().is_some_and(is_range));
        keys(&one, &other).into_iter().all(|name| {
            let (old, new) = (one.get(name), other.get(name));
            old == new || (names.contains(name.as_bytes()) && range(old) && range(new))
        })
    };
    rest_alike(a, b, &WANTED) && WANTED.iter().all(|field| of_names(field))
}

/// Whether a text is of versions, and no place to fetch something from.
fn is_range(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" .-+^~<>=|*".contains(&byte))
}

/// Whether two trees of dependencies (version 2 of the format, for older programs) differ in nothing but `names`.
fn trees_alike(a: &Object, b: &Object, names: &BTreeSet<&[u8]>) -> bool {
    keys(a, b).into_iter().all(|name| {
        let (old, new) = (a.get(name), b.get(name));
        if old == new || names.contains(name.as_bytes()) {
            return true;
        }
        let (Some(Value::Object(one)), Some(Value::Object(other))) = (old, new) else { return false };
        let below =
            |of: &Object| of.get("dependencies").and_then(Value::as_object).cloned().unwrap_or_default();
        rest_alike(one, other, &["dependencies"]) && trees_alike(&below(one), &below(other), names)
    })
}
