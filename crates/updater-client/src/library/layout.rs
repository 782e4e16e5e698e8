//! Where everything in a library lies.

use std::path::{Path, PathBuf};

use diff_core::Digest;
use release_format::PackName;

use super::disk::{Disk, DiskError, EntryKind, parent_of};
use super::trust_layout::TrustLayout;

/// Every path below a library.
///
/// ```text
/// library/
///   library.json                           which device this is, and where it gets its packs
///   trust/                                 timestamp.json, snapshot.json, targets.json
///   trust/roots/<version>.root.json        every root since the one that the device was enrolled with
///   trust/delegated/<role>.json            the roles that targets delegates to
///   trust/targets/<digest of its path>     the catalogues and rollouts seen last
///   packs/<tenant>/<pack>/state            the commit point, with state.previous and state.lock
///   packs/<tenant>/<pack>/releases/<id>/   manifest and tree/; id: 16 hex digits of the manifest
///                                          digest, and .<number> for a tree that replaced another
///   packs/<tenant>/<pack>/notes/<id>       what people should know of a release
///   packs/<tenant>/<pack>/history          what became of the pack
///   staging/<id>/                          a release that is being built, or removed
///   downloads/<digest>.partial             content that is arriving
///   leases/<id>.lease                      locked by whoever has the release open; leases/gate
///   outbox/<device>-<trial>.receipt        receipts that wait to leave; outbox/others/ of neighbours
///   device.key                             what the device signs them with; lock
///   mirror/                                what the device keeps for its neighbours, once it serves them
///   mirrors.health                         which mirrors failed of late: a hint
///   reserve                                room that a change of a state record takes on a full disk
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryLayout {
    root: PathBuf,
}

impl LibraryLayout {
    /// Returns the layout of the library at `root`, made absolute: Windows allows long paths only so.
    pub fn new(root: impl Into<PathBuf>) -> LibraryLayout {
        let root = root.into();
        LibraryLayout {
            root: std::path::absolute(&root).unwrap_or(root),
        }
    }

    /// Returns the library's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the record of the library itself.
    pub fn library_record(&self) -> PathBuf {
        self.root.join("library.json")
    }

    /// Returns the lock of the one updater.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Returns what the run before learned of the mirrors.
    pub fn mirror_health(&self) -> PathBuf {
        self.root.join("mirrors.health")
    }

    /// Returns the file that is given up for a change of a state record on a full disk.
    pub fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// Returns where the trusted metadata lies.
    pub fn trust(&self) -> TrustLayout {
        TrustLayout::of_library(self.root.join("trust"))
    }

    /// Returns the folder of all packs.
    pub fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    /// Returns the folder of a pack.
    pub fn pack(&self, pack: &PackName) -> PathBuf {
        self.packs().join(pack.tenant()).join(pack.name())
    }

    /// Returns the commit point of a pack.
    pub fn state(&self, pack: &PackName) -> PathBuf {
        self.pack(pack).join("state")
    }

    /// Returns the generation before the commit point of a pack.
    pub fn previous_state(&self, pack: &PackName) -> PathBuf {
        self.pack(pack).join("state.previous")
    }

    /// Returns what became of a pack.
    pub fn history(&self, pack: &PackName) -> PathBuf {
        self.pack(pack).join("history")
    }

    /// Returns the folder of the notes of a pack's releases.
    pub fn all_notes(&self, pack: &PackName) -> PathBuf {
        self.pack(pack).join("notes")
    }

    /// Returns where the notes of a release lie.
    pub fn notes(&self, pack: &PackName, manifest: &Digest) -> PathBuf {
        self.all_notes(pack).join(manifest.short())
    }

    /// Returns where it is kept which flags of a pack the device shows.
    pub fn flags(&self, pack: &PackName) -> PathBuf {
        self.pack(pack).join("flags")
    }

    /// Returns the lock under which the commit point of a pack changes.
    pub fn state_lock(&self, pack: &PackName) -> PathBuf {
        self.pack(pack).join("state.lock")
    }

    /// Returns the folder of a pack's installed releases.
    pub fn releases(&self, pack: &PackName) -> PathBuf {
        self.pack(pack).join("releases")
    }

    /// Returns the folder of an installed release.
    pub fn release(&self, pack: &PackName, manifest: &Digest) -> PathBuf {
        self.releases(pack).join(manifest.short())
    }

    /// Returns the name of the folder of a release: that of the tree with the number `copy`.
    pub fn folder_name(manifest: &Digest, copy: u32) -> String {
        match copy {
            0 => manifest.short(),
            copy => format!("{}.{copy}", manifest.short()),
        }
    }

