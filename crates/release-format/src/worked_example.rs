//! The worked examples of the format documents, as the tests of those formats read them.

/// Returns the bytes that the hexadecimal example of `document` shows.
pub(crate) fn bytes(document: &str) -> Vec<u8> {
    let lines = block(document, "text").lines();
    // Two spaces part the bytes of a line from what is told of them.
    lines
        .filter_map(|line| line.split("  ").next())
        .flat_map(str::split_whitespace)
        .map(|digits| u8::from_str_radix(digits, 16).expect("an example shows bytes"))
        .collect()
}

/// Returns the JSON that the example of `document` shows.
pub(crate) fn json(document: &str) -> &str {
    block(document, "json")
}

fn block<'a>(document: &'a str, kind: &str) -> &'a str {
    let (_, example) = document
        .split_once("## Worked example")
        .expect("each format has an example");
    let (_, block) = example
        .split_once(&format!("```{kind}\n"))
        .expect("each example has a block");
    let (block, _) = block.split_once("```").expect("each block has an end");
    block
}
