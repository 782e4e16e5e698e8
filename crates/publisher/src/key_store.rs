//! Private keys: where they lie, how they sign, and which of them a role needs.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use pkcs8::der::pem::PemLabel;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, SecretDocument};
use release_format::{Ed25519Signer, PublicKey, Signer, SignerError};
use zeroize::Zeroizing;

use crate::PublishError;
use crate::key_store::public_key_file::{read_public_key, write_public_key};
use crate::storage::folder::sync_folder;

pub(crate) mod hook;
pub(crate) mod public_key_file;
pub(crate) mod ring;
pub(crate) mod signer_source;

/// A folder of keys, and signers that are elsewhere.
///
/// A private key is a PKCS#8 PEM file, `root.pem`, `acme.pem`, readable by its owner alone, and
/// refused where others can read it. With a passphrase it is encrypted (scrypt and AES-256). Its
/// public half stands beside it, `root.pub`, by which a role's keys are found whatever their files
/// are called. `openssl pkey` reads all of them.
pub struct KeyStore {
    folder: PathBuf,
    passphrase: Option<Zeroizing<String>>,
    ask: Option<AskPassphrase>,
    signers: Vec<SharedSigner>,
}

/// A signer that several roles, and threads, may share.
pub type SharedSigner = Arc<dyn Signer + Send + Sync>;

/// Asks a person for the passphrase of the key file at a path.
pub type AskPassphrase = Arc<dyn Fn(&Path) -> io::Result<Zeroizing<String>> + Send + Sync>;

impl KeyStore {
    /// Returns the keys in `folder`, which is created with the first key.
    pub fn folder(folder: impl Into<PathBuf>) -> KeyStore {
        KeyStore {
            folder: folder.into(),
            passphrase: None,
            ask: None,
            signers: Vec::new(),
        }
    }

    /// Returns a store without a folder, for signers that are elsewhere.
    pub fn elsewhere() -> KeyStore {
        KeyStore::folder("")
    }

    /// Opens encrypted keys, and encrypts new ones, with `passphrase`.
    pub fn with_passphrase(mut self, passphrase: impl Into<String>) -> KeyStore {
        self.passphrase = Some(Zeroizing::new(passphrase.into()));
        self
    }

    /// Asks for the passphrase of each encrypted key where none was given.
    pub fn with_prompt(mut self, ask: AskPassphrase) -> KeyStore {
        self.ask = Some(ask);
        self
    }

    /// Signs with `signer` too, for every role that has its key.
    pub fn with_signer(mut self, signer: SharedSigner) -> KeyStore {
        self.signers.push(signer);
        self
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Returns where the key `name` lies, or would; the first one of a role has the role's name.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// Returns where the public half of the key `name` lies, or would.
    pub fn public_path_of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pub"))
    }

    /// Returns a name that no key in the folder has, for one more key of `role`: `root-2`.
    pub fn free_name(&self, role: &str) -> String {
        let numbered = (2_u32..).map(|number| format!("{role}-{number}"));
        let mut names = std::iter::once(role.to_owned()).chain(numbered);
        let is_free = |name: &String| !self.has(name) && !self.public_path_of(name).exists();
        names.find(is_free).unwrap_or_else(|| role.to_owned())
    }

