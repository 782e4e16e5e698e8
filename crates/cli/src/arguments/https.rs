use std::path::PathBuf;

use clap::Args;

/// How HTTPS is spoken with a repository of one's own.
///
/// Proxies are those of the environment: HTTP_PROXY, HTTPS_PROXY, NO_PROXY.
#[derive(Debug, Args)]
pub(crate) struct HttpsArguments {
    /// Certificates to accept as roots of HTTPS beside those of the system, in PEM
    #[arg(long, value_name = "FILE", env = "SATCHEL_TLS_ROOTS")]
    pub(crate) tls_roots: Option<PathBuf>,
    /// The certificate that this device shows to servers, and its private key, in PEM
    #[arg(long, value_name = "FILE", env = "SATCHEL_TLS_IDENTITY")]
    pub(crate) tls_identity: Option<PathBuf>,
    /// Speak HTTPS only with servers of this key: the SHA-256 digest of its SubjectPublicKeyInfo in
    /// DER, as 64 hex digits; can be repeated, or given with commas between
    #[arg(
        long,
        value_name = "SHA256",
        env = "SATCHEL_TLS_PIN",
        value_delimiter = ','
    )]
    pub(crate) tls_pin: Vec<KeyDigest>,
}

/// The digest of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyDigest(pub(crate) [u8; 32]);

impl std::str::FromStr for KeyDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<KeyDigest, String> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest)
            .map_err(|_| format!("expected 64 hex digits, found {} characters", text.len()))?;
        Ok(KeyDigest(digest))
    }
}
