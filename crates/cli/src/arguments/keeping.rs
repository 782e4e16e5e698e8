use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use release_format::{Label, PackName, UtcTime, VersionName};

use super::source::SourceArguments;
use super::values::ByteBudget;

#[derive(Debug, Args)]
pub(crate) struct OpenArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack, or a content version such as acme/biology-101@1.4.0#0123456789abcdef
    #[arg(value_name = "PACK_OR_VERSION")]
    pub(crate) what: PackOrVersion,
    /// Count no opening of a trial: for the other processes of an app that has opened it
    #[arg(long)]
    pub(crate) uncounted: bool,
    /// A command to run while it is open, with SATCHEL_TREE and SATCHEL_CONTENT_VERSION set
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// What to open: what is active, or exactly the release of a learner's attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PackOrVersion {
    Pack(PackName),
    Version(VersionName),
}

impl FromStr for PackOrVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<PackOrVersion, String> {
        if text.contains(['@', '#']) {
            let version = text.parse().map_err(|error| format!("{error}"))?;
            return Ok(PackOrVersion::Version(version));
        }
        let pack = PackName::parse(text).map_err(|error| error.to_string())?;
        Ok(PackOrVersion::Pack(pack))
    }
}

#[derive(Debug, Args)]
pub(crate) struct HoldArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// Why; a hold for the same reason is replaced
    #[arg(long)]
    pub(crate) reason: String,
    /// When it ends by itself, within 31 days: a time such as 2026-11-21T12:00:00Z, or from now on such
    /// as 90m, 4h or 2d
    #[arg(long, value_name = "T", default_value = "24h")]
    pub(crate) until: Until,
}

/// A moment, or how far off it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    At(UtcTime),
    After(Duration),
}

impl Until {
    /// Returns the moment, where it is `now`.
    pub(crate) fn from(self, now: UtcTime) -> UtcTime {
        match self {
            Until::At(moment) => moment,
            Until::After(wait) => {
                let wait = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
                UtcTime::from_seconds(now.seconds().saturating_add(wait))
            }
        }
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Until, String> {
        if let Ok(moment) = UtcTime::parse(text) {
            return Ok(Until::At(moment));
        }
        let refused = || format!("{text:?} is no time such as 2026-11-21T12:00:00Z, 90m, 4h or 2d");
        let unit = text.chars().next_back().ok_or_else(refused)?;
        let seconds: u64 = match unit {
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return Err(refused()),
        };
        let count = text.strip_suffix(unit).unwrap_or_default();
        let count: u64 = count.parse().map_err(|_| refused())?;
        let seconds = count.checked_mul(seconds).ok_or_else(refused)?;
        Ok(Until::After(Duration::from_secs(seconds)))
    }
}

#[derive(Debug, Args)]
pub(crate) struct UnholdArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// The reason of the hold to end; all of them unless given
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PinArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// The release; the active one unless given
    pub(crate) label: Option<Label>,
    /// Only keep the release, for attempts that began on it: the device goes on
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UnpinArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack
    pub(crate) pack: PackName,
    /// The release; all that are pinned unless given
    pub(crate) label: Option<Label>,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Remove content as well that interrupted updates left; they start over then
    #[arg(long)]
    pub(crate) downloads: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HealArguments {
    /// The library
    pub(crate) library: PathBuf,
    /// The pack; every installed one unless given
    pub(crate) pack: Option<PackName>,
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// The most bytes of files to fetch for each release, such as 500000 or 20MB
    #[arg(long, value_name = "BYTES")]
    pub(crate) budget: Option<ByteBudget>,
    /// Root metadata to trust, obtained by a way that is trusted already: only taken where none of the
    /// library's own is intact
    #[arg(long, value_name = "ROOT.json")]
    pub(crate) root: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_or_how_far_off_they_are() {
        let now = UtcTime::parse("2026-11-21T00:00:00Z").unwrap();
        for (text, expected) in [
            ("2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z"),
            ("90m", "2026-11-21T01:30:00Z"),
            ("4h", "2026-11-21T04:00:00Z"),
            ("2d", "2026-11-23T00:00:00Z"),
        ] {
            let until: Until = text.parse().unwrap();
            assert_eq!(until.from(now).to_string(), expected);
        }
        for text in [
            "",
            "4",
            "h",
            "-4h",
            "4 h",
            "4w",
            "99999999999999999999d",
            "tomorrow",
        ] {
            assert!(text.parse::<Until>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_opened_is_a_pack_or_a_version() {
        let version = "acme/b@1.0#0123456789abcdef";
        let parsed = version.parse::<PackOrVersion>();
        assert!(matches!(parsed, Ok(PackOrVersion::Version(_))));
        assert!(matches!("acme/b".parse(), Ok(PackOrVersion::Pack(_))));
        for text in ["acme", "acme/b@1.0", "acme/b#0123456789abcdef"] {
            assert!(text.parse::<PackOrVersion>().is_err(), "{text}");
        }
    }
}
