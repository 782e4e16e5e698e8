use release_format::{Catalogue, CatalogueRelease, Label, PackName};

use crate::PublishError;

/// Which earlier releases a new one brings deltas from, beside the one from nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeltaFrom {
    /// The newest so many.
    Last(usize),
    /// All of them.
    All,
    /// Those with these labels.
    Labels(Vec<Label>),
    /// Whatever one of these means, such as the newest few and baselines that many devices stay on.
    Several(Vec<DeltaFrom>),
}

impl Default for DeltaFrom {
    /// Returns the last four.
    fn default() -> DeltaFrom {
        DeltaFrom::Last(4)
    }
}

impl DeltaFrom {
    /// Returns the releases of `catalogue` that are meant, the newest first.
    ///
    /// Withdrawn ones count: the devices that have them want to leave them.
    pub(crate) fn choose<'a>(
        &self,
        pack: &PackName,
        catalogue: Option<&'a Catalogue>,
    ) -> Result<Vec<&'a CatalogueRelease>, PublishError> {
        let releases = catalogue.map_or(&[][..], |catalogue| &catalogue.releases);
        let newest_first = releases.iter().rev();
        match self {
            DeltaFrom::Last(count) => Ok(newest_first.take(*count).collect()),
            DeltaFrom::All => Ok(newest_first.collect()),
            DeltaFrom::Labels(labels) => {
                let unknown = |label: &&Label| releases.iter().all(|r| r.label != **label);
                if let Some(label) = labels.iter().find(unknown) {
                    return Err(PublishError::UnknownLabel {
                        pack: pack.clone(),
                        label: label.clone(),
                    });
                }
                Ok(newest_first
                    .filter(|release| labels.contains(&release.label))
                    .collect())
            }
            DeltaFrom::Several(all) => {
                let mut chosen = Vec::new();
                for one in all {
                    chosen.extend(one.choose(pack, catalogue)?);
                }
                let is_chosen = |release: &&CatalogueRelease| {
                    let mut sequences = chosen.iter().map(|chosen| chosen.sequence);
                    sequences.any(|sequence| sequence == release.sequence)
                };
                Ok(newest_first.filter(is_chosen).collect())
            }
        }
    }
}

impl DeltaFrom {
    /// Whether a release is meant by its label: one that many devices stay on.
    pub(crate) fn names(&self, label: &Label) -> bool {
        match self {
            DeltaFrom::Labels(labels) => labels.contains(label),
            DeltaFrom::Several(all) => all.iter().any(|one| one.names(label)),
            DeltaFrom::Last(_) | DeltaFrom::All => false,
        }
    }
}

/// Whether a delta from an older release deserves its place: a device that could fetch the one from
/// nothing in as few bytes, or in at most `margin_bytes` more, has no use for it.
pub(crate) fn pays(bytes: u64, from_nothing_bytes: Option<u64>, margin_bytes: u64) -> bool {
    from_nothing_bytes.is_none_or(|limit| limit.saturating_sub(bytes) > margin_bytes)
}

/// Whether a delta from an older release spares a device enough of what it fetches without it, by several
/// deltas in a row: what is new in a release would otherwise be stored once for each older one.
pub(crate) fn spares(bytes: u64, by_others_bytes: Option<u64>) -> bool {
    by_others_bytes.is_none_or(|others| others.saturating_sub(bytes) > others / SPARED_SHARE)
}

/// About three percent.
const SPARED_SHARE: u64 = 32;

#[cfg(test)]
mod tests {
    use diff_core::Digest;
    use release_format::{ContentReference, ReleaseStatus, UtcTime};

    use super::*;

    fn label(text: &str) -> Label {
        Label::parse(text).unwrap()
    }

    fn catalogue() -> Catalogue {
        let reference = ContentReference::of(b"");
        let release = |(text, sequence): (&str, u64)| CatalogueRelease {
            label: label(text),
            sequence,
            manifest: ContentReference {
                digest: Digest::of(text.as_bytes()),
                length: 1,
            },
            published: UtcTime::from_seconds(0),
            tree_bytes: 0,
            files: 0,
            chunk_map: reference,
            archives: Vec::new(),
            deltas: Vec::new(),
            notes: None,
            translations: Default::default(),
            provenance: None,
            sbom: None,
            status: ReleaseStatus::Offered,
        };
        Catalogue {
            pack: PackName::parse("acme/biology").unwrap(),
            releases: [("1.0", 1), ("1.1", 2), ("2.0", 5)].map(release).into(),
        }
    }

    #[test]
    fn policies_choose_the_newest_first() {
        let catalogue = catalogue();
        let chosen = |policy: DeltaFrom| -> Vec<String> {
            let chosen = policy.choose(&catalogue.pack, Some(&catalogue)).unwrap();
            chosen.iter().map(|r| r.label.to_string()).collect()
        };
        assert_eq!(chosen(DeltaFrom::Last(2)), ["2.0", "1.1"]);
        assert_eq!(chosen(DeltaFrom::Last(0)), [""; 0]);
        assert_eq!(chosen(DeltaFrom::All), ["2.0", "1.1", "1.0"]);
        let named = DeltaFrom::Labels(vec![label("1.0"), label("2.0")]);
        assert_eq!(chosen(named), ["2.0", "1.0"]);
        let baseline = DeltaFrom::Labels(vec![label("1.0"), label("2.0")]);
        let several = DeltaFrom::Several(vec![baseline, DeltaFrom::Last(1)]);
        assert_eq!(chosen(several), ["2.0", "1.0"]);
        assert_eq!(chosen(DeltaFrom::Several(Vec::new())), [""; 0]);
    }

    #[test]
    fn first_release_has_nothing_to_choose_from() {
        let pack = catalogue().pack;
        assert!(DeltaFrom::default().choose(&pack, None).unwrap().is_empty());
    }

    #[test]
    fn releases_are_meant_by_their_labels_or_their_age() {
        let named = DeltaFrom::Labels(vec![label("1.0")]);
        let several = DeltaFrom::Several(vec![named, DeltaFrom::Last(2)]);
        assert!(several.names(&label("1.0")) && !several.names(&label("2.0")));
    }

    #[test]
    fn unknown_label_is_refused() {
        let catalogue = catalogue();
        let policy = DeltaFrom::Labels(vec![label("1.0"), label("3.0")]);
        match policy.choose(&catalogue.pack, Some(&catalogue)) {
            Err(PublishError::UnknownLabel { label, .. }) => assert_eq!(label.as_str(), "3.0"),
            other => panic!("expected a refusal, found {other:?}"),
        }
    }

    #[test]
    fn delta_that_spares_next_to_nothing_of_a_chain_is_left_out() {
        assert!(spares(10, None) && spares(10, Some(20)) && spares(960, Some(1_000)));
        assert!(!spares(970, Some(1_000)) && !spares(1_000, Some(1_000)) && !spares(9, Some(3)));
    }

    #[test]
    fn delta_no_shorter_than_the_one_from_nothing_does_not_pay() {
        assert!(pays(9, Some(10), 0) && pays(9, None, 0));
        assert!(!pays(10, Some(10), 0));
        assert!(pays(9, Some(20), 10) && !pays(10, Some(20), 10));
    }
}
