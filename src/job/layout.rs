//! What judging an in-toto layout needs from outside: files of links, and inspections, which run commands.
#![expect(
    clippy::disallowed_methods,
    reason = "an edge: links and the product are files in directories the caller names"
)]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use super::evidence::chain;
use crate::{
    attest::{Artifacts, Inspection, Link},
    model::{Digest, limits},
    process,
    verify::layout::{LayoutCode, LayoutFinding, LinkFiles},
};

/// Longest inspection. The reference's is ten seconds, unless its caller says otherwise.
pub const INSPECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// Deepest directory that is recorded around an inspection.
const RECORDED_DEPTH_MAX: usize = 64;

/// Why the links of a layout, or the files around an inspection, could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
pub struct LayoutError {
    path: PathBuf,
    source: io::Error,
}

impl LayoutError {
    fn of(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path: path.clone(), source }
    }
}

/// Reads every file of a link in `dir`, and in directories of it that are named as those of sublayouts.
///
/// # Errors
/// [`LayoutError`], also past a bound of [`limits`]: a list that was cut off would look whole.
pub fn links(dir: &Path) -> Result<LinkFiles, LayoutError> {
    let mut found = Links { files: BTreeMap::new(), left_bytes: limits::LINK_FILES_SIZE_BYTES_MAX };
    found.read(dir, "", 1)?;
    Ok(found.files)
}

struct Links {
    files: LinkFiles,
    left_bytes: u64,
}

impl Links {
    fn read(&mut self, dir: &Path, below: &str, depth: usize) -> Result<(), LayoutError> {
        for entry in fs::read_dir(dir).map_err(LayoutError::of(dir))? {
            let entry = entry.map_err(LayoutError::of(dir))?;
            let (path, name) = (entry.path(), entry.file_name());
            let Some(name) = name.to_str() else { continue }; // No step is called so.
            let kind = entry.file_type().map_err(LayoutError::of(&path))?;
            if kind.is_dir() && of_sublayout(name) && depth < limits::LAYOUT_DEPTH_MAX {
                self.read(&path, &format!("{below}{name}/"), depth + 1)?;
            } else if name.ends_with(".link") && fs::metadata(&path).is_ok_and(|about| about.is_file()) {
                if self.files.len() >= limits::LINK_FILES_MAX {
                    let many = io::Error::other(format!("more than {} links", limits::LINK_FILES_MAX));
                    return Err(LayoutError::of(dir)(many));
                }
                let file = File::open(&path).map_err(LayoutError::of(&path))?;
                let bytes = limits::read_bounded(file, self.left_bytes, "all links together");
                let bytes = bytes.map_err(LayoutError::of(&path))?;
                self.left_bytes -= bytes.len() as u64;
                self.files.insert(format!("{below}{name}"), bytes);
            }
        }
        Ok(())
    }
}

