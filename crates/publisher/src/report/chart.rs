use std::fmt::Write as _;

use release_format::{ChannelName, UtcTime};

use crate::report::figures::{ReceiptDay, Step};
use crate::report::text::{bytes, escaped};

/// Returns a bar of where a release's bytes go, by kind of file, with the same in words.
pub(crate) fn kinds(kinds: &[(String, u64)]) -> String {
    let total: u64 = kinds.iter().map(|(_, bytes)| bytes).sum();
    if total == 0 {
        return String::new();
    }
    let mut svg = format!(
        "<svg class=wide viewBox=\"0 0 {WIDTH} 20\" preserveAspectRatio=none role=img \
         aria-label=\"Bytes by kind of file; the list below has the same figures\">"
    );
    let mut list = String::from("<ul class=kinds>");
    let mut x = 0.0;
    let rest: u64 = kinds.iter().skip(KINDS).map(|(_, bytes)| bytes).sum();
    let shown = kinds.iter().take(KINDS).cloned();
    let others = (rest > 0).then(|| ("others".to_owned(), rest));
    for (at, (kind, count)) in shown.chain(others).enumerate() {
        let width = share(count, total) * f64::from(WIDTH);
        let _ = write!(
            svg,
            "<rect class=k{at} x={x:.1} y=0 width={:.1} height=20 />",
            (width - 1.0).max(0.6)
        );
        let _ = write!(
            list,
            "<li><i class=k{at}></i>{} {} ({:.1} %)",
            escaped(&kind),
            bytes(count),
            100.0 * share(count, total)
        );
        x += width;
    }
    svg.push_str("</svg>");
    list.push_str("</ul>");
    svg + &list
}

/// Returns the picture of a channel's share over time, until `now`.
pub(crate) fn shares(channel: &ChannelName, steps: &[Step], now: UtcTime) -> String {
    let own: Vec<&Step> = steps
        .iter()
        .filter(|step| step.channel == *channel)
        .collect();
    let (Some(first), Some(last)) = (own.first(), own.last()) else {
        return String::new();
    };
    let begin = first.time.seconds();
    let end = now.seconds().max(last.time.seconds()).max(begin + 1);
    let span = (end - begin) as f64;
    let x = |time: UtcTime| 46.0 + (time.seconds() - begin) as f64 / span * f64::from(WIDTH - 52);
    let y = |step: &Step| {
        let offered = if step.halted { 0 } else { step.basis_points };
        8.0 + (10_000 - offered.min(10_000)) as f64 / 10_000.0 * 72.0
    };
    let mut line = format!("M{:.1} {:.1}", x(first.time), y(first));
    let mut points = String::new();
    for step in &own {
        let _ = write!(line, "H{:.1}V{:.1}", x(step.time), y(step));
        let halted = if step.halted { ", halted" } else { "" };
        let _ = write!(
            points,
            "<circle cx={:.1} cy={:.1} r=4><title>{} {}: {:.2} %{halted}</title></circle>",
            x(step.time),
            y(step),
            step.time,
            escaped(step.label.as_str()),
            f64::from(step.basis_points) / 100.0
        );
    }
    let _ = write!(line, "H{:.1}", x(UtcTime::from_seconds(end)));
    format!(
        "<svg class=wide viewBox=\"0 0 {WIDTH} 100\" role=img aria-label=\"Share of the channel {} over \
         time; the table below has the same figures\"><path class=g d=\"M46 8H{r}M46 44H{r}M46 80H{r}\"/>\
         <text class=r x=41 y=12>100 %</text><text class=r x=41 y=84>0 %</text>\
         <text x=46 y=97>{}</text><text class=r x={r} y=97>{}</text>\
         <path class=s d=\"{line}\"/>{points}</svg>",
        escaped(channel.as_str()),
        day(first.time),
        day(UtcTime::from_seconds(end)),
        r = WIDTH - 6
    )
}

/// Returns the picture of trials by day and outcome.
pub(crate) fn receipts(days: &[ReceiptDay]) -> String {
    let all = |day: &ReceiptDay| day.confirmed + day.reverted + day.failed;
    let days = days.get(days.len().saturating_sub(DAYS)..).unwrap_or(days);
    let most = days.iter().map(all).max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let width = f64::from(WIDTH - 52) / days.len() as f64;
    let mut svg = format!(
        "<svg class=wide viewBox=\"0 0 {WIDTH} 110\" role=img aria-label=\"Trials that ended, by day; at \
         most {most} a day\"><text class=r x=41 y=14>{most}</text><path class=g d=\"M46 90H{}\"/>",
        WIDTH - 6
    );
    for (at, day) in days.iter().enumerate() {
        let x = 46.0 + width * at as f64;
        let mut y = 90.0;
        for (class, count) in [("o", day.confirmed), ("w", day.reverted), ("f", day.failed)] {
            let height = share(count, most) * 80.0;
            if count > 0 {
                y -= height;
                let _ = write!(
                    svg,
                    "<rect class={class} x={x:.1} y={y:.1} width={:.1} height={height:.1} />",
                    (width - 2.0).max(1.0)
                );
            }
        }
    }
    let first = days.first().map_or("", |day| &day.day);
    let last = days.last().map_or("", |day| &day.day);
    let _ = write!(
        svg,
        "<text x=46 y=106>{}</text><text class=r x={} y=106>{}</text></svg>\
         <p class=legend><span><i class=o></i>confirmed</span> <span><i class=w></i>reverted</span> \
         <span><i class=f></i>failed verification</span></p>",
        escaped(first),
        WIDTH - 6,
        escaped(last)
    );
    svg
}

/// Returns the day of a time.
pub(crate) fn day(time: UtcTime) -> String {
    time.to_string().chars().take(10).collect()
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

const WIDTH: u32 = 720;
/// Kinds with a colour of their own.
const KINDS: usize = 7;
/// What fits beside each other.
const DAYS: usize = 180;
