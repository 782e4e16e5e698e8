use crate::measure::{Cost, Row};
use crate::pair::Prepared;
use crate::peer::Peer;

/// Prints what stands above all tables.
pub(crate) fn head(peers: &[Peer]) {
    let names: Vec<&str> = peers.iter().map(Peer::name).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("# Satchel beside its peers");
    println!();
    println!("On {cores} cores; peers found: {}.", names.join(", "));
    println!(
        "Peers work on tars of the trees. Ours lists the old tree before it applies: so much of"
    );
    println!("its time a device does not spend. Memory is the greatest resident set, mapped files");
    println!("included.");
}

/// Prints what stands above the table of one pair.
pub(crate) fn title(pair: &Prepared) {
    let (old, new) = (&pair.old.listing, &pair.new.listing);
    println!();
    println!("## {}", pair.name);
    println!();
    println!(
        "{} files of {} bytes to {} files of {} bytes.",
        old.entries().len(),
        old.total_bytes(),
        new.entries().len(),
        new.total_bytes(),
    );
    println!();
    println!(
        "| tool | delta bytes | create s | create MiB | apply s | apply MiB | on 1 thread s |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
}

/// Prints one row.
pub(crate) fn row(row: &Row) {
    let seconds = |cost: &Cost| format!("{:.2}", cost.time.as_secs_f64());
    let mebibytes = |cost: &Cost| match cost.peak_bytes {
        Some(bytes) => (bytes >> 20).to_string(),
        None => "?".to_owned(),
    };
    let cells = match &row.outcome {
        Ok(figures) => [
            grouped(figures.delta_bytes),
            seconds(&figures.create),
            mebibytes(&figures.create),
            seconds(&figures.apply),
            mebibytes(&figures.apply),
            figures.apply_alone.as_ref().map_or(String::new(), seconds),
        ]
        .join(" | "),
        Err(reason) => format!("{reason} | | | | | "),
    };
    println!("| {} | {cells} |", row.tool);
}

/// Prints the size that a peer reached elsewhere.
pub(crate) fn recorded(peer: &str, bytes: u64) {
    println!("| {peer}, recorded | {} | | | | | |", grouped(bytes));
}

/// Writes a number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_grouped() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (number, text) in cases {
            assert_eq!(super::grouped(number), text);
        }
    }
}
