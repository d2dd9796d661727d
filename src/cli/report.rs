//! `--report`, of `diff`, `rebuild` and `test`.

use std::{
    fs::Permissions,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::failure::Failure;
use crate::report::{Compares, Form, render};

/// A report that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Report {
    path: PathBuf,
    form: Form,
}

/// Reads a value of `--report`; what cannot be written is said before anything is done.
pub(super) fn parse(text: &str) -> Result<Report, String> {
    let path = PathBuf::from(text);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(form) = Form::of(&name) else {
        let endings = Form::ALL.map(Form::ending).join(", ");
        return Err(format!("the name of a report ends in one of {endings}"));
    };
    writable(&path)?;
    Ok(Report { path, form })
}

/// Whether a report can lie at `path`, in a sentence if not.
pub(super) fn writable(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Err("it is a directory".to_owned());
    }
    let parent = parent(path);
    if parent.is_dir() { Ok(()) } else { Err(format!("there is no directory `{}`", parent.display())) }
}

/// The directory that `path` lies in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Writes each of `reports`.
pub(super) fn write(reports: &[Report], answer: &impl Compares) -> Result<(), Failure> {
    for Report { path, form } in reports {
        file("--report", path, &render(*form, answer))?;
    }
    Ok(())
}

/// Writes `text` to `path`, which `flag` named, all of it or nothing.
pub(super) fn file(flag: &str, path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::unavailable(error).hint(format!("{flag} {}: it could not be written", path.display()))
    };
    let mode = Permissions::from_mode(0o666); // Less what the umask takes.
    let part = tempfile::Builder::new().prefix(".reprov-").permissions(mode).tempfile_in(parent(path));
    let mut part = part.map_err(failed)?;
    part.write_all(text.as_bytes()).map_err(failed)?;
    part.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
