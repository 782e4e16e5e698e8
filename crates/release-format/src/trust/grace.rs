use crate::UtcTime;

/// For how long a tenant lets devices go on with what online keys have signed after it has expired:
/// the timestamp, the snapshot, and the tenant's own operations role and those that approve its rollouts.
///
/// What offline keys have signed, the root, the targets and the tenant's own role, is covered by
/// nothing: it is what the grace is signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineGrace {
    /// `None` while it is not known yet who grants it.
    tenant: Option<String>,
    days: u32,
}

impl OfflineGrace {
    /// Returns a grace of `days` days of a tenant who is not known yet: to look with for the one who
    /// grants it.
    pub fn of_anybody(days: u32) -> OfflineGrace {
        OfflineGrace { tenant: None, days }
    }

    pub(crate) fn of_tenant(tenant: &str, days: u32) -> OfflineGrace {
        OfflineGrace {
            tenant: Some(tenant.to_owned()),
            days,
        }
    }

    pub(crate) fn covers(&self, role: &str) -> bool {
        // Whoever approves the rollouts of one channel stands in for operations there.
        let approves = || Some(role.split_once("-operations.")?.0);
        let tenant = role.strip_suffix("-operations").or_else(approves);
        matches!(role, "timestamp" | "snapshot")
            || (tenant.is_some() && tenant == self.tenant.as_deref())
    }

    /// Returns until when what expires at `expires` is taken.
    pub(crate) fn extend(&self, role: &str, expires: UtcTime) -> UtcTime {
        if self.covers(role) {
            expires.plus_days(self.days)
        } else {
            expires
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_online_keys_sign_is_covered() {
        let grace = OfflineGrace::of_tenant("acme", 30);
        for (role, expected) in [
            ("timestamp", true),
            ("snapshot", true),
            ("acme-operations", true),
            ("acme-operations.stable", true),
            ("other-operations.stable", false),
            ("acme", false),
            ("other-operations", false),
            ("-operations", false),
            ("targets", false),
            ("root", false),
        ] {
            assert_eq!(grace.covers(role), expected, "{role}");
            let anybody = OfflineGrace::of_anybody(30).covers(role);
            assert_eq!(anybody, matches!(role, "timestamp" | "snapshot"), "{role}");
        }
    }
}
