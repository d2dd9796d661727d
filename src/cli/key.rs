//! `reprov key`.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use super::{
    Context,
    failure::{Exit, Failure},
    sign::{load_key, password},
};
use crate::signing::{KeyType, PrivateKey, write_pair};

/// Kinds of keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Type {
    /// ECDSA P-256: what every tool reads.
    P256,
    /// Ed25519.
    Ed25519,
    /// RSA of 3072 bits, for those who must.
    Rsa,
}

/// `key` has three commands.
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
        /// A private key's file, or env:NAME
        #[arg(value_name = "FILE", required_unless_present = "key")]
        file: Option<String>,
        /// The same, as elsewhere
        #[arg(long, value_name = "FILE", conflicts_with = "file")]
        key: Option<String>,
    },
    /// Writes another tool's private key as PREFIX.key and PREFIX.pub
    ///
    /// It may be PKCS#8, encrypted or not, SEC 1, PKCS#1, or cosign's encrypted file.
    Import {
        /// The private key's file, or env:NAME; `REPROV_PASSWORD` or, for cosign's, `COSIGN_PASSWORD` opens it
        #[arg(value_name = "FILE")]
        file: String,
        /// Path without extension
        #[arg(long, value_name = "PREFIX", env = "REPROV_KEY_OUT")]
        out: PathBuf,
    },
}

impl Command {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Generate { out, kind } => {
                let key = PrivateKey::generate(match kind {
                    Type::P256 => KeyType::P256,
                    Type::Ed25519 => KeyType::Ed25519,
                    Type::Rsa => KeyType::Rsa,
                });
                write(context, out, &key)?;
            }
            Self::Public { file, key } => {
                let pem = load_key(file.as_ref().or(key.as_ref()).map_or("", String::as_str))?.public_pem();
                context.console.answer(&json!({"schema": "reprov.key/v1", "pem": pem}), &pem);
            }
            Self::Import { file, out } => write(context, out, &load_key(file)?)?,
        }
        Ok(Exit::Ok)
    }
}

fn write(context: &Context<'_>, prefix: &std::path::Path, key: &PrivateKey) -> Result<(), Failure> {
    let password = password();
    let (private, public) = write_pair(prefix, key, password.as_ref()).map_err(Failure::usage)?;
    if password.is_none() {
        context.console.warn("the private key is not encrypted; set REPROV_PASSWORD to encrypt it");
    }
    let answer = json!({"schema": "reprov.key/v1", "private": private, "public": public});
    let text = format!("private     {}\npublic      {}\n", private.display(), public.display());
    context.console.answer(&answer, &text);
    Ok(())
}