    /// Returns the number of the tree that a folder with this name holds, if it is one of the release.
    pub fn copy_number(name: &str, manifest: &Digest) -> Option<u32> {
        match name.strip_prefix(&manifest.short())? {
            "" => Some(0),
            number => {
                let copy = number.strip_prefix('.')?.parse().ok()?;
                (Self::folder_name(manifest, copy) == name && copy > 0).then_some(copy)
            }
        }
    }

    /// Returns the folder of the tree with the number `copy` of a release.
    pub fn copy(&self, pack: &PackName, manifest: &Digest, copy: u32) -> PathBuf {
        self.releases(pack).join(Self::folder_name(manifest, copy))
    }

    /// Returns the folder of the course itself: what a host opens.
    pub fn tree(&self, pack: &PackName, manifest: &Digest) -> PathBuf {
        Self::tree_within(&self.release(pack, manifest))
    }

    /// Returns the manifest of an installed release.
    pub fn manifest(&self, pack: &PackName, manifest: &Digest) -> PathBuf {
        Self::manifest_within(&self.release(pack, manifest))
    }

    /// Returns where the tree lies within the folder of a release, installed or being built.
    pub fn tree_within(release: &Path) -> PathBuf {
        release.join("tree")
    }

    /// Returns where the manifest lies within the folder of a release, installed or being built.
    pub fn manifest_within(release: &Path) -> PathBuf {
        release.join("manifest")
    }

    /// Returns the folder of releases that are being built.
    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// Returns where the release of a manifest is built; renaming it to [`LibraryLayout::release`]
    /// installs it.
    pub fn staged(&self, manifest: &Digest) -> PathBuf {
        self.staging().join(manifest.short())
    }

    /// Returns the folder of content that is arriving.
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// Returns where content of this digest arrives.
    pub fn partial(&self, content: &Digest) -> PathBuf {
        self.downloads().join(format!("{content}.partial"))
    }

    /// Returns the folder of leases.
    pub fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    /// Returns the file that is locked by whoever has the release in the folder of this name open.
    pub fn lease(&self, folder_name: &str) -> PathBuf {
        self.leases().join(format!("{folder_name}.lease"))
    }

    /// Returns the lock under which leases are taken, and under which what nobody has is removed.
    pub fn lease_gate(&self) -> PathBuf {
        self.leases().join("gate")
    }

    /// Returns the folder of what the device keeps for its neighbours: there once it was their mirror.
    pub fn mirror(&self) -> PathBuf {
        self.root.join("mirror")
    }

    /// Returns the folder of content that a mirror keeps, by its digests.
    pub fn mirror_content(&self) -> PathBuf {
        self.mirror().join("content")
    }

    /// Returns the folder of catalogues and rollouts that a mirror keeps, by their SHA-256 digests.
    pub fn mirror_targets(&self) -> PathBuf {
        self.trust().mirrored_targets()
    }

    /// Returns the folder of content that arrives for neighbours.
    pub fn mirror_arriving(&self) -> PathBuf {
        self.mirror().join("arriving")
    }

    /// Returns where content of this digest arrives for neighbours.
    pub fn mirror_partial(&self, content: &Digest) -> PathBuf {
        self.mirror_arriving().join(format!("{content}.partial"))
    }

    /// Returns the folder of health receipts that wait to leave.
    pub fn outbox(&self) -> PathBuf {
        self.root.join("outbox")
    }

    /// Returns the folder of receipts that neighbours handed on: there once one did.
    pub fn outbox_of_others(&self) -> PathBuf {
        self.outbox().join("others")
    }

    /// Returns the file of the key by which the device signs its receipts.
    pub fn device_key(&self) -> PathBuf {
        self.root.join("device.key")
    }

    /// Creates the library's folders, durably; those that are there stay as they are.
    ///
    /// # Errors
    /// [`DiskError`] when one cannot be created.
    pub fn create(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        let existing = self.root.ancestors().find(|folder| folder.is_dir());
        let existing = existing.unwrap_or(&self.root);
        // The host, or an enrolment that was killed, may have made it a moment ago and synced nothing.
        // A parent that this user may not open is not the host's.
        match disk.sync_dir(parent_of(existing)) {
            Err(foreign) if foreign.is_forbidden() => {}
            outcome => outcome?,
        }
        disk.create_dirs(existing, &self.root)?;
        for folder in [
            self.packs(),
            self.staging(),
            self.downloads(),
            self.leases(),
            self.outbox(),
        ] {
            disk.create_dir(&folder)?;
        }
        disk.create_dirs(&self.root, &self.trust().roots())?;
        disk.create_dirs(&self.root, &self.trust().delegated_roles())
    }

    /// Makes a move between the staging folder and a pack's releases durable.
    ///
    /// Both sides: some file systems keep the two names of a rename one by one, and were the old one
    /// still there after a crash, removing it would take the release along.
    ///
    /// # Errors
    /// [`DiskError`]: the release may then be lost, or be back.
    pub fn sync_move(&self, disk: &dyn Disk, pack: &PackName) -> Result<(), DiskError> {
        disk.sync_dir(&self.releases(pack))?;
        disk.sync_dir(&self.staging())
    }

