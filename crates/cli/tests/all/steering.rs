//! Rollouts as scripts see them: who steers, what is told, and what devices then do.

use std::fs;

use serde_json::Value;

use crate::place::{Place, Ran};

/// A repository whose `stable` offers 1.0 to all and 1.1 to nobody yet, and a library that has 1.0.
fn offering() -> Place {
    let mut rig = Place::new();
    rig.set("SATCHEL_PASSPHRASE", "a passphrase of the tests");
    rig.done("init repo");
    publish(&rig, "1.0", "");
    rig.done("enroll library --repository repo --root repo/metadata/1.root.json --label site=lamu");
    rig.done("update library acme/biology");
    rig.done("confirm library acme/biology");
    publish(&rig, "1.1", "--share 0%");
    rig
}

fn publish(rig: &Place, label: &str, more: &str) {
    let folder = rig.path(&format!("course-{label}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lesson.html"), format!("<p>{label}</p>")).unwrap();
    rig.done(&format!(
        "publish repo course-{label} --pack acme/biology --release {label} {more}"
    ));
}

fn active(rig: &Place) -> String {
    let status = rig.json("status library acme/biology");
    let active = &status["packs"][0]["active"]["label"];
    active.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_release_is_widened_halted_and_withdrawn_and_the_device_says_why() {
    let rig = offering();
    let check = rig.done("check library acme/biology --why");
    assert!(
        check.contains("stays on 1.0: the rollout reaches 0% of devices"),
        "{check}"
    );
    assert!(
        check.contains("  share (no): it reaches 0% of devices"),
        "{check}"
    );
    let check = rig.json("check library acme/biology --why");
    assert_eq!(check["offer"], "withheld");
    assert_eq!(check["rules"][1]["rule"], "share");
    assert_eq!(check["rules"][1]["holds"], false);

    let told = rig.done("rollout repo acme/biology --release 1.1 --share 100% --select site=lamu");
    assert_eq!(
        told,
        "acme/biology, stable:\n  1.1 goes to all devices with site=lamu instead of 0% of devices\n"
    );
    rig.done("update library acme/biology");
    assert_eq!(active(&rig), "1.1");
    rig.done("confirm library acme/biology");

    let halted = rig.json("halt repo acme/biology --reason answers-shown");
    assert_eq!(halted["changed"], true);
    assert_eq!(halted["channels"][0]["halted"], true);
    assert_eq!(halted["channels"][0]["halt_reason"], "answers-shown");
    let again = rig.json("halt repo acme/biology --reason answers-shown");
    assert_eq!(again["changed"], false);
    assert_eq!(
        rig.refused("rollout repo acme/biology --share 50%"),
        (1, "halted".to_owned())
    );
    rig.done("rollout repo acme/biology --resume");

    let withdrawn = rig.json("withdraw repo acme/biology --release 1.1 --reason answers-shown");
    let entry = &withdrawn["channels"][0]["withdrawn"][0];
    assert_eq!(
        (&entry["label"], &entry["security"]),
        (&"1.1".into(), &Value::Null)
    );
    assert_eq!(
        rig.refused("rollout repo acme/biology --release 1.1 --share 1%"),
        (1, "withdrawn".to_owned())
    );
    let check = rig.json("check library acme/biology");
    assert_eq!(check["withdrawn"], "answers-shown");
    let check = rig.done("check library acme/biology");
    assert!(
        check.contains("1.1 -> 1.0, back to what lies here; 1.1 was withdrawn: answers-shown"),
        "{check}"
    );
    let updated = rig.json("update library acme/biology");
    assert_eq!(
        (&updated["outcome"], &updated["route"]),
        (&"returned".into(), &Value::Null)
    );
    assert_eq!(active(&rig), "1.0");
    rig.done("audit repo");
}

#[test]
fn a_plan_is_shown_and_followed_step_by_step() {
    let rig = offering();
    let plan = "
        pack = \"acme/biology\"
        release = \"1.1\"
        [[step]]
        share = \"100%\"
        mode = \"shadow\"
        [[step]]
        share = \"100%\"
        select = { ring = \"pilot\" }
        wait = \"1d\"
        [[step]]
        share = \"100%\"
    ";
    fs::write(rig.path("rollout.toml"), plan).unwrap();
    // Published to nobody, it stands at no step of the plan.
    let (exit, code) = rig.refused("rollout plan repo rollout.toml");
    assert_eq!((exit, code.as_str()), (1, "not-in-plan"));
    rig.done("rollout repo acme/biology --share 100% --mode shadow");
    let shown = rig.json("rollout plan repo rollout.toml");
    assert_eq!(
        (&shown["position"], &shown["step"]),
        (&"under way".into(), &1.into())
    );
    assert_eq!(shown["changes"], Value::Array(Vec::new()));
    assert_eq!(
        shown["next_changes"],
        serde_json::json!([
            "1.1 goes to all devices with ring=pilot instead of all devices",
            "devices switch to it"
        ])
    );
    assert_eq!(
        rig.json("rollout apply repo rollout.toml")["changed"],
        false
    );
    let updated = rig.json("update library acme/biology");
    assert_eq!(updated["outcome"], "shadowed");
    assert_eq!(active(&rig), "1.0");
    let applied = rig.json("rollout apply repo rollout.toml --next");
    assert_eq!(applied["channels"][0]["select"], "ring=pilot");
    let labels = rig.json("label library ring=pilot");
    assert_eq!(labels["labels"][0]["key"], "ring");
    assert_eq!(rig.done("label library --remove site"), "ring=pilot\n");
    rig.done("update library acme/biology");
    assert_eq!(active(&rig), "1.1");
    rig.done("rollout apply repo rollout.toml --next");
    let end = rig.run("rollout apply repo rollout.toml --next").stderr;
    assert!(end.contains("the plan has no further step"), "{end}");
    fs::write(rig.path("rollout.toml"), "pack = 1").unwrap();
    assert_eq!(rig.refused("rollout plan repo rollout.toml").1, "bad-plan");
}

#[test]
fn a_channel_is_followed_from_enrolment_and_promoted_from() {
    let rig = offering();
    publish(&rig, "1.2", "--channel beta");
    rig.done("enroll follower --repository repo --root repo/metadata/1.root.json --channel beta");
    let updated = rig.json("update follower acme/biology");
    assert_eq!(updated["active"]["label"], "1.2");
    assert_eq!(
        rig.refused("promote repo acme/biology --release 1.1 --to stable"),
        (1, "not-offered".to_owned())
    );
    let promoted = rig.json("promote repo acme/biology --release 1.2 --to stable");
    assert_eq!(promoted["channels"][0]["release"], "1.2");
    rig.done("update library acme/biology");
    assert_eq!(active(&rig), "1.2");
    assert_eq!(
        rig.refused("rollout repo acme/biology --channel none --share 5%")
            .1,
        "no-channel"
    );
    assert_eq!(rig.run("rollout repo acme/biology").exit, 2);
    assert_eq!(
        rig.run("rollout repo acme/biology --share 5% --select Site=x")
            .exit,
        2
    );
}

#[test]
fn an_old_client_is_told_what_it_is_missing_by_exit_code_9() {
    let rig = offering();
    rig.done("rollout repo acme/biology --release 1.1 --share 100% --min-client 99.0");
    let check = rig.json("check library acme/biology");
    assert_eq!(
        check["lacking"],
        "release 1.1 needs Satchel 99.0.0 or newer"
    );
    assert_eq!(rig.run("check library acme/biology").exit, 0);
    let Ran { exit, stderr, .. } = rig.run("update library acme/biology");
    assert_eq!(exit, 9);
    assert!(
        stderr.contains("release 1.1 needs Satchel 99.0.0 or newer"),
        "{stderr}"
    );
}

#[test]
fn a_guarded_channel_changes_by_signatures_that_are_collected() {
    let rig = offering();
    rig.done("keys generate anna ben carla --keys holders");
    let line = "guard repo acme --threshold 2 --key holders/anna.pub --key holders/ben.pub \
                --key holders/carla.pub --signer file:holders/anna.pem --signer file:holders/ben.pem";
    let guarded = rig.json(line);
    assert_eq!(guarded["role"], "acme-operations.stable");
    let (exit, code) = rig.refused("rollout repo acme/biology --share 5%");
    assert_eq!((exit, code.as_str()), (1, "key-missing"));
    let proposed = rig.json("rollout repo acme/biology --share 100% --propose approval.json");
    assert_eq!(proposed["published"], false);
    fs::copy(rig.path("approval.json"), rig.path("copy.json")).unwrap();
    let shown = rig.done("approval sign approval.json --show");
    assert!(shown.contains("stable: offers 1.1"), "{shown}");
    rig.done("approval sign approval.json --signer file:holders/carla.pem");
    let (exit, code) = rig.refused("approval publish repo approval.json");
    assert_eq!((exit, code.as_str()), (4, "too-few-signatures"));
    rig.done("approval sign copy.json --signer file:holders/ben.pem");
    let merged = rig.json("approval merge approval.json copy.json");
    assert_eq!(merged["keys"].as_array().unwrap().len(), 2);
    rig.done("approval publish repo approval.json");
    rig.done("update library acme/biology");
    assert_eq!(active(&rig), "1.1");
    rig.done("audit repo");
}

#[test]
fn a_guarded_channel_is_begun_halted_and_withdrawn_from_without_a_private_key_at_hand() {
    let rig = offering();
    rig.done("keys generate anna ben carla --keys holders");
    let guarded = rig.json(
        "guard repo acme --threshold 2 --key holders/anna.pub --key holders/ben.pub \
         --key holders/carla.pub --propose guard.json",
    );
    assert_eq!(guarded["published"], false);
    let approve = |file: &str| {
        rig.done(&format!(
            "approval sign {file} --signer file:holders/anna.pem --signer file:holders/carla.pem"
        ));
        rig.done(&format!("approval publish repo {file}"));
    };
    approve("guard.json");
    let (exit, code) = rig.refused("halt repo acme/biology --reason broken");
    assert_eq!((exit, code.as_str()), (1, "key-missing"));
    rig.json("rollout repo acme/biology --share 20% --propose step.json");
    rig.json("halt repo acme/biology --reason broken --after step.json --propose ready.json");
    approve("step.json");
    approve("ready.json");
    let shown = rig.done("show repo acme/biology");
    assert!(shown.contains(", halted"), "{shown}");
    let (exit, _) = rig.refused("halt repo acme/biology --reason broken --propose again.json");
    assert_ne!(exit, 0);
    rig.json(
        "withdraw repo acme/biology --release 1.1 --channel stable --reason answers --propose out.json",
    );
    approve("out.json");
    rig.done("audit repo");
}
