//! Catalogues and rollouts, which are kept and proved anew each time.

use super::TrustStore;

impl TrustStore<'_> {
    /// Returns what was kept of a target: to be compared with what is trusted by now.
    pub(crate) fn kept_target(&self, path: &str) -> Option<Vec<u8>> {
        let kept = self.layout.target(path)?;
        self.disk
            .read(&kept, self.limits.target_bytes)
            .ok()
            .flatten()
    }

    /// Keeps a verified target until another one has its path.
    ///
    /// That it cannot be kept is no failure: it is fetched again then.
    pub(crate) fn keep_target(&self, path: &str, target: &[u8]) {
        if let Some(kept) = self.layout.target(path) {
            let _ = self.disk.write_durably(&kept, target);
        }
    }

    /// Keeps a verified catalogue or rollout for the neighbours of a device that is their mirror; of
    /// any other device it keeps none.
    ///
    /// That it cannot be kept is no failure: they fetch it from elsewhere.
    pub fn keep_for_neighbours(&self, sha256: Option<&str>, target: &[u8]) {
        let folder = self.layout.mirrored_targets();
        let (Some(name), Ok(Some(_))) = (sha256, self.disk.length(&folder)) else {
            return;
        };
        let path = folder.join(name);
        if let Ok(None) = self.disk.length(&path) {
            let _ = self.disk.write_durably(&path, target);
        }
    }
}
