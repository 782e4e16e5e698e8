use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use diff_core::{ContentPath, FileBytes};
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path as ObjectPath;
use object_store::{
    Attribute, Attributes, ClientOptions, Error, MultipartUpload, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, UpdateVersion,
};
use rustls_platform_verifier::BuilderVerifierExt;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::PublishError;
use crate::storage::{Source, Storage, StorageLock};

/// A repository in a bucket of an S3-compatible service: `s3://bucket/prefix`.
///
/// There is no lock that could outlive its holder. Every name but `metadata/timestamp.json` is given
/// once: a second publisher that wants to give it to other bytes is told so. The timestamp is replaced
/// only where it is still the one that the publisher began with. So of two publishers at once the one
/// that comes last publishes nothing, and begins again from what the first one published.
pub struct BucketStorage {
    store: AmazonS3,
    runtime: Runtime,
    prefix: ObjectPath,
    address: String,
    /// The timestamp that this publisher began with; none where there was none.
    begun: Arc<Mutex<Option<UpdateVersion>>>,
    scratch: Arc<Mutex<Option<TempDir>>>,
}

impl BucketStorage {
    /// Whether an address is one of a bucket.
    pub fn is_address(address: &str) -> bool {
        address.starts_with(SCHEME)
    }

    /// Returns the storage at an address, with the usual variables of the environment: `AWS_REGION`,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_ENDPOINT_URL` and so on.
    ///
    /// # Errors
    /// [`PublishError::Storage`] for an address or a setting that makes no sense.
    pub fn from_env(address: &str) -> Result<BucketStorage, PublishError> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        BucketStorage::from_variables(address, variables)
    }

    /// Returns the storage at an address, with settings named as in the environment.
    ///
    /// Plain HTTP is spoken with an endpoint that is given so, and with no other.
    ///
    /// # Errors
    /// As [`BucketStorage::from_env`].
    pub fn from_variables(
        address: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<BucketStorage, PublishError> {
        let refused = |told: String| {
            let source = io::Error::new(io::ErrorKind::InvalidInput, told);
            failed("open", address, source)
        };
        let name = address.strip_prefix(SCHEME).unwrap_or_default();
        let name = name.trim_end_matches('/');
        let (bucket, prefix) = name.split_once('/').unwrap_or((name, ""));
        if bucket.is_empty() {
            return Err(refused("expected s3://bucket/prefix".to_owned()));
        }
        let prefix = ObjectPath::parse(prefix).map_err(|error| refused(error.to_string()))?;
        let mut builder = AmazonS3Builder::new();
        let mut is_plain = false;
        for (name, value) in variables {
            let key = AmazonS3ConfigKey::from_str(&name.to_ascii_lowercase());
            let Some(key) = key.ok().filter(|_| name.starts_with("AWS_")) else {
                continue;
            };
            is_plain |= key == AmazonS3ConfigKey::Endpoint && value.starts_with("http://");
            builder = builder.with_config(key, value);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|source| failed("open", address, source))?;
        let store = builder
            .with_bucket_name(bucket)
            .with_allow_http(is_plain)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_http_connector(Connector { is_plain })
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(BucketStorage {
            store,
            runtime,
            prefix,
            address: address.to_owned(),
            begun: Arc::default(),
            scratch: Arc::default(),
        })
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn place(&self, location: &str) -> Result<ObjectPath, PublishError> {
        let path = ContentPath::parse(location).map_err(|error| {
            let refused = io::Error::new(io::ErrorKind::InvalidInput, error);
            failed("name", location, refused)
        })?;
        let mut place = self.prefix.clone();
        for component in path.components() {
            place = place.join(component);
        }
        Ok(place)
    }

    /// Gives a name to bytes, once.
    fn create(&self, location: &str, bytes: Vec<u8>) -> Result<(), PublishError> {
        if self.create_if_absent(location, bytes.clone())? {
            return Ok(());
        }
        // The answer to a first attempt may have been lost, and this was the second.
        match self.get(location)? {
            Some(there) if *there == *bytes => Ok(()),
            _ => Err(self.overtaken()),
        }
    }

    /// Gives a name to bytes unless it is taken, and returns whether it did.
    fn create_if_absent(&self, location: &str, bytes: Vec<u8>) -> Result<bool, PublishError> {
        let place = self.place(location)?;
        let options = PutOptions {
            mode: PutMode::Create,
            attributes: attributes(location),
            ..PutOptions::default()
        };
        let payload = PutPayload::from(bytes);
        match self.run(self.store.put_opts(&place, payload, options)) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(refused("write", location, error)),
        }
    }

    /// Replaces the timestamp, if it is still the one that this publisher began with.
    fn commit(&self, location: &str, bytes: Vec<u8>) -> Result<(), PublishError> {
        let place = self.place(location)?;
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let options = PutOptions {
            mode: match begun.clone() {
                Some(version) => PutMode::Update(version),
                None => PutMode::Create,
            },
            attributes: attributes(location),
            ..PutOptions::default()
        };
        let payload = PutPayload::from(bytes.clone());
        match self.run(self.store.put_opts(&place, payload, options)) {
            Ok(put) => {
                *begun = Some(UpdateVersion::from(put));
                Ok(())
            }
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                // As above: it may be ours.
                let there = self.get(location)?;
                if there.is_none_or(|there| *there != *bytes) {
                    return Err(self.overtaken());
                }
                *begun = self.version(location)?;
                Ok(())
            }
            Err(error) => Err(refused("write", location, error)),
        }
    }

    fn version(&self, location: &str) -> Result<Option<UpdateVersion>, PublishError> {
        let place = self.place(location)?;
        match self.run(self.store.head(&place)) {
            Ok(found) => Ok(Some(UpdateVersion {
                e_tag: found.e_tag,
                version: found.version,
            })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(refused("look at", location, error)),
        }
    }

    /// Sends a long file in parts; it stands there once all of them have arrived.
    fn upload(&self, location: &str, source: Source<'_>) -> Result<(), PublishError> {
        let place = self.place(location)?;
        let options = PutMultipartOptions {
            attributes: attributes(location),
            ..PutMultipartOptions::default()
        };
        let begun = self.run(self.store.put_multipart_opts(&place, options));
        let mut upload = begun.map_err(|error| refused("write", location, error))?;
        let sent = self.send(location, &mut *upload, source).and_then(|()| {
            let done = self.run(upload.complete());
            done.map_err(|error| refused("write", location, error))
        });
        if sent.is_err() {
            // What stays costs the bucket's owner room until its own rules remove it; the failure
            // that is told came first.
            let _ = self.run(upload.abort());
        }
        sent.map(|_| ())
    }

    fn send(
        &self,
        location: &str,
        upload: &mut dyn MultipartUpload,
        source: Source<'_>,
    ) -> Result<(), PublishError> {
        let mut reader: Box<dyn Read + '_> = match source {
            Source::Bytes(bytes) => Box::new(bytes),
            Source::Scratch(path) => {
                let file =
                    File::open(path).map_err(|error| PublishError::io("read", path, error))?;
                Box::new(file)
            }
        };
        loop {
            let mut part = Vec::new();
            let read = reader.by_ref().take(PART_BYTES).read_to_end(&mut part);
            read.map_err(|source| failed("read", location, source))?;
            if part.is_empty() {
                return Ok(());
            }
            let sent = self.run(upload.put_part(PutPayload::from(part)));
            sent.map_err(|error| refused("write", location, error))?;
        }
    }

    fn overtaken(&self) -> PublishError {
        PublishError::Busy {
            repository: self.address.clone(),
        }
    }
}