    /// Returns the public keys in the folder by their names, in the order of these.
    ///
    /// # Errors
    /// [`PublishError::Io`] and [`PublishError::PublicKeyMalformed`].
    pub fn public_keys(&self) -> Result<Vec<(String, PublicKey)>, PublishError> {
        if self.folder.as_os_str().is_empty() {
            return Ok(Vec::new());
        }
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(PublishError::io("list", &self.folder, error)),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| PublishError::io("list", &self.folder, error))?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "pub")
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            {
                keys.push((name.to_owned(), read_public_key(&path)?));
            }
        }
        keys.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(keys)
    }

    /// Whether there is a key of `role`.
    pub fn has(&self, role: &str) -> bool {
        self.path_of(role).is_file()
    }

    /// Makes a new key for `role`, durably, and returns it.
    ///
    /// # Errors
    /// [`PublishError::KeyExists`] when there is one already: a key is never overwritten.
    pub fn generate(&self, role: &str) -> Result<RoleKey, PublishError> {
        let path = self.path_of(role);
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|error| {
            PublishError::io("make a key for", &path, io::Error::other(error.to_string()))
        })?;
        let key = SigningKey::from_bytes(&seed);
        let pem = self.encode(&key).map_err(|error| {
            PublishError::io("encode", &path, io::Error::other(error.to_string()))
        })?;
        match self.write(&path, pem.as_bytes()) {
            Ok(()) => {
                let key = RoleKey::new(role, path, key);
                write_public_key(&self.public_path_of(role), key.public_key())?;
                Ok(key)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(PublishError::KeyExists {
                    role: role.to_owned(),
                    path,
                })
            }
            Err(error) => Err(PublishError::io("write", &path, error)),
        }
    }

    /// Returns the key of `role`.
    ///
    /// # Errors
    /// [`PublishError::KeyMissing`], [`PublishError::KeyExposed`], [`PublishError::KeyLocked`],
    /// [`PublishError::WrongPassphrase`] or [`PublishError::KeyMalformed`].
    pub fn load(&self, role: &str) -> Result<RoleKey, PublishError> {
        self.load_file(role, &self.path_of(role))
    }

    pub(crate) fn load_file(&self, role: &str, path: &Path) -> Result<RoleKey, PublishError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(PublishError::KeyMissing {
                    role: role.to_owned(),
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(PublishError::io("open", path, error)),
        };
        refuse_exposed(path, &file)?;
        let pem = read_pem(&file).map_err(|error| PublishError::io("read", path, error))?;
        self.decode_pem(role, path, &pem)
    }

    /// Returns the key in `pem`, which came from `place`.
    pub(crate) fn decode_pem(
        &self,
        role: &str,
        place: &Path,
        pem: &str,
    ) -> Result<RoleKey, PublishError> {
        let key = self.decode(place, pem)?;
        Ok(RoleKey::new(role, place.to_owned(), key))
    }

    /// Returns the key of `role`, made anew where there is none, and whether it was.
    ///
    /// # Errors
    /// As [`KeyStore::generate`] and [`KeyStore::load`].
    pub fn load_or_generate(&self, role: &str) -> Result<(RoleKey, bool), PublishError> {
        match self.load(role) {
            Err(PublishError::KeyMissing { .. }) => self.generate(role).map(|key| (key, true)),
            loaded => loaded.map(|key| (key, false)),
        }
    }

    fn encode(&self, key: &SigningKey) -> Result<Zeroizing<String>, pkcs8::Error> {
        // The public half is left out: OpenSSL 3.0 reads no PKCS#8 file that has it.
        let pair = KeypairBytes {
            secret_key: key.to_bytes(),
            public_key: None,
        };
        match &self.passphrase {
            Some(passphrase) => pair.to_pkcs8_encrypted_pem(passphrase.as_bytes(), LineEnding::LF),
            None => pair.to_pkcs8_pem(LineEnding::LF),
        }
    }

    fn decode(&self, path: &Path, pem: &str) -> Result<SigningKey, PublishError> {
        let malformed = |error: pkcs8::Error| PublishError::KeyMalformed {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        if !pem.contains(ENCRYPTED_LABEL) {
            return SigningKey::from_pkcs8_pem(pem).map_err(malformed);
        }
        let passphrase = match (&self.passphrase, &self.ask) {
            (Some(passphrase), _) => passphrase.clone(),
            (None, Some(ask)) => ask(path)
                .map_err(|error| PublishError::io("ask for the passphrase of", path, error))?,
            (None, None) => {
                return Err(PublishError::KeyLocked {
                    path: path.to_owned(),
                });
            }
        };
        let encrypted = encrypted(pem).map_err(malformed)?;
        let opened =
            SigningKey::from_pkcs8_encrypted_der(encrypted.as_bytes(), passphrase.as_bytes());
        opened.map_err(|error| match error {
            // Of one wrong passphrase in 256, the noise that comes out looks padded.
            pkcs8::Error::EncryptedPrivateKey(_) | pkcs8::Error::Asn1(_) => {
                PublishError::WrongPassphrase {
                    path: path.to_owned(),
                }
            }
            other => malformed(other),
        })
    }

    fn write(&self, path: &Path, pem: &[u8]) -> io::Result<()> {
        let mut folder = fs::DirBuilder::new();
        let mut file = File::options();
        #[cfg(unix)]
        {
            use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
            folder.mode(0o700);
            file.mode(0o600);
        }
        folder.recursive(true).create(&self.folder)?;
        let mut file = file.create_new(true).write(true).open(path)?;
        file.write_all(pem)?;
        file.sync_all()?;
        sync_folder(&self.folder)
    }
}

