use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a pack: `tenant/name`, such as `acme/biology-101`.
///
/// Both parts are 1 to 64 of the characters `a-z 0-9 - _ .`, begin with a letter or a digit, do not
/// end in a dot, and are no name that Windows reserves: they are folder names on every platform.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackName {
    text: String,
    tenant_length: usize,
}

impl PackName {
    /// Returns the pack name that `text` spells.
    ///
    /// # Errors
    /// [`NameError`] when it is not two names with a slash between them.
    pub fn parse(text: &str) -> Result<PackName, NameError> {
        let refused = || NameError::new("pack", text, "tenant/name, each of a-z 0-9 - _ .");
        let (tenant, name) = text.split_once('/').ok_or_else(refused)?;
        if !is_plain_name(name) {
            return Err(refused());
        }
        if let Err(error) = TenantName::parse(tenant) {
            return Err(NameError::new("pack", text, error.expected));
        }
        Ok(PackName {
            text: text.to_owned(),
            tenant_length: tenant.len(),
        })
    }

    /// Returns the tenant: who publishes the pack.
    pub fn tenant(&self) -> &str {
        self.text.get(..self.tenant_length).unwrap_or_default()
    }

    /// Returns the tenant as a name of its own.
    pub fn tenant_name(&self) -> TenantName {
        TenantName(self.tenant().to_owned())
    }

    /// Returns the name of the pack within its tenant.
    pub fn name(&self) -> &str {
        self.text.get(self.tenant_length + 1..).unwrap_or_default()
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name of the role that signs the tenant's catalogues.
    pub fn content_role(&self) -> String {
        self.tenant().to_owned()
    }

    /// Returns the name of the role that signs the tenant's rollouts.
    pub fn operations_role(&self) -> String {
        format!("{}{OPERATIONS_SUFFIX}", self.tenant())
    }

    /// Returns the path of the pack's catalogue as a TUF target.
    pub fn catalogue_target(&self) -> String {
        format!("{}/catalogue", self.text)
    }

    /// Returns the path of the rollout of one of the pack's channels as a TUF target.
    pub fn rollout_target(&self, channel: &ChannelName) -> String {
        format!("{}/rollout/{channel}", self.text)
    }
}

const OPERATIONS_SUFFIX: &str = "-operations";
const APPROVAL_INFIX: &str = "-operations.";

/// Who publishes packs: the part of a [`PackName`] before the slash, and the name of the role that
/// signs the tenant's catalogues.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantName(String);

impl TenantName {
    /// Returns the tenant that `text` names.
    ///
    /// # Errors
    /// [`NameError`] for what is no plain name, and for those that roles of The Update Framework or
    /// of another tenant have.
    pub fn parse(text: &str) -> Result<TenantName, NameError> {
        let refused = |expected| Err(NameError::new("tenant", text, expected));
        // The roles of TUF have names of their own that no tenant may take.
        let is_role = matches!(text, "root" | "targets" | "snapshot" | "timestamp");
        if !is_plain_name(text) || is_role {
            return refused("a tenant of a-z 0-9 - _ . that is none of the four roles");
        }
        let ends_as_role = text.ends_with(OPERATIONS_SUFFIX);
        if ends_as_role || text.contains(APPROVAL_INFIX) {
            return refused("a tenant whose name has no part -operations");
        }
        Ok(TenantName(text.to_owned()))
    }

    /// Returns the tenant's roles, each with the pattern of the paths that it may sign: catalogues by
    /// the one, rollouts by the other.
    pub fn roles(&self) -> [(String, String); 2] {
        let tenant = &self.0;
        [
            (tenant.clone(), format!("{tenant}/*/catalogue")),
            (
                format!("{tenant}{OPERATIONS_SUFFIX}"),
                format!("{tenant}/*/rollout/*"),
            ),
        ]
    }

    /// Returns the role whose keys approve the rollouts of one of the tenant's channels, and the pattern
    /// of the paths that it may sign.
    pub fn approval_role(&self, channel: &ChannelName) -> (String, String) {
        let tenant = &self.0;
        (
            format!("{tenant}{APPROVAL_INFIX}{channel}"),
            format!("{tenant}/*/rollout/{channel}"),
        )
    }

    /// Returns the tenant and the channel whose rollouts `role` approves.
    pub fn of_approval_role(role: &str) -> Option<(TenantName, ChannelName)> {
        let (tenant, channel) = role.split_once(APPROVAL_INFIX)?;
        let tenant = TenantName::parse(tenant).ok()?;
        Some((tenant, ChannelName::parse(channel).ok()?))
    }

