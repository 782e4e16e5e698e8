use std::fmt;

/// How HTTPS is spoken with a repository of one's own: whom to believe, and who the device is.
///
/// It adds to what the system has; a proxy is taken from the environment. None of it decides what is
/// installed: that is the signed metadata's business, over plain HTTP too.
///
/// ```
/// use updater_client::Https;
/// # let (authority, identity) = (b"", b"");
/// let https = Https::new().extra_roots(authority).identity(identity);
/// ```
#[derive(Clone, Default)]
pub struct Https {
    pub(crate) roots: Vec<u8>,
    pub(crate) identity: Vec<u8>,
    pub(crate) pinned_keys: Vec<[u8; 32]>,
}

impl Https {
    /// Returns the settings of a device that believes in the system's roots and names itself to nobody.
    pub fn new() -> Https {
        Https::default()
    }

    /// Accepts the certificates in `pem` as roots beside those of the system; can be repeated.
    pub fn extra_roots(mut self, pem: &[u8]) -> Https {
        self.roots.extend_from_slice(pem);
        self.roots.push(b'\n');
        self
    }

    /// Shows the certificate in `pem`, whose private key stands in it too, to servers that ask who the
    /// device is.
    pub fn identity(mut self, pem: &[u8]) -> Https {
        self.identity = pem.to_vec();
        self
    }

    /// Speaks only with servers whose certificate is of a key with this SHA-256 digest, which is that of
    /// its `SubjectPublicKeyInfo` in DER; can be repeated, for the key that comes next.
    ///
    /// The certificate has to be good all the same.
    pub fn pinned_key(mut self, sha256: [u8; 32]) -> Https {
        self.pinned_keys.push(sha256);
        self
    }
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Https")
            .field("root_bytes", &self.roots.len())
            .field("has_identity", &!self.identity.is_empty())
            .field("pinned_keys", &self.pinned_keys.len())
            .finish()
    }
}
