//! File systems of sticks and memory cards, in a file that is mounted where the machine lets us.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of a stick's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// FAT32: no links, no modes, no case, no file of 4 GiB, times of two seconds.
    Fat32,
    /// exFAT: the same, but for the long files.
    Exfat,
}

/// A mounted file system, gone with its value.
#[derive(Debug)]
pub struct Volume {
    mounted: PathBuf,
    device: Option<String>,
}

impl Volume {
    /// Makes a file system of 192 MiB below `folder` and mounts it: by the kernel where that knows it,
    /// else exFAT through FUSE. Says that the test is skipped, and returns `None`, where neither works.
    pub fn mount(kind: Kind, folder: &Path) -> Option<Volume> {
        let mounted = Volume::try_mount(kind, folder);
        if mounted.is_none() {
            // Past the capture of the test runner, so that it is seen.
            let _ = writeln!(
                std::io::stderr(),
                "\nskipped: no {kind:?} can be made and mounted by this user on this machine"
            );
        }
        mounted
    }

    fn try_mount(kind: Kind, folder: &Path) -> Option<Volume> {
        let (image, mounted) = (folder.join("volume.img"), folder.join("volume"));
        fs::create_dir_all(&mounted).ok()?;
        File::create(&image).ok()?.set_len(VOLUME_BYTES).ok()?;
        let (name, options, made) = match kind {
            Kind::Fat32 => (
                "vfat",
                "loop,utf8=1",
                ran("mkfs.vfat", &[&"-F", &"32", &image]),
            ),
            Kind::Exfat => ("exfat", "loop,iocharset=utf8", ran("mkfs.exfat", &[&image])),
        };
        if !made {
            return None;
        }
        // Names in UTF-8, as desktops mount sticks.
        let arguments: [&dyn AsRef<std::ffi::OsStr>; 6] =
            [&"-t", &name, &"-o", &options, &image, &mounted];
        if ran("mount", &arguments) {
            let device = None;
            return Some(Volume { mounted, device });
        }
        if kind == Kind::Fat32 {
            return None;
        }
        let attached = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(&image)
            .output()
            .ok()?;
        let device = String::from_utf8(attached.stdout).ok()?.trim().to_owned();
        let volume = Volume {
            mounted,
            device: Some(device.clone()),
        };
        let is_mounted = ran("mount.exfat-fuse", &[&device, &volume.mounted]);
        is_mounted.then_some(volume)
    }

    /// Returns the folder that everything on it lies below.
    pub fn folder(&self) -> &Path {
        &self.mounted
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        ran("umount", &[&"-l", &self.mounted]);
        if let Some(device) = &self.device {
            ran("losetup", &[&"--detach", device]);
        }
    }
}

/// Runs a program, if it is there; tells whether it succeeded.
fn ran(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| argument.as_ref()));
    command.output().is_ok_and(|output| output.status.success())
}

/// Enough for FAT to be FAT32, and kept sparse.
const VOLUME_BYTES: u64 = 192 << 20;
