use std::str::FromStr;

use clap::{Args, ValueEnum};
use diff_core::{Abilities, Level, Method, Recompressor, abilities};
use publisher::DeltaSettings;

/// How deltas are made.
#[derive(Debug, Args)]
pub(crate) struct DeltaArguments {
    /// How hard to look for small deltas
    #[arg(long, value_enum, default_value_t)]
    pub(crate) level: Strength,
    /// What every device has that deltas are for: methods and recompressors, separated by commas; all
    /// unless given
    #[arg(long, value_delimiter = ',')]
    pub(crate) methods: Vec<Ability>,
}

impl DeltaArguments {
    /// Returns the settings that they ask for.
    pub(crate) fn settings(&self) -> DeltaSettings {
        let mut settings = DeltaSettings::default();
        settings.level = self.level.into();
        if !self.methods.is_empty() {
            let methods = self.methods.iter().filter_map(|ability| match ability {
                Ability::Method(method) => Some(*method),
                Ability::Recompressor(_) => None,
            });
            let recompressors = self.methods.iter().filter_map(|ability| match ability {
                Ability::Method(_) => None,
                Ability::Recompressor(recompressor) => Some(*recompressor),
            });
            let (methods, recompressors): (Vec<_>, Vec<_>) =
                (methods.collect(), recompressors.collect());
            settings.abilities = Abilities::of(&methods, &recompressors);
        }
        settings
    }
}

/// How hard to look for a small delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Strength {
    /// In a hurry
    Fast,
    /// Small, within the patience of a person
    #[default]
    Default,
    /// As small as it gets
    Best,
}

impl From<Strength> for Level {
    fn from(strength: Strength) -> Level {
        match strength {
            Strength::Fast => Level::Fast,
            Strength::Default => Level::Default,
            Strength::Best => Level::Best,
        }
    }
}

/// What a device has of the delta engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ability {
    Method(Method),
    Recompressor(Recompressor),
}

impl FromStr for Ability {
    type Err = String;

    fn from_str(name: &str) -> Result<Ability, String> {
        let methods = Method::ALL.map(|method| (method.name(), Ability::Method(method)));
        let recompressors = Recompressor::ALL.map(|one| (one.name(), Ability::Recompressor(one)));
        let mut all = methods.into_iter().chain(recompressors);
        let found = all.find_map(|(known, ability)| (known == name).then_some(ability));
        found.ok_or_else(|| format!("expected one of {}", abilities().join(", ")))
    }
}
