//! What a gate asks of Prometheus, and what it makes of the answers: queries and bytes, and no network.

use std::collections::BTreeMap;
use std::time::Duration;

use release_format::{ChannelName, Label, PackName, ReleaseCounts, UtcTime};
use serde_json::Value;

use super::gate::GateEvidence;

/// The queries of one gate over the collector's metrics.
///
/// Counts are differences of counters at two moments, not rates: Prometheus extrapolates those, and a
/// gate counts. A counter that was not there when the step began was 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusGate {
    source: String,
    selector: String,
    since: UtcTime,
    now: UtcTime,
    window: Duration,
}

/// One query and the moment that it is asked for, to be sent to `/api/v1/query`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusQuery {
    /// PromQL.
    pub query: String,
    /// The moment.
    pub time: UtcTime,
}

impl PrometheusGate {
    /// Returns the queries for a release of a channel, counted from `since` to `now`.
    pub fn new(
        source: impl Into<String>,
        (pack, channel, release): (&PackName, &ChannelName, &Label),
        (since, now): (UtcTime, UtcTime),
        window: Duration,
    ) -> PrometheusGate {
        PrometheusGate {
            source: source.into(),
            selector: format!("pack=\"{pack}\",channel=\"{channel}\",release=\"{release}\""),
            since,
            now,
            window,
        }
    }

    /// Returns the queries, in the order in which [`PrometheusGate::read`] takes the answers.
    pub fn queries(&self) -> Vec<PrometheusQuery> {
        let selector = &self.selector;
        let hours = class(self.window);
        let receipts = format!("sum by (outcome) (satchel_receipts_total{{{selector}}})");
        let in_time =
            format!("sum (satchel_confirmations_total{{{selector},within_hours=\"{hours}\"}})");
        let at = |query: &String, time| PrometheusQuery {
            query: query.clone(),
            time,
        };
        vec![
            at(&receipts, self.now),
            at(&receipts, self.since),
            at(&in_time, self.now),
            at(&in_time, self.since),
        ]
    }

    /// Returns what the answers tell: counts, or why there are none.
    pub fn read(&self, answers: &[Vec<u8>]) -> GateEvidence {
        match self.counted(answers) {
            Ok(counts) => GateEvidence::Counted {
                source: self.source.clone(),
                counts,
            },
            Err(reason) => GateEvidence::Missing {
                source: self.source.clone(),
                reason,
            },
        }
    }

    fn counted(&self, answers: &[Vec<u8>]) -> Result<ReleaseCounts, String> {
        let [receipts, receipts_before, in_time, in_time_before] = answers else {
            return Err(format!("{} answers to 4 questions", answers.len()));
        };
        let receipts = vector(receipts)?;
        if receipts.is_empty() {
            return Err("it knows no receipt of the release".to_owned());
        }
        let before = vector(receipts_before)?;
        let grown = |now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>, key: &str| {
            let now = now.get(key).copied().unwrap_or(0);
            let before = before.get(key).copied().unwrap_or(0);
            now.checked_sub(before)
                .ok_or_else(|| format!("a counter went back from {before} to {now}"))
        };
        let of = |outcome: &str| grown(&receipts, &before, outcome);
        let in_time = grown(&vector(in_time)?, &vector(in_time_before)?, "")?;
        Ok(ReleaseCounts {
            confirmed: of("confirmed")?.saturating_add(of("shadow-ok")?),
            confirmed_in_time: in_time,
            failed: of("failed")?.saturating_add(of("shadow-failed")?),
            reverted: of("reverted")?,
            undone: of("undone")?,
            failed_verifications: of("verification-failed")?,
            releases: 1,
        })
    }
}

/// Returns the values of an answer by the outcome that each is of; that of the whole by no name.
fn vector(answer: &[u8]) -> Result<BTreeMap<String, u64>, String> {
    let answer: Value = serde_json::from_slice(answer)
        .map_err(|error| format!("it does not answer as Prometheus does: {error}"))?;
    if answer["status"] != "success" {
        let told = answer["error"].as_str().unwrap_or("no reason given");
        return Err(format!("it refuses: {told:.200}"));
    }
    let warnings = answer["warnings"].as_array();
    if warnings.is_some_and(|warnings| !warnings.is_empty()) {
        return Err("it answers with warnings, so perhaps not with all of it".to_owned());
    }
    if answer["data"]["resultType"] != "vector" {
        return Err("it answers with something else than a vector".to_owned());
    }
    let mut values = BTreeMap::new();
    for sample in answer["data"]["result"].as_array().into_iter().flatten() {
        let name = sample["metric"]["outcome"].as_str().unwrap_or_default();
        let value = sample["value"][1].as_str().unwrap_or_default();
        // Whole numbers stand without a point.
        let number: u64 = value
            .parse()
            .map_err(|_| format!("a count that is none: {value:.40}"))?;
        if values.insert(name.to_owned(), number).is_some() {
            return Err(format!("two values for {name:?}"));
        }
    }
    Ok(values)
}

