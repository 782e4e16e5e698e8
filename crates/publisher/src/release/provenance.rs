use release_format::{CatalogueRelease, ContentReference, Manifest, MetaFile, UtcTime};
use serde_json::{Value, json};

use crate::release::sbom::{canonical, reference};

/// Returns the statement of how a release came to be: in-toto, with a SLSA provenance of version 1.
///
/// Its subject is the manifest, whose digest is the release; what it came from is the folder's listing
/// and the releases that its deltas start from. It is believed as the catalogue is that names it, which
/// the tenant's keys have signed: it needs no envelope of its own.
pub(crate) fn provenance(
    manifest: &Manifest,
    release: &CatalogueRelease,
    sbom: &ContentReference,
    now: UtcTime,
) -> Vec<u8> {
    let (pack, label) = (manifest.pack(), manifest.label());
    let encoded = manifest.encode();
    let file = MetaFile::of(1, &encoded);
    let sha256 = file.hashes.as_ref().and_then(|hashes| hashes.get("sha256"));
    let blake3 = |digest: &diff_core::Digest| json!({ "blake3": digest.to_string() });
    let mut needed: Vec<Value> = vec![json!({
        "name": "folder",
        "digest": { "blake3": manifest.digest().to_string() },
        "annotations": { "files": release.files, "bytes": release.tree_bytes },
    })];
    let from = release.deltas.iter().filter_map(|delta| delta.from);
    needed.extend(from.map(|from| json!({ "name": "earlier release", "digest": blake3(&from) })));
    let products: Vec<Value> = [("chunk map", &release.chunk_map), ("sbom", sbom)]
        .into_iter()
        .chain(release.archives.iter().map(|archive| ("archive", archive)))
        .chain(release.deltas.iter().map(|delta| ("delta", &delta.content)))
        .map(|(name, content)| json!({ "name": name, "digest": blake3(&content.digest) }))
        .collect();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": reference(pack, label),
            "digest": { "blake3": manifest.digest().to_string(), "sha256": sha256 },
        }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://satchel.example/publish/v1",
                "externalParameters": {
                    "pack": pack.to_string(),
                    "release": label.to_string(),
                    "sequence": manifest.sequence(),
                },
                "internalParameters": {},
                "resolvedDependencies": needed,
            },
            "runDetails": {
                "builder": {
                    "id": "https://satchel.example/publisher",
                    "version": { "satchel": env!("CARGO_PKG_VERSION") },
                },
                "metadata": {
                    "invocationId": manifest.digest().to_string(),
                    "finishedOn": now.to_string(),
                },
                "byproducts": products,
            },
        },
    });
    canonical(statement)
}
