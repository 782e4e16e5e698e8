use release_format::ClientVersion;

/// What a client can do: what it says of itself where a release asks for more than every client has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// Its version.
    pub version: ClientVersion,
    /// The names of the methods by which it applies deltas.
    pub methods: Vec<String>,
    /// Whether it puts releases together of chunks.
    pub chunks: bool,
}

impl Abilities {
    /// Returns all that this build can do.
    pub fn of_build() -> Abilities {
        let methods = diff_core::abilities().into_iter();
        Abilities {
            // The version of a package has three numbers, and may have more behind them.
            version: ClientVersion::parse(BUILD).unwrap_or(ClientVersion::new(0, 0, 0)),
            methods: methods.map(str::to_owned).collect(),
            chunks: true,
        }
    }
}

impl Default for Abilities {
    /// Returns [`Abilities::of_build`].
    fn default() -> Abilities {
        Abilities::of_build()
    }
}

const BUILD: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_build_knows_its_version_and_its_methods() {
        let abilities = Abilities::of_build();
        assert_eq!(abilities.version.to_string(), BUILD);
        assert!(abilities.methods.iter().any(|name| name == "zstd"));
        assert!(abilities.chunks);
    }
}
