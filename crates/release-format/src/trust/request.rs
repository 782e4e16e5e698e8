/// A file of metadata that the workflow needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataRequest {
    /// The role.
    pub role: String,
    /// The role that names its keys.
    pub delegator: String,
    /// The version that is needed.
    pub version: u64,
    /// Where the repository keeps it.
    pub location: String,
    /// The most bytes that it may have.
    pub limit: u64,
}

/// Returns the name under which the file of a role is stored: nothing in it can lead elsewhere.
pub(crate) fn file_name(role: &str) -> String {
    let mut name = String::with_capacity(role.len() + 5);
    for byte in role.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name + ".json"
}

/// With a version before it, such a name still is a file's on every file system.
pub(crate) const MAX_FILE_NAME_BYTES: usize = 235;