impl Storage for BucketStorage {
    fn put(&self, location: &str, source: Source<'_>) -> Result<(), PublishError> {
        let bytes = source.read()?;
        if location == TIMESTAMP {
            self.commit(location, bytes)
        } else {
            self.create(location, bytes)
        }
    }

    fn put_if_absent(&self, location: &str, source: Source<'_>) -> Result<bool, PublishError> {
        let length = match source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Scratch(path) => std::fs::metadata(path)
                .map_err(|error| PublishError::io("read", path, error))?
                .len(),
        };
        if length <= UNASKED_BYTES {
            // Sooner sent than asked for.
            return self.create_if_absent(location, source.read()?);
        }
        if self.length(location)?.is_some() {
            return Ok(false);
        }
        if length > PART_BYTES {
            // Named by its digest: whoever else puts it puts the same.
            self.upload(location, source)?;
        } else {
            self.put(location, source)?;
        }
        Ok(true)
    }

    /// Does nothing: what a bucket has taken is durable.
    fn sync(&self) -> Result<(), PublishError> {
        Ok(())
    }

    fn get(&self, location: &str) -> Result<Option<FileBytes>, PublishError> {
        let place = self.place(location)?;
        let got = self.run(async { self.store.get(&place).await?.bytes().await });
        match got {
            Ok(bytes) => Ok(Some(FileBytes::Owned(bytes.to_vec()))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(refused("read", location, error)),
        }
    }

    fn get_parts(
        &self,
        location: &str,
        parts: &[Range<u64>],
    ) -> Result<Option<Vec<Vec<u8>>>, PublishError> {
        let place = self.place(location)?;
        match self.run(self.store.get_ranges(&place, parts)) {
            Ok(got) => Ok(Some(got.iter().map(|part| part.to_vec()).collect())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(refused("read", location, error)),
        }
    }

    fn length(&self, location: &str) -> Result<Option<u64>, PublishError> {
        let place = self.place(location)?;
        match self.run(self.store.head(&place)) {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(refused("look at", location, error)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, PublishError> {
        let mut folder = self.prefix.clone();
        let inside = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        for component in inside.split('/').filter(|component| !component.is_empty()) {
            folder = folder.join(component);
        }
        let found = self.run(self.store.list(Some(&folder)).try_collect::<Vec<_>>());
        let found = found.map_err(|error| refused("list", prefix, error))?;
        let mut locations = Vec::new();
        for object in found {
            let parts = object.location.prefix_match(&self.prefix);
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
            let location = parts.join("/");
            if location.starts_with(prefix) {
                locations.push(location);
            }
        }
        locations.sort();
        Ok(locations)
    }

    /// Refuses: a publisher that is at work may count on what another one would remove.
    fn expect_removal(&self) -> Result<(), PublishError> {
        let told = "files of a bucket are not removed while others may publish to it";
        let source = io::Error::new(io::ErrorKind::Unsupported, told);
        Err(failed("remove", "anything", source))
    }

    fn remove(&self, _: &str) -> Result<bool, PublishError> {
        self.expect_removal().map(|()| false)
    }

    fn lock(&self) -> Result<StorageLock, PublishError> {
        let begun = self.version(TIMESTAMP)?;
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = begun;
        Ok(StorageLock::holding(Begun {
            scratch: Arc::clone(&self.scratch),
        }))
    }

    fn scratch(&self) -> Result<PathBuf, PublishError> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match &*scratch {
            Some(folder) => folder,
            None => {
                let made = TempDir::new();
                let made =
                    made.map_err(|error| PublishError::io("create", &std::env::temp_dir(), error))?;
                scratch.insert(made)
            }
        };
        Ok(folder.path().to_owned())
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

/// Clears the scratch folder.
struct Begun {
    scratch: Arc<Mutex<Option<TempDir>>>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.scratch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

/// Makes the HTTP client: TLS by ring and the system's roots, with nothing installed for the whole
/// process.
#[derive(Debug)]
struct Connector {
    is_plain: bool,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let generic = |source| Error::Generic {
            store: "S3",
            source,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| generic(Box::new(error)))?;
        let config = if self.is_plain {
            // A machine without roots can use plain HTTP all the same.
            versions.with_root_certificates(rustls::RootCertStore::empty())
        } else {
            let verified = versions.with_platform_verifier();
            verified.map_err(|error| generic(Box::new(error)))?
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config.with_no_client_auth())
            .https_only(!self.is_plain)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|error| generic(Box::new(error)))?;
        Ok(HttpClient::new(client))
    }
}

/// What caches and browsers are told of a file.
fn attributes(location: &str) -> Attributes {
    let kind = match location.split('/').next() {
        Some("content") => "application/octet-stream",
        _ if location.starts_with("metadata/patches/") => "application/octet-stream",
        _ => "application/json",
    };
    let caching = match location {
        TIMESTAMP => "public, max-age=60",
        _ => "public, max-age=31536000, immutable",
    };
    Attributes::from_iter([
        (Attribute::ContentType, kind),
        (Attribute::CacheControl, caching),
    ])
}

fn refused(operation: &'static str, location: &str, error: Error) -> PublishError {
    let kind = match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        _ => io::ErrorKind::Other,
    };
    failed(operation, location, io::Error::new(kind, error))
}

fn failed(operation: &'static str, location: &str, source: io::Error) -> PublishError {
    PublishError::Storage {
        operation,
        location: location.to_owned(),
        source,
    }
}

const SCHEME: &str = "s3://";
const TIMESTAMP: &str = "metadata/timestamp.json";
/// Up to this length, a file that may be there is sent without a look whether it is.
const UNASKED_BYTES: u64 = 64 << 10;
/// What is longer is sent in parts, each of this length.
const PART_BYTES: u64 = 16 << 20;
const CONNECT: std::time::Duration = std::time::Duration::from_secs(20);
/// A line that is silent for this long is given up, and tried again.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(60);
