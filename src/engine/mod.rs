//! Build engines as data: what to run in the buildroot, and what its output means. Starts nothing.

mod buildah;
mod hints;
#[cfg(test)]
mod hints_tests;
mod log;

pub use buildah::{Buildah, MOUNT_OPTIONS, VERSION_MIN};
pub use hints::{GIT_DIRECTORY, Hint, hints};
pub use log::{LogLine, read_line};

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
    /// Builds, and names the result [`RESULT`].
    fn build(&self, request: &BuildRequest) -> Command;
    /// Prints the full ids of all images, one a line.
    fn list(&self) -> Command;
    /// Writes the image `name` to the directory `dir` (transport `dir:`), layers uncompressed.
    fn export(&self, name: &str, dir: &str) -> Command;
}

/// Name of the finished image in the engine's private store.
pub const RESULT: &str = "localhost/reprov-result:latest";
