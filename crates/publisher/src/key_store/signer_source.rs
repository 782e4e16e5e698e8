use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use release_format::SignerError;
use zeroize::Zeroizing;

use crate::PublishError;
use crate::key_store::hook::{HOOK_TIMEOUT, HookSigner};
use crate::key_store::{KeyStore, SharedSigner};

/// Where a signer is found: `file:PATH` (or a path alone), `env:VARIABLE`, `exec:PROGRAM ARGUMENT...`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignerSource {
    /// A private key in a PKCS#8 PEM file.
    File(PathBuf),
    /// A private key in PKCS#8 PEM in an environment variable, as CI systems keep secrets.
    Environment(String),
    /// A program that signs; see [`HookSigner`].
    Exec(String),
}

impl FromStr for SignerSource {
    type Err = SignerError;

    fn from_str(text: &str) -> Result<SignerSource, SignerError> {
        let source = match text.split_once(':') {
            Some(("file", path)) => SignerSource::File(path.into()),
            Some(("env", variable)) => SignerSource::Environment(variable.to_owned()),
            Some(("exec", line)) => SignerSource::Exec(line.to_owned()),
            _ => SignerSource::File(text.into()),
        };
        let is_empty = match &source {
            SignerSource::File(path) => path.as_os_str().is_empty(),
            SignerSource::Environment(variable) => variable.is_empty() || variable.contains('='),
            SignerSource::Exec(line) => line.trim().is_empty(),
        };
        if is_empty {
            let expected = "file:PATH, env:VARIABLE or exec:PROGRAM ARGUMENT...";
            return Err(SignerError {
                reason: format!("expected {expected}, found {text:?}"),
            });
        }
        Ok(source)
    }
}

impl fmt::Display for SignerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignerSource::File(path) => write!(f, "file:{}", path.display()),
            SignerSource::Environment(variable) => write!(f, "env:{variable}"),
            SignerSource::Exec(line) => write!(f, "exec:{line}"),
        }
    }
}

impl KeyStore {
    /// Opens a signer, an encrypted key with this store's passphrase.
    ///
    /// # Errors
    /// As [`KeyStore::load`]; [`PublishError::Unsigned`] for a variable that is not there and for a
    /// program that shows no key.
    pub fn open_signer(&self, source: &SignerSource) -> Result<SharedSigner, PublishError> {
        let unsigned = |source_error: SignerError| PublishError::Unsigned {
            key: source.to_string(),
            source: source_error,
        };
        match source {
            SignerSource::File(path) => Ok(Arc::new(self.load_file("", path)?)),
            SignerSource::Environment(variable) => {
                let pem = std::env::var(variable).map_err(|error| {
                    unsigned(SignerError {
                        reason: format!("the environment variable {variable}: {error}"),
                    })
                })?;
                let place = Path::new(variable);
                Ok(Arc::new(self.decode_pem(
                    "",
                    place,
                    &Zeroizing::new(pem),
                )?))
            }
            SignerSource::Exec(line) => {
                let signer = HookSigner::open(line, HOOK_TIMEOUT).map_err(unsigned)?;
                Ok(Arc::new(signer))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart_by_what_stands_before_the_colon() {
        for (text, expected) in [
            ("file:a/b.pem", SignerSource::File("a/b.pem".into())),
            ("a/b.pem", SignerSource::File("a/b.pem".into())),
            (
                "C:\\keys\\b.pem",
                SignerSource::File("C:\\keys\\b.pem".into()),
            ),
            ("env:KEY", SignerSource::Environment("KEY".to_owned())),
            ("exec:hook a", SignerSource::Exec("hook a".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "file:", "env:", "env:A=B", "exec: "] {
            let refused: Result<SignerSource, _> = text.parse();
            assert!(refused.is_err(), "{text:?}");
        }
    }
}
