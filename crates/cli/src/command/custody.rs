use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use publisher::{KeyStore, SignerSource};
use zeroize::Zeroizing;

use crate::arguments::SigningArguments;
use crate::command::place::no_keys_beside;
use crate::failure::{Exit, Failure};

/// Returns the keys that the arguments name, or those in the folder beside the repository.
pub(super) fn signing_keys(repo: &Path, signing: &SigningArguments) -> Result<KeyStore, Failure> {
    let passphrase_file = signing.passphrase_file.as_deref();
    let keys = key_store(repo, signing.keys.as_deref(), passphrase_file)?;
    with_signers(keys, &signing.signers)
}

/// Returns the keys in `given`, or in the folder beside the repository.
pub(super) fn key_store(
    repo: &Path,
    given: Option<&Path>,
    passphrase_file: Option<&Path>,
) -> Result<KeyStore, Failure> {
    let folder = match given {
        Some(folder) => folder.to_path_buf(),
        None => {
            no_keys_beside(repo)?;
            beside(repo)?
        }
    };
    opened(KeyStore::folder(folder), passphrase_file)
}

/// Returns `keys` with the signers that are elsewhere.
pub(super) fn with_signers(
    mut keys: KeyStore,
    sources: &[SignerSource],
) -> Result<KeyStore, Failure> {
    for source in sources {
        let signer = keys.open_signer(source)?;
        keys = keys.with_signer(signer);
    }
    Ok(keys)
}

/// Returns `keys` with the passphrase from the environment or a file, or with a person to ask.
pub(super) fn opened(keys: KeyStore, passphrase_file: Option<&Path>) -> Result<KeyStore, Failure> {
    Ok(match given_passphrase(passphrase_file)? {
        Some(passphrase) => keys.with_passphrase(passphrase.as_str()),
        None if io::stdin().is_terminal() => keys.with_prompt(Arc::new(|path: &Path| {
            let prompt = format!("passphrase of {}: ", path.display());
            rpassword::prompt_password(prompt).map(Zeroizing::new)
        })),
        None => keys,
    })
}

/// Returns a passphrase for new keys.
pub(super) fn new_passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    if let Some(passphrase) = given_passphrase(file)? {
        return Ok(passphrase);
    }
    let refused = |message: &str| {
        Failure::new(Exit::Other, "no-passphrase", message).with_remedy(
            "Set SATCHEL_PASSPHRASE, give --passphrase-file, or say --plain for keys that are not \
             encrypted.",
        )
    };
    if !io::stdin().is_terminal() {
        return Err(refused(
            "expected a passphrase for the new keys, found none",
        ));
    }
    let ask = |prompt: &str| {
        let failed = |error: io::Error| refused(&format!("cannot ask for a passphrase: {error}"));
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(failed)
    };
    let (first, second) = (ask("passphrase of the new keys: ")?, ask("once more: ")?);
    if first != second {
        return Err(refused("expected the same passphrase twice, found two"));
    }
    if first.is_empty() {
        return Err(refused("expected a passphrase, found an empty one"));
    }
    Ok(first)
}

fn given_passphrase(file: Option<&Path>) -> Result<Option<Zeroizing<String>>, Failure> {
    if let Some(path) = file {
        let failed = |error: io::Error| Failure::io("read the passphrase in", path, &error);
        let opened = File::open(path).map_err(failed)?;
        // Room for all that is read, so that no copy stays behind where the text grew.
        let mut line = Zeroizing::new(String::with_capacity(MAX_PASSPHRASE_BYTES));
        BufReader::new(opened.take(MAX_PASSPHRASE_BYTES as u64))
            .read_line(&mut line)
            .map_err(failed)?;
        let passphrase = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
        if passphrase.is_empty() {
            let message = format!("{}: expected a passphrase, found none", path.display());
            return Err(Failure::new(Exit::Other, "no-passphrase", message));
        }
        return Ok(Some(passphrase));
    }
    let given = std::env::var("SATCHEL_PASSPHRASE").ok();
    Ok(given.filter(|text| !text.is_empty()).map(Zeroizing::new))
}

fn beside(repo: &Path) -> Result<PathBuf, Failure> {
    let named = if repo.file_name().is_some() {
        repo.to_path_buf()
    } else {
        std::path::absolute(repo).map_err(|error| Failure::io("find", repo, &error))?
    };
    let Some(name) = named.file_name() else {
        let message = format!("{} has no folder beside it for keys", repo.display());
        return Err(Failure::new(Exit::Usage, "no-key-folder", message)
            .with_remedy("Say where the keys are with --keys."));
    };
    let mut name = name.to_owned();
    name.push(".keys");
    Ok(named.with_file_name(name))
}

const MAX_PASSPHRASE_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_beside_the_repository_unless_told() {
        let default = |repo: &str| {
            key_store(Path::new(repo), None, None)
                .unwrap()
                .path()
                .to_owned()
        };
        assert_eq!(default("a/repo"), Path::new("a/repo.keys"));
        assert_eq!(default("a/repo/"), Path::new("a/repo.keys"));
        let here = std::env::current_dir().unwrap();
        let mut name = here.file_name().unwrap().to_owned();
        name.push(".keys");
        assert_eq!(default("."), here.with_file_name(name));
        let told = key_store(Path::new("repo"), Some(Path::new("k")), None).unwrap();
        assert_eq!(told.path(), Path::new("k"));
    }
}
