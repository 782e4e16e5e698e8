/// Whether `location` is spelled as a repository's files are: whatever else lies in its folders is not
/// ours to remove.
pub(crate) fn is_of_repository(location: &str) -> bool {
    let parts: Vec<&str> = location.split('/').collect();
    match parts[..] {
        ["metadata", "patches", name] => is_patch(name),
        ["metadata", name] => versioned_role(name).is_some() || name == "timestamp.json",
        ["content", folder, digest] => is_digest(digest) && digest.get(..2) == Some(folder),
        ["targets", .., name] => {
            let digest = name.split_once('.').map(|(digest, _)| digest);
            digest.is_some_and(is_digest)
        }
        _ => false,
    }
}

/// Returns version and role of a file of metadata, such as `7.snapshot.json`.
pub(crate) fn versioned_role(name: &str) -> Option<(u64, &str)> {
    let (version, role) = name.strip_suffix(".json")?.split_once('.')?;
    Some((version.parse().ok()?, role))
}

/// Whether a file below `metadata/patches/` is named as patches are: by what it leads to, and by the
/// beginning of what it starts from.
fn is_patch(name: &str) -> bool {
    let (new, start) = name.split_once('.').unwrap_or((name, ""));
    is_digest(new) && start.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_digest(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == DIGITS && text.bytes().all(is_digit)
}

/// Of a digest in hexadecimal digits, be it BLAKE3 or SHA-256.
const DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use diff_core::Digest;

    use super::*;

    #[test]
    fn only_what_a_publisher_writes_is_of_the_repository() {
        let digest = Digest::of(b"some").to_string();
        let folder = &digest[..2];
        for ours in [
            "metadata/1.root.json".to_owned(),
            "metadata/12.acme-operations.json".to_owned(),
            "metadata/timestamp.json".to_owned(),
            format!("metadata/patches/{digest}"),
            format!("metadata/patches/{digest}.0123abcd"),
            format!("content/{folder}/{digest}"),
            format!("targets/acme/biology/{digest}.catalogue"),
            format!("targets/acme/biology/rollout/{digest}.stable"),
        ] {
            assert!(is_of_repository(&ours), "{ours}");
        }
        for foreign in [
            "index.html".to_owned(),
            "metadata/notes.json".to_owned(),
            "metadata/1.root.json.bak".to_owned(),
            "metadata/patches/readme".to_owned(),
            format!("metadata/patches/{digest}.bak"),
            "content/photos/holiday.jpg".to_owned(),
            format!("content/zz/{digest}"),
            "targets/readme.txt".to_owned(),
        ] {
            assert!(!is_of_repository(&foreign), "{foreign}");
        }
    }

    #[test]
    fn versions_and_roles_are_read_from_names() {
        assert_eq!(versioned_role("7.snapshot.json"), Some((7, "snapshot")));
        assert_eq!(versioned_role("1.a.b.json"), Some((1, "a.b")));
        assert_eq!(versioned_role("timestamp.json"), None);
    }
}