/// Returns the encrypted key that a PEM file holds.
fn encrypted(pem: &str) -> Result<SecretDocument, pkcs8::Error> {
    let (label, document) = SecretDocument::from_pem(pem)?;
    EncryptedPrivateKeyInfoRef::validate_pem_label(label).map_err(pkcs8::der::Error::from)?;
    EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())?;
    Ok(document)
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore")
            .field("folder", &self.folder)
            .field("encrypted", &self.passphrase.is_some())
            .field("signers", &self.signers.len())
            .finish()
    }
}

/// The private key of one role; wiped from memory when it is dropped.
#[derive(Debug)]
pub struct RoleKey {
    role: String,
    path: PathBuf,
    signer: Ed25519Signer,
}

impl RoleKey {
    fn new(role: &str, path: PathBuf, key: SigningKey) -> RoleKey {
        RoleKey {
            role: role.to_owned(),
            path,
            signer: Ed25519Signer::new(key),
        }
    }

    /// Returns the role that the key signs for.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Returns where the key came from.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Signer for RoleKey {
    fn public_key(&self) -> &PublicKey {
        self.signer.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.signer.sign(message)
    }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, file: &File) -> Result<(), PublishError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file
        .metadata()
        .map_err(|error| PublishError::io("look at", path, error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(PublishError::KeyExposed {
        path: path.to_owned(),
        mode,
    })
}

#[cfg(not(unix))]
fn refuse_exposed(_path: &Path, _file: &File) -> Result<(), PublishError> {
    Ok(())
}

fn read_pem(file: &File) -> io::Result<Zeroizing<String>> {
    // Room for all that is read, so that no copy stays behind where the text grew.
    let mut pem = Zeroizing::new(String::with_capacity(MAX_PEM_BYTES));
    io::Read::read_to_string(&mut io::Read::take(file, MAX_PEM_BYTES as u64), &mut pem)?;
    Ok(pem)
}

const ENCRYPTED_LABEL: &str = "BEGIN ENCRYPTED PRIVATE KEY";
/// Many times what a key needs.
const MAX_PEM_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, KeyStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::folder(folder.path().join("keys"));
        (folder, store)
    }

    #[test]
    fn generated_key_is_loaded_again_and_never_overwritten() {
        let (_folder, store) = store();
        let (made, is_new) = store.load_or_generate("acme").unwrap();
        let (loaded, is_newer) = store.load_or_generate("acme").unwrap();
        assert_eq!((is_new, is_newer), (true, false));
        assert_eq!(made.public_key(), loaded.public_key());
        let again = store.generate("acme");
        assert!(matches!(again, Err(PublishError::KeyExists { .. })));
    }

    #[test]
    fn missing_key_is_named_with_role_and_file() {
        let (_folder, store) = store();
        match store.load("snapshot") {
            Err(PublishError::KeyMissing { role, path }) => {
                assert_eq!(role, "snapshot");
                assert_eq!(path, store.path_of("snapshot"));
            }
            other => panic!("expected a missing key, found {other:?}"),
        }
    }

    #[cfg(unix)]
    #[test]
    fn key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, store) = store();
        store.generate("root").unwrap();
        let path = store.path_of("root");
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = store.load("root");
        assert!(matches!(
            refused,
            Err(PublishError::KeyExposed { mode: 0o640, .. })
        ));
    }

    #[test]
    fn encrypted_key_opens_with_its_passphrase_alone() {
        let (folder, store) = store();
        let store = store.with_passphrase("correct horse");
        let made = store.generate("root").unwrap();
        let text = fs::read_to_string(store.path_of("root")).unwrap();
        assert!(text.contains(ENCRYPTED_LABEL));
        let loaded = store.load("root").unwrap();
        assert_eq!(made.public_key(), loaded.public_key());
        let other = || KeyStore::folder(folder.path().join("keys"));
        let locked = other().load("root");
        assert!(matches!(locked, Err(PublishError::KeyLocked { .. })));
        let wrong = other().with_passphrase("battery staple").load("root");
        assert!(matches!(wrong, Err(PublishError::WrongPassphrase { .. })));
    }

    #[test]
    fn every_wrong_passphrase_is_told_as_one() {
        let (_folder, store) = store();
        let key = SigningKey::from_bytes(&[7; 32]);
        let plain = KeypairBytes {
            secret_key: key.to_bytes(),
            public_key: None,
        };
        let plain = plain.to_pkcs8_der().unwrap();
        let plain = pkcs8::PrivateKeyInfoRef::try_from(plain.as_bytes()).unwrap();
        let quick =
            pkcs8::pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(1, &[1; 16], [2; 16]);
        let encrypted = plain.encrypt_with_params(quick.unwrap(), "correct horse");
        let pem = encrypted.unwrap();
        let label = EncryptedPrivateKeyInfoRef::PEM_LABEL;
        let pem = pem.to_pem(label, LineEnding::LF).unwrap();
        let mut store = store;
        let mut opened = |passphrase: &str| {
            store.passphrase = Some(passphrase.to_owned().into());
            store.decode(Path::new("root.pem"), &pem)
        };
        assert_eq!(opened("correct horse").unwrap(), key);
        for number in 0..2_000 {
            let wrong = opened(&format!("horse {number}"));
            let is_told = matches!(wrong, Err(PublishError::WrongPassphrase { .. }));
            assert!(is_told, "{number}: {wrong:?}");
        }
        let cut = &pem[..pem.len() / 2];
        assert!(matches!(
            store.decode(Path::new("root.pem"), cut),
            Err(PublishError::KeyMalformed { .. })
        ));
    }

    #[test]
    fn file_that_is_no_key_is_refused() {
        let (_folder, store) = store();
        store.write(&store.path_of("root"), b"lesson").unwrap();
        let refused = store.load("root");
        assert!(matches!(refused, Err(PublishError::KeyMalformed { .. })));
    }

    #[test]
    fn openssl_reads_plain_and_encrypted_keys() {
        let (_folder, store) = store();
        store.generate("plain").unwrap();
        let store = store.with_passphrase("correct horse");
        store.generate("encrypted").unwrap();
        for role in ["plain", "encrypted"] {
            let run = std::process::Command::new("openssl")
                .args([
                    "pkey",
                    "-noout",
                    "-text",
                    "-passin",
                    "pass:correct horse",
                    "-in",
                ])
                .arg(store.path_of(role))
                .output();
            let Ok(output) = run else {
                // Past the capture of the test runner, so that it is seen.
                let _ = writeln!(std::io::stderr(), "\nskipped: openssl is not installed");
                return;
            };
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(told.contains("ED25519"), "{role}: {output:?}");
        }
    }
}
