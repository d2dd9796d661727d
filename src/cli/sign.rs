//! Who signs, on the command line.

use std::time::Duration;

use super::failure::Failure;
use crate::{
    attest::PublicKey,
    model::{Secret, limits::SIGNER_TIMEOUT_S},
    recipe::Timeout,
    signing::{self, Passwords, PrivateKey, Signer, SignerCommand},
};

/// Flags of every command that signs.
#[derive(Debug, clap::Args)]
pub(super) struct SignArgs {
    /// Signs: a private key's file, or env:NAME; with --signer-command, the public key's
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// A command that signs in the key's place (KMS, HSM): bytes on stdin, signature on stdout; run without a shell
    #[arg(long, value_name = "COMMAND", requires = "key")]
    signer_command: Option<String>,
    /// Longest time the command may take (90s, 5m) [default: 60s]
    #[arg(long, value_name = "TIME", requires = "signer_command")]
    signer_timeout: Option<String>,
}

impl SignArgs {
    /// Who signs; none if `--key` is not given. Key files are read here; the command is not run yet.
    pub(super) fn signer(&self) -> Result<Option<Signer>, Failure> {
        let Some(key) = &self.key else {
            return match self.signer_command {
                None => Ok(None),
                Some(_) => Err(Failure::usage_text(
                    "--signer-command needs --key FILE.pub, the public key of the one it signs with"
                        .to_owned(),
                )),
            };
        };
        let Some(line) = &self.signer_command else { return load_key(key).map(|key| Some(key.into())) };
        let public = match key.strip_prefix("env:") {
            Some(name) => PublicKey::from_pem(&variable(name)?).map_err(Failure::usage)?,
            None => signing::load_public(key.as_ref()).map_err(Failure::usage)?,
        };
        let timeout = match &self.signer_timeout {
            None => Duration::from_secs(SIGNER_TIMEOUT_S),
            Some(text) => text
                .parse::<Timeout>()
                .map_err(|error| Failure::usage_text(format!("--signer-timeout: {error}")))?
                .duration(),
        };
        SignerCommand::new(line, public, timeout)
            .map(|command| Some(Signer::Command(command)))
            .map_err(Failure::usage)
    }
}

/// The signing key in a file or in an environment variable (`env:NAME`).
pub(super) fn load_key(spec: &str) -> Result<PrivateKey, Failure> {
    match spec.strip_prefix("env:") {
        None => PrivateKey::load(spec.as_ref(), &passwords()).map_err(Failure::usage),
        Some(name) => PrivateKey::from_pem(&variable(name)?, &passwords()).map_err(Failure::usage),
    }
}

fn variable(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| Failure::usage_text(format!("--key env:{name}: {name} is not set")))
}

/// The password that new key files are encrypted with; an empty one is none.
pub(super) fn password() -> Option<Secret> {
    std::env::var("REPROV_PASSWORD").ok().filter(|text| !text.is_empty()).map(Secret::new)
}

/// What opens key files. cosign takes an empty password, if it is set.
fn passwords() -> Passwords {
    Passwords { reprov: password(), cosign: std::env::var("COSIGN_PASSWORD").ok().map(Secret::new) }
}
