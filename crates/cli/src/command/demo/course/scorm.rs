use std::io::{self, Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

use super::picture;
use super::prose::Prose;

/// Returns a SCORM 1.2 activity: a manifest, slides, a player and a picture; a `revised` one has one
/// of its slides reworded.
pub(super) fn zip(revised: bool) -> io::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut add = |path: &str, bytes: &[u8]| {
        zip.start_file(path, options)?;
        zip.write_all(bytes)
    };
    add("imsmanifest.xml", manifest().as_bytes())?;
    add("player.js", PLAYER.as_bytes())?;
    for slide in 1..=SLIDES {
        let reworded = revised && slide == 7;
        add(
            &format!("slides/{slide:02}.html"),
            page(slide, reworded).as_bytes(),
        )?;
    }
    add("slides/chloroplast.png", &picture::png("chloroplast", 0)?)?;
    Ok(zip.finish()?.into_inner())
}

fn page(slide: usize, reworded: bool) -> String {
    let mut text = Prose::new(&format!("slide {slide}")).paragraphs(24);
    if reworded {
        text = text.replacen(
            "</p>",
            " Light is needed, warmth alone is not enough.</p>",
            1,
        );
    }
    format!(
        "<!DOCTYPE html>\n<html><head><title>Slide {slide}</title><script src=\"../player.js\"></script>\
         </head>\n<body onload=\"opened({slide})\">\n{text}</body></html>\n"
    )
}

fn manifest() -> String {
    let mut files = String::new();
    for slide in 1..=SLIDES {
        files.push_str(&format!("      <file href=\"slides/{slide:02}.html\"/>\n"));
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <manifest identifier=\"photosynthesis\" version=\"1.2\" \
         xmlns=\"http://www.imsproject.org/xsd/imscp_rootv1p1p2\" \
         xmlns:adlcp=\"http://www.adlnet.org/xsd/adlcp_rootv1p2\">\n  \
         <metadata><schema>ADL SCORM</schema><schemaversion>1.2</schemaversion></metadata>\n  \
         <organizations default=\"course\">\n    <organization identifier=\"course\">\n      \
         <title>Photosynthesis</title>\n      <item identifier=\"slides\" identifierref=\"slides-files\">\
         <title>Slides</title></item>\n    </organization>\n  </organizations>\n  <resources>\n    \
         <resource identifier=\"slides-files\" type=\"webcontent\" adlcp:scormtype=\"sco\" \
         href=\"slides/01.html\">\n{files}      <file href=\"slides/chloroplast.png\"/>\n      \
         <file href=\"player.js\"/>\n    </resource>\n  </resources>\n</manifest>\n"
    )
}

const SLIDES: usize = 20;
const PLAYER: &str = "\
// Tells the learning platform which slide is open, when there is one.
function platform(from) {
  for (var frame = from, hops = 0; frame && hops < 8; frame = frame.parent, hops += 1) {
    if (frame.API) { return frame.API; }
    if (frame === frame.parent) { return null; }
  }
  return null;
}
function opened(slide) {
  var api = platform(window);
  if (!api) { return; }
  api.LMSInitialize('');
  api.LMSSetValue('cmi.core.lesson_location', String(slide));
  api.LMSCommit('');
}
";
