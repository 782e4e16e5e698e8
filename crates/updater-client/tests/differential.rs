//! Our client and python-tuf's give the same verdict on a few generated repositories, where a Python with
//! `tuf` is at hand; `tests/differential/run` compares them on thousands.
#![cfg(feature = "http")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::env;
use std::io::Write;
use std::path::Path;
use std::process::Command;

#[test]
fn a_few_generated_repositories_are_judged_as_python_tuf_judges_them() {
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let has_tuf = Command::new(&python)
        .args(["-c", "import tuf.ngclient, cryptography"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_tuf {
        // Past the capture of the test runner, so that it is seen.
        let _ = writeln!(std::io::stderr(), "\nskipped: there is no Python with tuf");
        return;
    }
    // Cargo builds the examples before the tests, beside them.
    let program = env::current_exe().unwrap();
    let built = program.ancestors().nth(2).unwrap().join("examples");
    let client = built.join(format!("tuf-conformance-client{}", env::consts::EXE_SUFFIX));
    assert!(client.is_file(), "{} is not built", client.display());
    let script = "../../tests/differential/differential.py";
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .arg("--client")
        .arg(client)
        .args(["--cases", "60", "--seed", "slice"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}{failed}");
}