/// Returns the longest class of durations that the collector tells apart within the window: what it
/// cannot tell counts as late.
fn class(window: Duration) -> u64 {
    let hours = window.as_secs() / 3_600;
    let classes = CLASSES.into_iter().rev();
    classes
        .into_iter()
        .find(|class| *class <= hours)
        .unwrap_or(1)
}

const CLASSES: [u64; 8] = [1, 6, 12, 24, 48, 72, 168, 336];

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> PrometheusGate {
        PrometheusGate::new(
            "http://prometheus",
            (
                &PackName::parse("acme/biology-101").unwrap(),
                &ChannelName::default(),
                &Label::parse("1.4.0").unwrap(),
            ),
            (UtcTime::from_seconds(1_000), UtcTime::from_seconds(9_000)),
            Duration::from_secs(3 * 86_400),
        )
    }

    fn answer(values: &[(&str, &str)]) -> Vec<u8> {
        let result: Vec<Value> = values
            .iter()
            .map(|(outcome, value)| {
                let metric = match *outcome {
                    "" => serde_json::json!({}),
                    outcome => serde_json::json!({ "outcome": outcome }),
                };
                serde_json::json!({ "metric": metric, "value": [9_000, value] })
            })
            .collect();
        let data = serde_json::json!({ "resultType": "vector", "result": result });
        serde_json::to_vec(&serde_json::json!({ "status": "success", "data": data })).unwrap()
    }

    #[test]
    fn queries_name_the_release_and_both_ends() {
        let queries = gate().queries();
        assert_eq!(queries.len(), 4);
        assert_eq!(
            queries[2].query,
            "sum (satchel_confirmations_total{pack=\"acme/biology-101\",channel=\"stable\",release=\"1.4.0\",within_hours=\"72\"})"
        );
        let times: Vec<i64> = queries.iter().map(|query| query.time.seconds()).collect();
        assert_eq!(times, [9_000, 1_000, 9_000, 1_000]);
    }

    #[test]
    fn counts_are_what_came_since_the_step_began() {
        let told = gate().read(&[
            answer(&[("confirmed", "120"), ("reverted", "7"), ("undone", "1")]),
            answer(&[("confirmed", "20"), ("reverted", "2")]),
            answer(&[("", "115")]),
            answer(&[]),
        ]);
        let GateEvidence::Counted { counts, .. } = told else {
            panic!("{told:?}");
        };
        assert_eq!((counts.confirmed, counts.confirmed_in_time), (100, 115));
        assert_eq!((counts.reverted, counts.undone, counts.failed), (5, 1, 0));
    }

    #[test]
    fn whatever_is_no_count_is_missing() {
        let good = || answer(&[("confirmed", "1")]);
        let none = || answer(&[]);
        let refused = br#"{"status":"error","error":"out of time"}"#.to_vec();
        let partial = br#"{"status":"success","warnings":["one of two"],"data":{"resultType":"vector","result":[]}}"#.to_vec();
        let scalar =
            br#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#.to_vec();
        for (first, said) in [
            (none(), "no receipt"),
            (answer(&[("confirmed", "NaN")]), "none"),
            (answer(&[("confirmed", "+Inf")]), "none"),
            (answer(&[("confirmed", "-1")]), "none"),
            (answer(&[("confirmed", "1.5")]), "none"),
            (answer(&[("confirmed", "many")]), "none"),
            (
                answer(&[("confirmed", "1"), ("confirmed", "2")]),
                "two values",
            ),
            (b"<html>".to_vec(), "as Prometheus does"),
            (refused, "out of time"),
            (partial, "warnings"),
            (scalar, "a vector"),
        ] {
            let told = gate().read(&[first, none(), none(), none()]);
            assert!(
                matches!(&told, GateEvidence::Missing { reason, .. } if reason.contains(said)),
                "{said}: {told:?}"
            );
        }
        let back = gate().read(&[good(), answer(&[("confirmed", "2")]), none(), none()]);
        assert!(matches!(&back, GateEvidence::Missing { reason, .. } if reason.contains("back")));
        assert!(matches!(
            gate().read(&[good()]),
            GateEvidence::Missing { .. }
        ));
    }
}