    /// Returns the tenant that `role` belongs to, and whether it is the role that signs rollouts.
    pub fn of_role(role: &str) -> Option<(TenantName, bool)> {
        let (name, is_operations) = match role.strip_suffix(OPERATIONS_SUFFIX) {
            Some(name) => (name, true),
            None => (role, false),
        };
        Some((TenantName::parse(name).ok()?, is_operations))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a line of releases of a pack, such as `stable` or `beta`; spelled like one part of a
/// [`PackName`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName(String);

impl ChannelName {
    /// Returns the channel name that `text` spells.
    ///
    /// # Errors
    /// [`NameError`] for anything else.
    pub fn parse(text: &str) -> Result<ChannelName, NameError> {
        if is_plain_name(text) {
            Ok(ChannelName(text.to_owned()))
        } else {
            Err(NameError::new("channel", text, "1 to 64 of a-z 0-9 - _ ."))
        }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ChannelName {
    /// Returns `stable`.
    fn default() -> ChannelName {
        ChannelName("stable".to_owned())
    }
}

/// What the people who publish call a release: `1.4.0`, `2026-autumn`.
///
/// 1 to 64 of the characters `A-Z a-z 0-9 - _ . +`, beginning with a letter or a digit. Labels have
/// no order; the sequence number of a release has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// Returns the label that `text` spells.
    ///
    /// # Errors
    /// [`NameError`] for anything else.
    pub fn parse(text: &str) -> Result<Label, NameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+');
        let starts_well = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        if starts_well && text.len() <= MAX_NAME_BYTES && text.bytes().all(allowed) {
            Ok(Label(text.to_owned()))
        } else {
            Err(NameError::new(
                "release label",
                text,
                "1 to 64 of A-Z a-z 0-9 - _ . +",
            ))
        }
    }

    /// Returns the label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that does not spell the name that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {kind}: expected {expected}")]
pub struct NameError {
    kind: &'static str,
    found: String,
    expected: &'static str,
}

impl NameError {
    pub(crate) fn new(kind: &'static str, found: &str, expected: &'static str) -> NameError {
        NameError {
            kind,
            found: found.chars().take(200).collect(),
            expected,
        }
    }
}

const MAX_NAME_BYTES: usize = 64;

/// A name that is also a folder name everywhere, whatever the case rules of the platform.
pub(crate) fn is_plain_name(text: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    text.len() <= MAX_NAME_BYTES
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(allowed)
        && diff_core::ContentPath::parse(text).is_ok()
}

macro_rules! spelled {
    ($type:ty, $field:tt) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.$field)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.$field)
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<$type, NameError> {
                <$type>::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<$type, NameError> {
                <$type>::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.$field
            }
        }
    };
}

spelled!(PackName, text);
spelled!(TenantName, 0);
spelled!(ChannelName, 0);
spelled!(Label, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_s_approval_role_is_told_from_every_tenant_s() {
        let tenant = TenantName::parse("acme").unwrap();
        let stable = ChannelName::default();
        let (role, paths) = tenant.approval_role(&stable);
        assert_eq!(role, "acme-operations.stable");
        assert_eq!(paths, "acme/*/rollout/stable");
        assert_eq!(TenantName::of_approval_role(&role), Some((tenant, stable)));
        for other in [
            "acme",
            "acme-operations",
            "acme-operations.",
            "-operations.x",
            "root",
        ] {
            assert_eq!(TenantName::of_approval_role(other), None, "{other}");
        }
        // No tenant has such a name, so that its content role is never taken for one.
        assert!(TenantName::parse(&role).is_err());
        assert_eq!(TenantName::of_role(&role), None);
    }

    #[test]
    fn pack_name_has_a_tenant_and_a_name() {
        let pack = PackName::parse("acme/biology-101").unwrap();
        assert_eq!((pack.tenant(), pack.name()), ("acme", "biology-101"));
        assert_eq!(pack.catalogue_target(), "acme/biology-101/catalogue");
        let target = pack.rollout_target(&ChannelName::default());
        assert_eq!(target, "acme/biology-101/rollout/stable");
        assert_eq!(pack.operations_role(), "acme-operations");
    }

    #[test]
    fn names_that_climb_or_pretend_are_refused() {
        for text in [
            "",
            "acme",
            "/x",
            "acme/",
            "acme/a/b",
            "../x",
            "acme/..",
            "acme/.x",
            "Acme/x",
            "a b/x",
            "acme/x.",
            "acme/aux",
            "nul/x",
            "root/x",
            "targets/x",
            "acme-operations/x",
            "acme/é",
        ] {
            assert!(
                PackName::parse(text).is_err(),
                "{text:?} was taken for a pack"
            );
        }
        assert!(PackName::parse(&format!("acme/{}", "x".repeat(65))).is_err());
    }

    #[test]
    fn tenants_roles_lead_back_to_it() {
        let tenant = TenantName::parse("acme").unwrap();
        let [(content, catalogues), (operations, rollouts)] = tenant.roles();
        assert_eq!(
            (catalogues.as_str(), rollouts.as_str()),
            ("acme/*/catalogue", "acme/*/rollout/*")
        );
        assert_eq!(TenantName::of_role(&content), Some((tenant.clone(), false)));
        assert_eq!(TenantName::of_role(&operations), Some((tenant, true)));
        for text in ["root", "timestamp", "a/b", "", "acme-operations"] {
            assert!(TenantName::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(TenantName::of_role("targets"), None);
    }

    #[test]
    fn labels_are_free_but_plain() {
        for text in ["1.4.0", "2026-autumn", "v2+build.7"] {
            assert!(Label::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", "-1", "a/b", "a b", "é", &"1".repeat(65)] {
            assert!(Label::parse(text).is_err(), "{text:?}");
        }
    }
}
