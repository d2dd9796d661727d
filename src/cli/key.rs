//! `reprov key`.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use super::{
    Context,
    build::load_key,
    failure::{Exit, Failure},
};
use crate::signing::{KeyType, PrivateKey, write_pair};

/// Kinds of keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Type {
    /// ECDSA P-256: what every tool reads.
    P256,
    /// Ed25519.
    Ed25519,
}

/// `key` has two commands.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Makes a key pair: PREFIX.key (encrypted if `REPROV_PASSWORD` is set) and PREFIX.pub
    Generate {
        /// Path without extension
        #[arg(long, value_name = "PREFIX", env = "REPROV_KEY_OUT")]
        out: PathBuf,
        /// Kind of key
        #[arg(long = "type", value_enum, default_value = "p256", env = "REPROV_KEY_TYPE")]
        kind: Type,
    },
    /// Prints the public key of a private one
    Public {
        /// A file, or env:NAME
        #[arg(long, value_name = "FILE")]
        key: String,
    },
}

impl Command {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Generate { out, kind } => {
                let password = std::env::var("REPROV_PASSWORD").ok().filter(|text| !text.is_empty());
                let key = PrivateKey::generate(match kind {
                    Type::P256 => KeyType::P256,
                    Type::Ed25519 => KeyType::Ed25519,
                });
                let (private, public) = write_pair(out, &key, password.as_deref()).map_err(Failure::usage)?;
                if password.is_none() {
                    context
                        .console
                        .warn("the private key is not encrypted; set REPROV_PASSWORD to encrypt it");
                }
                let answer = json!({"schema": "reprov.key/v1", "private": private, "public": public});
                let text = format!("private     {}\npublic      {}\n", private.display(), public.display());
                context.console.answer(&answer, &text);
            }
            Self::Public { key } => {
                let pem = load_key(key)?.public_pem();
                context.console.answer(&json!({"schema": "reprov.key/v1", "pem": pem}), &pem);
            }
        }
        Ok(Exit::Ok)
    }
}
