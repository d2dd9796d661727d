//! Build engines as data: what to run in the buildroot, and what its output means. Starts nothing.

mod buildah;
mod hints;
#[cfg(test)]
mod hints_tests;
mod log;

pub use buildah::{Buildah, MOUNT_OPTIONS, VERSION_MIN};
pub use hints::{GIT_DIRECTORY, Hint, hints};
pub use log::{LogLine, read_line};

use crate::model::{DiffId, Digest};

/// What to build, as the engine sees it from inside the cage.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// `--target`, if not the last stage.
    pub target: Option<String>,
    /// `--build-arg`s.
    pub build_args: std::collections::BTreeMap<String, String>,
    /// `linux/amd64`.
    pub platform: String,
    /// Image references as written, and the local image that stands for each.
    pub pinned: Vec<(String, String)>,
    /// Secrets for `RUN --mount=type=secret`: id, file as seen in the cage.
    pub secrets: Vec<(String, String)>,
    /// Whether a named context with lowered heredocs exists.
    pub heredocs: bool,
}

/// One command of the plan that init runs.
pub type Command = Vec<String>;

/// The seam between what to build and who builds it. Paths are those of the cage's tree: `build` (this build's own
/// directory), `bases` (the shared store of base images), `shim`.
pub trait Engine: Send + Sync {
    /// Loads the base in directory `dir` (transport `dir:`) whose config has the digest `config_hex` into the shared
    /// store, under the name `local`.
    fn load(&self, dir: &str, config_hex: &str, local: &str) -> Vec<Command>;
    /// Builds, and names the result [`RESULT`]. What is committed on the way is kept in `build/`[`COMMITTED`], and the
    /// result's id written to `build/`[`RESULT_ID`].
    fn build(&self, request: &BuildRequest) -> Command;
    /// Starts a step in the image `local` of the shared store, of which nothing is committed: as the user `user`, in the
    /// directory `workdir`; as the image says if none.
    fn step(&self, local: &str, user: Option<&str>, workdir: Option<&str>) -> Vec<Command>;
    /// The name in [`COMMITTED`] of a layer, uncompressed.
    fn layer(&self, diff_id: &DiffId) -> String;
    /// The name in [`COMMITTED`] of the config of the image `id`.
    fn config(&self, id: &Digest) -> String;
    /// Writes the image `name` to the directory `dir` (transport `dir:`), layers uncompressed and named by the hex digits
    /// of their diffIDs: for a layer that the engine did not commit, since it had the same one already.
    fn export(&self, name: &str, dir: &str) -> Command;
}

/// Name of the finished image in the engine's private store.
pub const RESULT: &str = "localhost/reprov-result:latest";
/// Directory of what the engine committed. It does not keep there what its store had before.
pub const COMMITTED: &str = "committed";
/// File with the id of the finished image.
pub const RESULT_ID: &str = "result";
