use diff_core::{ContentPath, Digest};

/// What a neighbour asks for: a place in the layout of a repository, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `metadata/timestamp.json`, the one file whose name never changes.
    Timestamp,
    /// `metadata/<version>.root.json`.
    Root(u64),
    /// `metadata/<version>.<role>.json`.
    Role {
        /// The version in the name.
        version: u64,
        /// The role, as the name spells it.
        role: String,
    },
    /// A catalogue or a rollout below `targets/`, by the SHA-256 digest in its name.
    Target(String),
    /// `content/<2 digits>/<digest>`.
    Content(Digest),
}

impl Asked {
    /// Returns what lies at `location`; `None` for what no repository has.
    pub(crate) fn parse(location: &str) -> Option<Asked> {
        if location.len() > MAX_LOCATION_BYTES {
            return None;
        }
        let path = ContentPath::parse(location).ok()?;
        let components: Vec<&str> = path.components().collect();
        match components.as_slice() {
            ["metadata", "timestamp.json"] => Some(Asked::Timestamp),
            ["metadata", name] => metadata(name),
            ["targets", _, _, name] | ["targets", _, _, "rollout", name] => target(name),
            ["content", folder, digest] if digest.get(..2) == Some(*folder) => {
                digest.parse().ok().map(Asked::Content)
            }
            _ => None,
        }
    }
}

fn metadata(name: &str) -> Option<Asked> {
    let (digits, role) = name.strip_suffix(".json")?.split_once('.')?;
    let version: u64 = digits.parse().ok()?;
    // One name a file: neither 07 nor +7.
    if version.to_string() != digits || version == 0 {
        return None;
    }
    match role {
        "" => None,
        "root" => Some(Asked::Root(version)),
        role => Some(Asked::Role {
            version,
            role: role.to_owned(),
        }),
    }
}

fn target(name: &str) -> Option<Asked> {
    let (digest, kind) = name.split_once('.')?;
    let digest: Digest = digest.parse().ok()?;
    (!kind.is_empty()).then(|| Asked::Target(digest.to_string()))
}

/// Returns the path by which a role vouches for the catalogue or rollout at `location`.
pub(crate) fn target_path(location: &str) -> Option<String> {
    let (folder, name) = location.strip_prefix("targets/")?.rsplit_once('/')?;
    let (_, kind) = name.split_once('.')?;
    Some(format!("{folder}/{kind}"))
}

/// Longer than any location that a publisher makes.
const MAX_LOCATION_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_lies_beside_its_path_under_its_digest() {
        for (location, expected) in [
            ("targets/acme/x/ab.catalogue", Some("acme/x/catalogue")),
            ("targets/acme/x/rollout/ab.a.b", Some("acme/x/rollout/a.b")),
            ("targets/ab.catalogue", None),
            ("targets/acme/x/ab", None),
            ("content/ab/ab.c", None),
        ] {
            assert_eq!(target_path(location).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn a_repository_has_these_places_and_no_others() {
        let digest = Digest::of(b"lesson").to_string();
        let role = |version, role: &str| Asked::Role {
            version,
            role: role.to_owned(),
        };
        for (location, expected) in [
            ("metadata/timestamp.json".to_owned(), Asked::Timestamp),
            ("metadata/12.root.json".to_owned(), Asked::Root(12)),
            ("metadata/3.snapshot.json".to_owned(), role(3, "snapshot")),
            ("metadata/3.acme.org.json".to_owned(), role(3, "acme.org")),
            (
                format!("targets/acme/biology/{digest}.catalogue"),
                Asked::Target(digest.clone()),
            ),
            (
                format!("targets/acme/biology/rollout/{digest}.stable"),
                Asked::Target(digest.clone()),
            ),
            (
                format!("content/{}/{digest}", &digest[..2]),
                Asked::Content(Digest::of(b"lesson")),
            ),
        ] {
            assert_eq!(Asked::parse(&location), Some(expected), "{location}");
        }
        for location in [
            String::new(),
            "library.json".to_owned(),
            "metadata".to_owned(),
            "metadata/".to_owned(),
            "metadata/root.json".to_owned(),
            "metadata/0.root.json".to_owned(),
            "metadata/01.root.json".to_owned(),
            "metadata/+1.root.json".to_owned(),
            "metadata/1..json".to_owned(),
            "metadata/../library.json".to_owned(),
            "metadata/1.root.json/..".to_owned(),
            "/metadata/timestamp.json".to_owned(),
            "metadata//timestamp.json".to_owned(),
            "metadata\\timestamp.json".to_owned(),
            "trust/timestamp.json".to_owned(),
            "packs/acme/biology/state".to_owned(),
            format!("content/00/{digest}"),
            format!("content/{}/{}", &digest[..2], digest.to_uppercase()),
            format!("content/{}/{digest}.partial", &digest[..2]),
            format!("targets/{digest}.catalogue"),
            format!("targets/acme/biology/{digest}."),
            format!("targets/acme/biology/{digest}"),
            format!("targets/acme/biology/more/{digest}.stable"),
            format!("metadata/1.{}.json", "x".repeat(600)),
        ] {
            assert_eq!(Asked::parse(&location), None, "{location}");
        }
    }
}