/// Whether a directory is named `STEP.KEYID8`.
fn of_sublayout(name: &str) -> bool {
    let key = name.rsplit_once('.').map(|(_, key)| key);
    key.is_some_and(|key| key.len() == 8 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Runs `inspections` in `dir`, one after the other, and records all files in it before and after each, as `in-toto-run` does; the
/// first that does not end well is the last.
///
/// # Errors
/// [`LayoutError`] if the files cannot be read.
pub async fn inspect(
    inspections: &[Inspection],
    dir: &Path,
) -> Result<(BTreeMap<String, Link>, Option<LayoutFinding>), LayoutError> {
    let mut links = BTreeMap::new();
    for inspection in inspections {
        let materials = recorded(dir).await?;
        if let Some(why) = failed(inspection, dir).await {
            let command = inspection.run.join(" ");
            let message = format!("`{command}` {why}");
            return Ok((
                links,
                Some(LayoutFinding::new(LayoutCode::InspectionFailed, &inspection.name, &message)),
            ));
        }
        let link = Link {
            name: inspection.name.clone(),
            command: inspection.run.clone(),
            materials,
            products: recorded(dir).await?,
            ..Link::default()
        };
        links.insert(inspection.name.clone(), link);
    }
    Ok((links, None))
}

/// Why the command of `inspection` did not end well, if so.
async fn failed(inspection: &Inspection, dir: &Path) -> Option<String> {
    let Some((program, args)) = inspection.run.split_first() else { return Some("is no command".to_owned()) };
    match process::watched(program, args, dir, INSPECTION_TIMEOUT).await {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("ended with {status}")),
        Err(error) => Some(chain(&error)),
    }
}

/// Records files, and directories with all that is in them, under the names by which they are given, as `in-toto-run` does.
///
/// # Errors
/// [`LayoutError`]: one that is not there is one too.
pub async fn recorded_at(paths: &[PathBuf]) -> Result<Artifacts, LayoutError> {
    let paths = paths.to_vec();
    let recording = tokio::task::spawn_blocking(move || {
        let mut artifacts = Artifacts::new();
        for path in &paths {
            let clean: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
            let name = clean.to_str();
            let name =
                name.ok_or_else(|| LayoutError::of(path)(io::Error::other("its name is not UTF-8")))?;
            let about = fs::metadata(path).map_err(LayoutError::of(path))?;
            if about.is_dir() {
                let below = if name.is_empty() { String::new() } else { format!("{name}/") };
                record(path, &below, &mut Vec::new(), &mut artifacts)?;
            } else {
                let digest = File::open(path).and_then(Digest::of_reader).map_err(LayoutError::of(path))?;
                artifacts.insert(name.to_owned(), BTreeMap::from([("sha256".to_owned(), digest.hex())]));
            }
        }
        Ok(artifacts)
    });
    match recording.await {
        Ok(artifacts) => artifacts,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

async fn recorded(dir: &Path) -> Result<Artifacts, LayoutError> {
    let dir = dir.to_owned();
    let recording = tokio::task::spawn_blocking(move || {
        let mut artifacts = Artifacts::new();
        record(&dir, "", &mut Vec::new(), &mut artifacts)?;
        Ok(artifacts)
    });
    match recording.await {
        Ok(artifacts) => artifacts,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Every file below `dir`, through links too; `above` are the directories on the way, which a link may lead back to.
fn record(
    dir: &Path,
    below: &str,
    above: &mut Vec<(u64, u64)>,
    artifacts: &mut Artifacts,
) -> Result<(), LayoutError> {
    let about = fs::metadata(dir).map_err(LayoutError::of(dir))?;
    let own = (about.dev(), about.ino());
    if above.contains(&own) || above.len() >= RECORDED_DEPTH_MAX {
        return Err(LayoutError::of(dir)(io::Error::other("a link leads back up, or it is too deep")));
    }
    above.push(own);
    for entry in fs::read_dir(dir).map_err(LayoutError::of(dir))? {
        let entry = entry.map_err(LayoutError::of(dir))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name =
            name.to_str().ok_or_else(|| LayoutError::of(&path)(io::Error::other("its name is not UTF-8")))?;
        if excluded(name) {
            continue;
        }
        let Ok(about) = fs::metadata(&path) else { continue }; // A link that leads nowhere, as for the reference.
        let within = format!("{below}{name}");
        if about.is_dir() {
            record(&path, &format!("{within}/"), above, artifacts)?;
        } else if about.is_file() {
            if artifacts.len() >= limits::LINK_ARTIFACTS_MAX {
                let many = format!("more than {} files", limits::LINK_ARTIFACTS_MAX);
                return Err(LayoutError::of(dir)(io::Error::other(many)));
            }
            let digest = File::open(&path).and_then(Digest::of_reader).map_err(LayoutError::of(&path))?;
            artifacts.insert(within, BTreeMap::from([("sha256".to_owned(), digest.hex())]));
        }
    }
    above.pop();
    Ok(())
}

/// What the reference leaves out: `*.link*`, `.git`, `*.pyc`, `*~`.
fn excluded(name: &str) -> bool {
    name.contains(".link") || name == ".git" || name.ends_with(".pyc") || name.ends_with('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_where_layouts_look() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        };
        write("a.12345678.link");
        write("b.12345678/c.12345678.link");
        write("other/d.12345678.link");
        write("b.1234567g/x.link");
        write("e.txt");
        let found = links(dir.path()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a.12345678.link", "b.12345678/c.12345678.link"]);
        assert!(links(&dir.path().join("nowhere")).is_err());
    }

    #[tokio::test]
    async fn files_are_recorded_as_the_reference_does() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "x.link", "y.pyc", "z~", "sub/b", ".git/config"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("sub", dir.path().join("other")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("broken")).unwrap();
        let found = recorded(dir.path()).await.unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "other/b", "sub/b"]);
        std::os::unix::fs::symlink("..", dir.path().join("sub/up")).unwrap();
        assert!(recorded(dir.path()).await.is_err());
    }

    #[tokio::test]
    async fn what_is_named_is_recorded_under_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["src/a", "src/sub/b", "c"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let at = |name: &str| dir.path().join("./.").join(name);
        let found = recorded_at(&[at("src"), at("c")]).await.unwrap();
        let below = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        assert_eq!(
            found.keys().cloned().collect::<Vec<_>>(),
            [below("c"), below("src/a"), below("src/sub/b")]
        );
        assert!(recorded_at(&[at("none")]).await.is_err());
    }

    #[tokio::test]
    async fn an_inspection_runs_where_it_is_told_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let run = |words: &[&str]| Inspection {
            name: "look".into(),
            run: words.iter().map(|word| (*word).to_owned()).collect(),
            materials: Vec::new(),
            products: Vec::new(),
        };
        let (links, finding) = inspect(&[run(&["sh", "-c", "echo x > made"])], dir.path()).await.unwrap();
        assert_eq!(finding, None);
        assert!(links["look"].materials.is_empty() && links["look"].products.contains_key("made"));
        for words in [&["sh", "-c", "exit 3"][..], &["no-such-program"], &[]] {
            let (_, finding) = inspect(&[run(words)], dir.path()).await.unwrap();
            assert_eq!(finding.unwrap().code, LayoutCode::InspectionFailed);
        }
        let program = Path::new("sleep");
        let slow = process::watched(program, ["60"], dir.path(), Duration::from_millis(50)).await;
        assert!(slow.unwrap_err().to_string().contains("killed"));
    }
}
