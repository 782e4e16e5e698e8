use release_format::{
    Catalogue, ChannelName, Lookup, MetadataRequest, PackName, Refreshed, Rollout, TrustedSet,
    UtcTime, Verified,
};

use crate::UpdateError;
use crate::library::trust_store::TrustStore;
use crate::step::fetch::Fetcher;
use crate::transport::TransportError;

/// Follows the chain of roots to its end.
pub(crate) fn roots(
    trusted: &mut TrustedSet,
    fetcher: &Fetcher<'_>,
    store: &mut TrustStore<'_>,
) -> Result<(), UpdateError> {
    loop {
        match fetch(fetcher, &trusted.root_request()) {
            Ok(root) => trusted.update_root(&root)?,
            Err(failed) if is_end_of_chain(&failed) => return Ok(()),
            Err(failed) => return Err(failed),
        }
        store.store(trusted)?;
    }
}

/// Buckets that do not let anybody list them answer 403 for what they do not have.
fn is_end_of_chain(failed: &UpdateError) -> bool {
    matches!(
        failed,
        UpdateError::Transport(TransportError::Absent { .. } | TransportError::Forbidden { .. })
    )
}

/// Brings the timestamp, the snapshot and the targets up to date, in this order.
pub(crate) fn refresh(
    trusted: &mut TrustedSet,
    fetcher: &Fetcher<'_>,
    now: UtcTime,
    store: &mut TrustStore<'_>,
) -> Result<(), UpdateError> {
    let timestamp = fetch(fetcher, &trusted.timestamp_request())?;
    if trusted.update_timestamp(&timestamp, now)? == Refreshed::Newer {
        store.store(trusted)?;
    }
    if let Some(request) = trusted.snapshot_request()? {
        trusted.update_snapshot(&fetch(fetcher, &request)?, now)?;
        store.store(trusted)?;
    }
    match trusted.targets_request()? {
        Some(request) => role(trusted, &request, fetcher, now, store),
        None => Ok(()),
    }
}

/// Trusts a targets role: the file that is stored, if it is the one, else the mirror's.
fn role(
    trusted: &mut TrustedSet,
    request: &MetadataRequest,
    fetcher: &Fetcher<'_>,
    now: UtcTime,
    store: &mut TrustStore<'_>,
) -> Result<(), UpdateError> {
    if let Some(stored) = store.stored(request)?
        && trusted.update_targets(request, &stored, now).is_ok()
    {
        return Ok(());
    }
    trusted.update_targets(request, &fetch(fetcher, request)?, now)?;
    store.store(trusted)
}

/// Returns the catalogue of a pack and the rollout of one of its channels.
pub(crate) fn documents(
    trusted: &mut TrustedSet,
    names: (&PackName, &ChannelName),
    fetcher: &Fetcher<'_>,
    now: UtcTime,
    store: &mut TrustStore<'_>,
) -> Result<(Catalogue, Rollout), UpdateError> {
    let (pack, channel) = names;
    let mut target = |path: &str| target(trusted, path, fetcher, now, store);
    let unknown_pack = || UpdateError::UnknownPack { pack: pack.clone() };
    let catalogue = target(&pack.catalogue_target())?.ok_or_else(unknown_pack)?;
    let catalogue = Catalogue::decode(&catalogue)?.expect_pack(pack)?;
    let unknown_channel = || UpdateError::UnknownChannel {
        pack: pack.clone(),
        channel: channel.clone(),
    };
    let rollout = target(&pack.rollout_target(channel))?.ok_or_else(unknown_channel)?;
    let rollout = Rollout::decode(&rollout)?.expect_channel(pack, channel)?;
    Ok((catalogue, rollout))
}

/// Returns a target that a trusted role vouches for, fetching the roles that the search needs.
fn target(
    trusted: &mut TrustedSet,
    path: &str,
    fetcher: &Fetcher<'_>,
    now: UtcTime,
    store: &mut TrustStore<'_>,
) -> Result<Option<Verified<Vec<u8>>>, UpdateError> {
    loop {
        match trusted.lookup(path)? {
            Lookup::Found(target) => {
                let bytes = fetcher.document(&target.location, target.length())?;
                return Ok(Some(trusted.verify_target(&target, bytes)?));
            }
            Lookup::Needs(request) => {
                role(trusted, &request, fetcher, now, store)?;
            }
            Lookup::Absent => return Ok(None),
        }
    }
}

fn fetch(fetcher: &Fetcher<'_>, request: &MetadataRequest) -> Result<Vec<u8>, UpdateError> {
    fetcher.document(&request.location, request.limit)
}
