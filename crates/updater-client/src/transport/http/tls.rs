use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::transport::{Https, TransportError};

/// Returns the settings of TLS: ring, the system's roots and those of `https`, and the time of `clock`.
///
/// Nothing is installed for the whole process, and the system's roots are read at the first
/// handshake: a machine without any can still use plain HTTP.
pub(super) fn settings(
    https: &Https,
    clock: Arc<dyn Clock>,
) -> Result<ClientConfig, TransportError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = LazyVerifier {
        provider: Arc::clone(&provider),
        roots: parse_roots(&https.roots)?,
        pinned_keys: https.pinned_keys.clone(),
        inner: OnceLock::new(),
    };
    let config = ClientConfig::builder_with_details(provider, Arc::new(TlsTime(clock)))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of the safe versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    if https.identity.is_empty() {
        return Ok(config.with_no_client_auth());
    }
    let (chain, key) = parse_identity(&https.identity)?;
    let wrong = |failed: rustls::Error| TransportError::Identity {
        reason: failed.to_string(),
    };
    config.with_client_auth_cert(chain, key).map_err(wrong)
}

/// Returns the certificates in `pem`.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|failed| failed.to_string())?;
    if all.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(all)
}

/// Returns the certificate in `pem`, those that vouch for it, and its private key.
fn parse_identity(
    pem: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TransportError> {
    let wrong = |reason: String| TransportError::Identity { reason };
    let chain = certificates(pem).map_err(wrong)?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|failed| wrong(failed.to_string()))?;
    Ok((chain, key))
}

/// Returns the certificates in `pem`, each of which can serve as a root; none of nothing.
fn parse_roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let wrong = |reason: String| TransportError::Roots { reason };
    if pem.is_empty() {
        return Ok(Vec::new());
    }
    let roots = certificates(pem).map_err(wrong)?;
    let mut store = RootCertStore::empty();
    for root in &roots {
        store
            .add(root.clone())
            .map_err(|failed| wrong(failed.to_string()))?;
    }
    Ok(roots)
}

/// Asks the system's verifier, which it makes at the first handshake.
struct LazyVerifier {
    provider: Arc<CryptoProvider>,
    roots: Vec<CertificateDer<'static>>,
    /// Digests of the keys that servers may have; any key where there are none.
    pinned_keys: Vec<[u8; 32]>,
    inner: OnceLock<Result<Verifier, rustls::Error>>,
}

impl LazyVerifier {
    fn inner(&self) -> Result<&Verifier, rustls::Error> {
        let made = self.inner.get_or_init(|| {
            let provider = Arc::clone(&self.provider);
            system_verifier(self.roots.clone(), provider)
        });
        // Said as a matter of certificates, so that it is told from a line that breaks.
        made.as_ref().map_err(|failed| refused(failed.clone()))
    }

    fn check_key(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if self.pinned_keys.is_empty() {
            return Ok(());
        }
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let found: [u8; 32] = Sha256::digest(key.as_ref()).into();
        if self.pinned_keys.contains(&found) {
            return Ok(());
        }
        Err(refused(WrongKey {
            found: hex::encode(found),
            pinned: self.pinned_keys.len(),
        }))
    }
}

/// The server's certificate is good, and of a key that nobody named.
#[derive(Debug, thiserror::Error)]
#[error("its key has the SHA-256 digest {found}, which is not among the {pinned} pinned")]
struct WrongKey {
    found: String,
    pinned: usize,
}

fn refused(reason: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    let reason = OtherError(Arc::new(reason));
    rustls::Error::InvalidCertificate(CertificateError::Other(reason))
}

#[cfg(not(target_os = "android"))]
fn system_verifier(
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, rustls::Error> {
    Verifier::new_with_extra_roots(roots, provider)
}

/// Android keeps its roots to itself: extra ones are the business of the app's network settings.
#[cfg(target_os = "android")]
fn system_verifier(
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, rustls::Error> {
    if !roots.is_empty() {
        let told = "extra roots are set in the app's network security configuration on Android";
        return Err(rustls::Error::General(told.to_owned()));
    }
    Verifier::new(provider)
}

impl ServerCertVerifier for LazyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner()?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        self.check_key(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl fmt::Debug for LazyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyVerifier")
            .field("extra_roots", &self.roots.len())
            .field("pinned_keys", &self.pinned_keys.len())
            .finish_non_exhaustive()
    }
}

/// The client's clock, for certificates: a device whose own is dead may know better.
struct TlsTime(Arc<dyn Clock>);

impl TimeProvider for TlsTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl fmt::Debug for TlsTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTime")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn what_is_no_certificate_is_no_root() {
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in ["", "no PEM at all", garbage] {
            let https = Https::new().extra_roots(pem.as_bytes());
            let refused = settings(&https, Arc::new(SystemClock)).unwrap_err();
            assert!(
                matches!(refused, TransportError::Roots { .. }),
                "{pem:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn what_is_no_certificate_with_its_key_is_no_identity() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in [
            "no PEM at all",
            key,
            certificate,
            &[certificate, key].concat(),
        ] {
            let https = Https::new().identity(pem.as_bytes());
            let refused = settings(&https, Arc::new(SystemClock)).unwrap_err();
            assert!(
                matches!(refused, TransportError::Identity { .. }),
                "{pem:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn settings_need_no_provider_of_the_process() {
        settings(&Https::new(), Arc::new(SystemClock)).unwrap();
        assert!(CryptoProvider::get_default().is_none());
    }
}
