use std::fmt::Write as _;

use release_format::Rollout;

use crate::govern::audit_log::{LogRecord, LogState};
use crate::report::figures::{Figures, PackFigures};
use crate::report::text::{bytes, escaped};
use crate::report::{chart, heat};

/// The page, as it is written from its first line to its last.
pub(crate) struct Page {
    html: String,
}

impl Page {
    pub(crate) fn of(figures: &Figures) -> String {
        let mut page = Page {
            html: String::new(),
        };
        page.head(figures);
        page.overview(figures);
        for (at, pack) in figures.packs.iter().enumerate() {
            page.pack(pack, figures, at == 0);
        }
        page.trail(figures);
        page.html.push_str("</main></body></html>\n");
        page.html
    }

    fn put(&mut self, text: impl AsRef<str>) {
        self.html.push_str(text.as_ref());
    }

    fn head(&mut self, figures: &Figures) {
        let repository = escaped(&figures.repository);
        self.put("<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\"><title>Satchel: ");
        self.put(&repository);
        self.put("</title><style>");
        self.put(STYLE);
        self.put("</style></head><body><a class=skip href=\"#packs\">To the packs</a><header><h1>");
        self.put(&repository);
        self.put(format!("</h1><p>As it stands on {}. ", figures.now));
        if let Some(expires) = figures.expires {
            match expires > figures.now {
                true => self.put(format!("Devices accept it until {expires}.")),
                false => self.put(format!(
                    "<strong>Its timestamp expired on {expires}: devices go on with what they have.</strong>"
                )),
            }
        }
        self.put("</p></header><main>");
    }

    fn overview(&mut self, figures: &Figures) {
        self.put("<section id=packs><h2>Packs</h2>");
        if figures.packs.is_empty() {
            self.put("<p>Nothing is published yet.</p></section>");
            return;
        }
        self.put("<div class=scroll><table><thead><tr><th scope=col>Pack<th scope=col class=d>Releases<th scope=col>Newest<th scope=col class=d>Files<th scope=col class=d>Bytes<th scope=col class=d>First install<th scope=col class=d>From the one before<th scope=col>Offered</thead><tbody>");
        for (at, pack) in figures.packs.iter().enumerate() {
            let name = escaped(pack.pack.as_str());
            let count = pack.releases.len();
            self.put(format!(
                "<tr><th scope=row><a href=\"#p{at}\">{name}</a><td class=d>{count}"
            ));
            let newest = pack.releases.last();
            let before = count.checked_sub(2).and_then(|row| pack.downloads.get(row));
            let update = before.and_then(|row| row.get(count - 1).copied().flatten());
            match newest {
                Some(newest) => self.put(format!(
                    "<td>{}<td class=d>{}<td class=d>{}<td class=d>{}<td class=d>{}",
                    escaped(newest.label.as_str()),
                    newest.files,
                    bytes(newest.tree_bytes),
                    newest.first_install.map_or_else(dash, bytes),
                    update.map_or_else(dash, bytes)
                )),
                None => self.put("<td>–<td>–<td>–<td>–<td>–"),
            }
            let offered: Vec<String> = pack.rollouts.iter().map(told_rollout).collect();
            self.put(format!("<td>{}", offered.join("<br>")));
        }
        self.put("</tbody></table></div></section>");
    }

    fn pack(&mut self, pack: &PackFigures, figures: &Figures, is_open: bool) {
        let at = figures
            .packs
            .iter()
            .position(|other| other.pack == pack.pack)
            .unwrap_or(0);
        let open = if is_open { " open" } else { "" };
        self.put(format!(
            "<details id=p{at}{open}><summary><h2>{}</h2></summary>",
            escaped(pack.pack.as_str())
        ));
        self.releases(pack);
        if pack.releases.len() > 1 {
            self.put("<h3>What each older release downloads</h3><p>A row is the release that a device has, a column the one that it gets.</p>");
            self.put(heat::heat_map(pack));
            self.put(heat::legend());
            self.downloads(pack);
        }
        if let Some(newest) = pack.releases.last()
            && !pack.kinds.is_empty()
        {
            self.put(format!(
                "<h3>Where the bytes of {} go</h3>",
                escaped(newest.label.as_str())
            ));
            self.put(chart::kinds(&pack.kinds));
        }
        self.rollouts(pack, figures);
        self.put("<h3>What devices sent</h3>");
        match &pack.receipts {
            _ if !figures.has_receipts => self.put(
                "<p>This page was made without receipts: what became of the releases on devices is not in it.</p>",
            ),
            Err(error) => self.put(format!("<p>The receipts cannot be read: {}</p>", escaped(error))),
            Ok(days) if days.is_empty() => self.put("<p>No device has sent a receipt for this pack yet.</p>"),
            Ok(days) => self.put(chart::receipts(days)),
        }
        self.put("</details>");
    }

    fn releases(&mut self, pack: &PackFigures) {
        self.put("<h3>Releases</h3><div class=scroll><table><thead><tr><th scope=col>Release<th scope=col>Published<th scope=col class=d>Files<th scope=col class=d>Bytes<th scope=col class=d>First install<th scope=col class=d>In the repository<th scope=col>Status</thead><tbody>");
        for release in pack.releases.iter().rev() {
            let status = match &release.withdrawn {
                None => String::new(),
                Some(reason) => format!("withdrawn: {}", escaped(reason)),
            };
            self.put(format!(
                "<tr><th scope=row>{}<td>{}<td class=d>{}<td class=d>{}<td class=d>{}<td class=d>{}<td>{status}",
                escaped(release.label.as_str()),
                chart::day(release.published),
                release.files,
                bytes(release.tree_bytes),
                release.first_install.map_or_else(dash, bytes),
                bytes(release.stored_bytes)
            ));
        }
        self.put("</tbody></table></div>");
    }

