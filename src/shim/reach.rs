//! Whether the program that a step begins with will load what is preloaded: it must be linked dynamically, for 64 bits
//! of this machine's kind.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Component, Path, PathBuf},
};

use super::json::Json;

/// Links, and interpreters of interpreters, that are followed.
const STEPS_MAX: usize = 40;
/// Of a program's file: its headers lie at the start.
const HEAD_SIZE_BYTES: u64 = 4096;
const O_NOFOLLOW_NONBLOCK: i32 = if cfg!(target_arch = "aarch64") { 0o100_000 } else { 0o400_000 } | 0o4000;

/// Why the first program of this bundle's step is out of reach, with its name; none if it is not, or cannot be found.
pub fn unreached(config: &Json, bundle: &Path) -> Option<String> {
    let process = config.get("process")?;
    let root = bundle.join(config.get("root")?.get("path")?.text()?);
    let word = strings(process.get("args")?).next()?;
    let variables = strings(process.get("env")?);
    let path = variables.filter_map(|variable| variable.strip_prefix("PATH=")).last().unwrap_or_default();
    let cwd = process.get("cwd").and_then(Json::text).unwrap_or("/");
    let places: Vec<PathBuf> = if word.contains('/') {
        vec![Path::new(cwd).join(word)]
    } else {
        path.split(':').map(|dir| Path::new(cwd).join(dir).join(word)).collect()
    };
    let mut program = places.iter().find_map(|place| resolve(&root, place).filter(|file| file.is_file()))?;
    for _ in 0..STEPS_MAX {
        let head = head(&program)?;
        match interpreter(&head) {
            Some(interpreter) => program = resolve(&root, Path::new(OsStr::from_bytes(interpreter)))?,
            None => {
                let why = why_not(&head)?;
                return Some(format!("`/{}`, which {why}", program.strip_prefix(&root).ok()?.display()));
            }
        }
    }
    None
}

fn strings(list: &Json) -> impl Iterator<Item = &str> {
    let items = if let Json::Array(items) = list { &items[..] } else { &[] };
    items.iter().filter_map(Json::text)
}

/// What `path` names below `root`; a link never leads out of it. Nothing else runs in the bundle yet.
fn resolve(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut todo: Vec<PathBuf> = parts(path);
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == Path::new("..") {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        match fs::read_link(root.join(&next)) {
            Ok(target) => {
                links += 1;
                if links > STEPS_MAX {
                    return None;
                }
                if target.is_absolute() {
                    at = PathBuf::new();
                }
                todo.extend(parts(&target));
            }
            Err(_) => at = next,
        }
    }
    Some(root.join(at))
}

/// The components, last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named =
        path.components().rev().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    named.map(|part| PathBuf::from(part.as_os_str())).collect()
}

fn head(program: &Path) -> Option<Vec<u8>> {
    let file = File::options().read(true).custom_flags(O_NOFOLLOW_NONBLOCK).open(program).ok()?;
    let mut bytes = Vec::new();
    file.metadata().ok()?.is_file().then_some(())?;
    file.take(HEAD_SIZE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The interpreter of a script.
fn interpreter(head: &[u8]) -> Option<&[u8]> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    line.split(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty())
}

/// Why a program (elf(5)) loads no shared object of this machine's kind; none if it does, or is no such file.
fn why_not(head: &[u8]) -> Option<&'static str> {
    const PT_INTERP: u32 = 3;
    let own = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    head.strip_prefix(b"\x7fELF")?;
    if head.get(4) != Some(&2) || number(head, 18, 2) != Some(own) {
        return Some("is for another kind of processor");
    }
    let (start, size, count) = (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?);
    for index in 0..count {
        let at = usize::try_from(start.checked_add(index * size)?).ok()?;
        if number(head, at, 4)? == u64::from(PT_INTERP) {
            return None;
        }
    }
    Some("is static")
}

fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(class: u8, machine: u8, kinds: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..5].copy_from_slice(&[0x7f, b'E', b'L', b'F', class]);
        bytes[18] = machine;
        (bytes[32], bytes[54], bytes[56]) = (64, 56, u8::try_from(kinds.len()).unwrap());
        for kind in kinds {
            let mut header = vec![0; 56];
            header[0] = *kind;
            bytes.extend(header);
        }
        bytes
    }

    #[test]
    fn static_programs_and_those_of_other_processors_are_found() {
        let own = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        assert_eq!(why_not(&elf(2, own, &[6, 3, 1])), None);
        assert_eq!(why_not(&elf(2, own, &[6, 1])), Some("is static"));
        assert_eq!(why_not(&elf(1, own, &[3])), Some("is for another kind of processor"));
        assert_eq!(why_not(&elf(2, 40, &[3])), Some("is for another kind of processor"));
        for odd in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &elf(2, own, &[1, 3])[..100]] {
            let why = why_not(odd);
            assert!(why.is_none() || odd.len() < 18, "{why:?}");
        }
        assert_eq!(
            why_not(&{
                let mut bytes = elf(2, own, &[1]);
                bytes[32..40].copy_from_slice(&[0xff; 8]);
                bytes
            }),
            None
        );
    }

    #[test]
    fn the_program_is_looked_for_as_the_runtime_does() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        let own = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        fs::write(root.join("bin/box"), elf(2, own, &[1])).unwrap();
        fs::write(root.join("bin/dynamic"), elf(2, own, &[3])).unwrap();
        fs::write(root.join("bin/script"), "#! /bin/sh -e\n").unwrap();
        for (link, target) in
            [("bin/sh", "/bin/box"), ("usr", "../.."), ("bin/loop", "loop"), ("bin/out", "/../../etc/passwd")]
        {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        let check = |args: &str, expected: Option<&str>| {
            let text = format!(
                r#"{{"root":{{"path":"root"}},"process":{{"cwd":"/bin","env":["PATH=/none:/bin"],"args":[{args}]}}}}"#
            );
            assert_eq!(unreached(&Json::parse(&text).unwrap(), dir.path()).as_deref(), expected, "{args}");
        };
        let found = Some("`/bin/box`, which is static");
        for args in ["\"/bin/sh\",\"-c\"", "\"sh\"", "\"./box\"", "\"/usr/bin/sh\"", "\"script\""] {
            check(args, found);
        }
        for args in ["", "\"dynamic\"", "\"loop\"", "\"out\"", "\"none\"", "\"/bin\""] {
            check(args, None);
        }
    }
}
