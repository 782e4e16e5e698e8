use diff_core::ContentPath;

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

impl MetadataRequest {
    /// Returns the name under which a client stores the file once it is trusted, the one of
    /// [`TrustedSet::files`](crate::TrustedSet::files).
    pub fn file_name(&self) -> String {
        file_name(&self.role)
    }
}

/// Returns the name of a role's file in a repository, as every client of the specification asks for
/// it: what is not unreserved in an address is percent-encoded, so that no name leads elsewhere.
pub(crate) fn quoted(role: &str) -> String {
    encode(role, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
    })
}

/// Returns the name under which a client stores the file of a role.
///
/// Other than in a repository, capitals are encoded too, and the names that Windows reserves: a role
/// named `Root` must not overwrite `root.json` on a disk that does not tell them apart.
pub(crate) fn file_name(role: &str) -> String {
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'-' | b'_' | b'.' | b'~')
    };
    let name = encode(role, is_plain) + ".json";
    match name.as_bytes().first() {
        Some(first) if ContentPath::parse(&name).is_err() => {
            format!("%{first:02X}{}", name.get(1..).unwrap_or_default())
        }
        _ => name,
    }
}

fn encode(role: &str, is_plain: impl Fn(u8) -> bool) -> String {
    let mut name = String::with_capacity(role.len() + ".json".len());
    for byte in role.bytes() {
        if is_plain(byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

/// With a version before it, such a name still is a file's on every file system.
pub(crate) const MAX_FILE_NAME_BYTES: usize = 235;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_name_files_as_other_clients_ask_for_them() {
        for (role, name) in [
            ("acme-operations", "acme-operations"),
            ("A.b_c~1", "A.b_c~1"),
            ("?", "%3F"),
            ("#", "%23"),
            ("/delegatedrole", "%2Fdelegatedrole"),
            ("../delegatedrole", "..%2Fdelegatedrole"),
            ("é%", "%C3%A9%25"),
        ] {
            assert_eq!(quoted(role), name, "{role}");
        }
    }

    #[test]
    fn stored_names_stay_apart_on_every_disk() {
        for (role, name) in [
            ("root", "root.json"),
            ("acme.org-operations", "acme.org-operations.json"),
            ("Root", "%52oot.json"),
            ("ROOT", "%52%4F%4F%54.json"),
            ("%52oot", "%2552oot.json"),
            ("../root", "..%2Froot.json"),
            ("a\\b", "a%5Cb.json"),
            ("con", "%63on.json"),
            ("nul.x", "%6Eul.x.json"),
            ("é", "%C3%A9.json"),
        ] {
            assert_eq!(file_name(role), name, "{role}");
        }
    }
}