    fn downloads(&mut self, pack: &PackFigures) {
        let Some(newest) = pack.releases.last() else {
            return;
        };
        let label = escaped(newest.label.as_str());
        self.put(format!("<details><summary>The figures for {label}</summary><div class=scroll><table><thead><tr><th scope=col>A device with<th scope=col class=d>downloads</thead><tbody>"));
        for (release, costs) in pack.releases.iter().zip(&pack.downloads).rev().skip(1) {
            let cost = costs.last().copied().flatten();
            self.put(format!(
                "<tr><th scope=row>{}<td class=d>{}",
                escaped(release.label.as_str()),
                cost.map_or_else(dash, bytes)
            ));
        }
        self.put("</tbody></table></div></details>");
    }

    fn rollouts(&mut self, pack: &PackFigures, figures: &Figures) {
        self.put("<h3>Rollout</h3>");
        for rollout in &pack.rollouts {
            self.put(format!("<p>{}</p>", told_rollout(rollout)));
            self.put(chart::shares(&rollout.channel, &pack.steps, figures.now));
        }
        if pack.steps.is_empty() {
            self.put("<p>The log tells of no change yet.</p>");
            return;
        }
        self.put("<details><summary>Every change and decision</summary><div class=scroll><table><thead><tr><th scope=col>Time<th scope=col>Channel<th scope=col>Release<th scope=col class=d>Share<th scope=col>What was done</thead><tbody>");
        for step in pack.steps.iter().rev().take(STEPS) {
            let halted = if step.halted { ", halted" } else { "" };
            let reason = step.reason.as_deref().map(escaped);
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            self.put(format!(
                "<tr><td>{}<td>{}<td>{}<td class=d>{:.2} %<td>{}{halted}{reason}",
                step.time,
                escaped(step.channel.as_str()),
                escaped(step.label.as_str()),
                f64::from(step.basis_points) / 100.0,
                escaped(&step.action)
            ));
            for ground in &step.grounds {
                self.put(format!("<br>gate: {}", escaped(ground)));
            }
        }
        self.put("</tbody></table></div></details>");
    }

    fn trail(&mut self, figures: &Figures) {
        self.put("<section><h2>What was done</h2>");
        let log = &figures.log;
        match log.problems.len() {
            0 => {
                self.put("<p>The log was compared with itself and with the metadata: it holds.</p>")
            }
            _ => self.put("<p><strong>The log does not hold:</strong></p>"),
        }
        self.put("<ul>");
        for problem in &log.problems {
            self.put(format!(
                "<li><strong>{}</strong>",
                escaped(&problem.to_string())
            ));
        }
        for note in &log.notes {
            self.put(format!("<li>{}", escaped(note)));
        }
        self.put("</ul>");
        let shown = log.records.len().min(ENTRIES);
        if shown == 0 {
            self.put("</section>");
            return;
        }
        if log.records.len() > shown {
            self.put(format!(
                "<p>The last {shown} of {} entries; <code>satchel audit --log</code> tells them all.</p>",
                log.records.len()
            ));
        }
        self.put("<div class=scroll><table><thead><tr><th scope=col class=d>Entry<th scope=col>Time<th scope=col>What<th scope=col>Signed by</thead><tbody>");
        for record in log.records.iter().rev().take(ENTRIES) {
            self.entry(record);
        }
        self.put("</tbody></table></div>");
        if let Some(head) = &log.head {
            self.put(format!(
                "<p>The last entry is {} with the digest <code>{}</code>.</p>",
                head.number,
                escaped(&head.sha256)
            ));
        }
        self.put("</section>");
    }

    fn entry(&mut self, record: &LogRecord) {
        let entry = &record.entry;
        let mut told = escaped(&entry.action);
        if let Some(pack) = &entry.subject.pack {
            let _ = write!(told, " {}", escaped(pack.as_str()));
        }
        if let Some(release) = &entry.subject.release {
            let _ = write!(told, "@{}", escaped(release.as_str()));
        }
        for line in entry.told.iter().take(TOLD_LINES) {
            let _ = write!(told, "<br>{}", escaped(line.trim()));
        }
        if record.state != LogState::InForce {
            told.push_str("<br><em>not in force: a publisher was interrupted or overtaken</em>");
        }
        let by = entry.by.iter().filter(|(role, _)| *role != "snapshot");
        let by: Vec<String> = by
            .map(|(role, keys)| {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|key| key.as_str().chars().take(12).collect())
                    .collect();
                escaped(&format!("{role} {}", keys.join(" ")))
            })
            .collect();
        self.put(format!(
            "<tr><td class=d>{}<td>{}<td>{told}<td>{}",
            entry.number,
            entry.time,
            by.join("<br>")
        ));
    }
}

fn told_rollout(rollout: &Rollout) -> String {
    let halted = if rollout.halted { ", halted" } else { "" };
    format!(
        "{}: {} to {}{halted}",
        escaped(rollout.channel.as_str()),
        escaped(rollout.label.as_str()),
        rollout.share
    )
}

fn dash() -> String {
    "–".to_owned()
}

/// Entries of the log that the page shows.
const ENTRIES: usize = 300;
/// Changes of a rollout that it shows.
const STEPS: usize = 100;
const TOLD_LINES: usize = 12;

const STYLE: &str = include_str!("page.css");
