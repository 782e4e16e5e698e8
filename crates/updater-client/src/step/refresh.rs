use release_format::{Catalogue, ChannelName, PackName, Rollout, TrustError, Verified};

use crate::UpdateError;
use crate::step::repository::TrustedRepository;

/// Returns the catalogue of a pack and the rollout of one of its channels, from metadata that is up
/// to date, or that has expired within the grace which the pack's tenant has signed.
pub(crate) fn refresh(
    repository: &mut TrustedRepository<'_>,
    names: (&PackName, &ChannelName),
) -> Result<(Catalogue, Rollout), UpdateError> {
    let strict = repository
        .refresh()
        .and_then(|()| documents(repository, names));
    match strict {
        Err(UpdateError::Trust(expired @ TrustError::Expired { .. })) => {
            let is_tolerated = repository.tolerate_expired(&names.0.catalogue_target());
            match is_tolerated {
                Ok(true) => documents(repository, names),
                // Whatever the search for a grace ran into, that it expired came first.
                Ok(false) | Err(UpdateError::Trust(TrustError::Expired { .. })) => {
                    Err(expired.into())
                }
                Err(worse) => Err(worse),
            }
        }
        outcome => outcome,
    }
}

fn documents(
    repository: &mut TrustedRepository<'_>,
    names: (&PackName, &ChannelName),
) -> Result<(Catalogue, Rollout), UpdateError> {
    let (pack, channel) = names;
    let unknown_pack = || UpdateError::UnknownPack { pack: pack.clone() };
    let catalogue = target(repository, &pack.catalogue_target())?.ok_or_else(unknown_pack)?;
    let catalogue = Catalogue::decode(&catalogue)?.expect_pack(pack)?;
    let unknown_channel = || UpdateError::UnknownChannel {
        pack: pack.clone(),
        channel: channel.clone(),
    };
    let rollout = target(repository, &pack.rollout_target(channel))?;
    let rollout = Rollout::decode(&rollout.ok_or_else(unknown_channel)?)?;
    Ok((catalogue, rollout.expect_channel(pack, channel)?))
}

/// Returns a target that a trusted role vouches for.
fn target(
    repository: &mut TrustedRepository<'_>,
    path: &str,
) -> Result<Option<Verified<Vec<u8>>>, UpdateError> {
    match repository.find(path)? {
        Some(target) => Ok(Some(repository.fetch(&target)?)),
        None => Ok(None),
    }
}