    /// Removes the folder of a release that nothing refers to, installed or being built, so that a crash on the way
    /// leaves nothing that looks complete: what has no manifest is no release.
    ///
    /// # Errors
    /// [`DiskError`]: part of it may be gone.
    pub fn remove_release(disk: &dyn Disk, release: &Path) -> Result<(), DiskError> {
        let manifest = Self::manifest_within(release);
        if disk.length(&manifest)?.is_some() {
            disk.remove_file(&manifest)?;
            disk.sync_dir(release)?;
        }
        disk.remove_tree(release)
    }

    /// Whether one of the folders that [`LibraryLayout::create`] makes is not there.
    ///
    /// # Errors
    /// [`DiskError`] when one cannot be looked at.
    pub fn lacks_folders(&self, disk: &dyn Disk) -> Result<bool, DiskError> {
        for folder in [
            self.packs(),
            self.staging(),
            self.downloads(),
            self.leases(),
            self.outbox(),
            self.trust().roots(),
            self.trust().delegated_roles(),
        ] {
            if disk.length(&folder)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the packs that have a folder, in the order of their names, installed or not.
    ///
    /// # Errors
    /// [`DiskError`] when a folder cannot be listed.
    pub fn packs_present(&self, disk: &dyn Disk) -> Result<Vec<PackName>, DiskError> {
        let mut packs = Vec::new();
        for tenant in folders(disk, &self.packs())? {
            for name in folders(disk, &self.packs().join(&tenant))? {
                // What has no pack's name was not put there by Satchel.
                packs.extend(PackName::parse(&format!("{tenant}/{name}")));
            }
        }
        packs.sort();
        Ok(packs)
    }
}

fn folders(disk: &dyn Disk, path: &Path) -> Result<Vec<String>, DiskError> {
    let entries = disk.list(path)?.into_iter();
    Ok(entries
        .filter(|entry| entry.kind == EntryKind::Folder)
        .filter_map(|entry| entry.name.into_string().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn every_path_lies_where_the_design_puts_it() {
        let root = if cfg!(windows) {
            r"C:\library"
        } else {
            "/library"
        };
        let layout = LibraryLayout::new(root);
        let pack = PackName::parse("acme/biology-101").unwrap();
        let digest = Digest::of(b"manifest");
        let id = digest.short();
        for (path, expected) in [
            (layout.library_record(), "library.json".to_owned()),
            (layout.lock(), "lock".to_owned()),
            (layout.trust().root(7), "trust/roots/7.root.json".to_owned()),
            (
                layout.trust().delegated_role("acme.json"),
                "trust/delegated/acme.json".to_owned(),
            ),
            (
                layout.state(&pack),
                "packs/acme/biology-101/state".to_owned(),
            ),
            (
                layout.manifest(&pack, &digest),
                format!("packs/acme/biology-101/releases/{id}/manifest"),
            ),
            (
                layout.tree(&pack, &digest),
                format!("packs/acme/biology-101/releases/{id}/tree"),
            ),
            (layout.staged(&digest), format!("staging/{id}")),
            (
                layout.partial(&digest),
                format!("downloads/{digest}.partial"),
            ),
        ] {
            assert_eq!(path, Path::new(root).join(expected));
        }
        assert_eq!(id.len(), 16);
    }

    #[test]
    fn a_library_is_created_below_folders_that_are_not_there_yet_and_twice() {
        let temporary = tempfile::tempdir().unwrap();
        let layout = LibraryLayout::new(temporary.path().join("app/data/library"));
        let disk = RealDisk::new();
        layout.create(&disk).unwrap();
        layout.create(&disk).unwrap();
        assert!(layout.outbox().is_dir());
        assert_eq!(layout.packs_present(&disk).unwrap(), []);
    }

    #[test]
    fn packs_are_found_and_strangers_are_not_packs() {
        let temporary = tempfile::tempdir().unwrap();
        let layout = LibraryLayout::new(temporary.path());
        // Windows makes no folder of that name.
        let device = if cfg!(windows) { "Nul1/x" } else { "nul/x" };
        for folder in ["zeta/art", "acme/biology", "acme/Desktop.ini", device] {
            std::fs::create_dir_all(layout.packs().join(folder)).unwrap();
        }
        std::fs::write(layout.packs().join("acme/file"), b"").unwrap();
        let found = layout.packs_present(&RealDisk::new()).unwrap();
        let names: Vec<&str> = found.iter().map(PackName::as_str).collect();
        assert_eq!(names, ["acme/biology", "zeta/art"]);
    }
}
