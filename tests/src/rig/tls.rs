use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use sha2::{Digest, Sha256};

/// A server for 127.0.0.1 whose certificates are good from 2020 to 2030, and who signed them.
pub struct Authority {
    address: SocketAddr,
    /// The authority's own certificate, in PEM.
    pub root: String,
    issuer: Issuer<'static, KeyPair>,
    /// The SHA-256 digest of the server's public key.
    pub key_digest: [u8; 32],
}

/// Whom a server lets in.
#[derive(Debug, Clone, Copy)]
pub enum Clients {
    /// Whoever comes.
    All,
    /// Those whom the authority vouches for.
    Known,
}

impl Authority {
    /// Starts a server that answers every request with `{}`, until the process ends.
    pub fn start() -> Authority {
        Authority::answering(Clients::All, |_request| {
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()
        })
    }

    /// Starts a server that passes on what it is asked to the one at `server`, which has no TLS.
    pub fn before(server: SocketAddr, clients: Clients) -> Authority {
        Authority::answering(clients, move |request| passed_on(request, server))
    }

    fn answering(
        clients: Clients,
        answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = dated(Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let key_digest = Sha256::digest(key.subject_public_key_info()).into();
        let leaf = dated(vec!["127.0.0.1".to_owned()]);
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match clients {
            Clients::All => config.with_no_client_auth(),
            Clients::Known => {
                let mut roots = RootCertStore::empty();
                roots.add(root.der().clone()).unwrap();
                let known = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                config.with_client_cert_verifier(known.build().unwrap())
            }
        };
        let config = config
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, &Arc::new(config), answer));
        Authority {
            address,
            root: root.pem(),
            issuer,
            key_digest,
        }
    }

    /// Returns a device's certificate that the authority vouches for and its key, in PEM.
    pub fn identity(&self) -> String {
        let key = KeyPair::generate().unwrap();
        let device = dated(vec!["device".to_owned()]);
        let device = device.signed_by(&key, &self.issuer).unwrap();
        device.pem() + &key.serialize_pem()
    }

    /// Returns the server's address.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

fn dated(names: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params
}

/// Answers one request of each connection, until the process ends.
fn serve(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    for stream in listener.incoming() {
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream.unwrap());
        let answer = Arc::clone(&answer);
        thread::spawn(move || {
            let mut request = vec![0; 4096];
            // A client that refuses the certificate, or is refused, has left.
            if let Ok(length) = stream.read(&mut request) {
                let _ = stream.write_all(&answer(&request[..length]));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
    }
}

/// Passes a request on to a server without TLS, and returns all of its answer.
fn passed_on(request: &[u8], to: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(request).unwrap();
    // It answers what has come, and then sees that nothing more will.
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}
