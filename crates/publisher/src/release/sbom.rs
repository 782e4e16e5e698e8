use release_format::{Label, Manifest, PackName, UtcTime};
use serde_json::{Value, json};

/// Returns the list of what a release contains, in CycloneDX 1.6: every file with its digest, its
/// length and its kind. The same release gives the same bytes.
pub(crate) fn sbom(manifest: &Manifest, now: UtcTime) -> Vec<u8> {
    let (pack, label) = (manifest.pack(), manifest.label());
    let entries = manifest.listing().entries().iter();
    let components: Vec<Value> = entries
        .map(|entry| {
            json!({
                "type": "file",
                "bom-ref": format!("file:{}", entry.path),
                "name": entry.path.to_string(),
                "mime-type": kind(entry.path.as_str()),
                "hashes": [{ "alg": "BLAKE3", "content": entry.digest.to_string() }],
                "properties": [{ "name": "satchel:length", "value": entry.length.to_string() }],
            })
        })
        .collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(manifest),
        "version": 1,
        "metadata": {
            "timestamp": now.to_string(),
            "tools": { "components": [{
                "type": "application",
                "name": "satchel",
                "version": env!("CARGO_PKG_VERSION"),
            }]},
            "component": {
                "type": "data",
                "bom-ref": reference(pack, label),
                "group": pack.tenant(),
                "name": pack.name(),
                "version": label.to_string(),
                "hashes": [{ "alg": "BLAKE3", "content": manifest.digest().to_string() }],
            },
        },
        "components": components,
    });
    canonical(document)
}

/// Returns what a release is called in other documents.
pub(crate) fn reference(pack: &PackName, label: &Label) -> String {
    format!("{pack}@{label}")
}

/// Returns the bytes of a document, its members in one order alone.
pub(crate) fn canonical(mut document: Value) -> Vec<u8> {
    document.sort_all_objects();
    document.to_string().into_bytes()
}

/// A UUID of version 8, made of the release's own digest rather than of chance.
fn serial_number(manifest: &Manifest) -> String {
    let digest = manifest.digest().to_string();
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

/// Returns the media type of a file by the end of its name, as web servers tell it.
pub(crate) fn kind(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    let end = name
        .rsplit_once('.')
        .map(|(_, end)| end.to_ascii_lowercase());
    let kinds = KINDS.iter();
    kinds
        .filter(|(known, _)| Some(*known) == end.as_deref())
        .map(|(_, kind)| *kind)
        .next()
        .unwrap_or("application/octet-stream")
}

/// What courses are made of.
const KINDS: &[(&str, &str)] = &[
    ("css", "text/css"),
    ("csv", "text/csv"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("epub", "application/epub+zip"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("h5p", "application/zip"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("m4a", "audio/mp4"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("svg", "image/svg+xml"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain"),
    ("vtt", "text/vtt"),
    ("wasm", "application/wasm"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_ends_of_names() {
        for (path, expected) in [
            ("unit 1/index.HTML", "text/html"),
            ("media/film.mp4", "video/mp4"),
            ("LICENSE", "application/octet-stream"),
            ("a.b/c", "application/octet-stream"),
        ] {
            assert_eq!(kind(path), expected, "{path}");
        }
        assert!(KINDS.is_sorted_by_key(|(end, _)| *end));
    }
}
