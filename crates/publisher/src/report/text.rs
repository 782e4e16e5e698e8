/// Returns a number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return match unit {
                "B" => format!("{count} B"),
                _ if value < 10.0 => format!("{value:.1} {unit}"),
                _ => format!("{value:.0} {unit}"),
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// Returns a text as HTML shows it, inside of quotes too.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_and_never_markup() {
        assert_eq!(
            escaped("<script>\"it's\" & more</script>"),
            "&lt;script&gt;&quot;it&#39;s&quot; &amp; more&lt;/script&gt;"
        );
    }

    #[test]
    fn bytes_are_told_for_people() {
        for (count, told) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_500, "1.5 kB"),
            (73_400_000, "73 MB"),
        ] {
            assert_eq!(bytes(count), told);
        }
    }
}
