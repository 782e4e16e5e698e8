use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// Returns the built program as it runs where nobody has set anything and nobody can be asked.
pub(crate) fn satchel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_satchel"));
    for variable in [
        "SATCHEL_LOG",
        "SATCHEL_PASSPHRASE",
        "SOURCE_DATE_EPOCH",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// How the program ended, and what it said.
pub(crate) struct Ran {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Ran {
        Ran {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Returns the one JSON object that was printed; every key of it is in the book.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {:?} {}", self.stdout, self.stderr));
        assert_eq!(value["schema"], 1, "{value}");
        assert_documented(&value);
        value
    }

    #[track_caller]
    pub(crate) fn error_code(&self) -> String {
        let code = &self.json()["error"]["code"];
        code.as_str().unwrap_or_default().to_owned()
    }
}

/// A folder of a test's own, in which the program runs.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// Sets a variable of the environment for what runs here from now on.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.unset(name);
        self.variables.push((name, value.to_owned()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| *known != name);
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a command run in this folder, with what is set for it.
    pub(crate) fn place(&self, command: &mut Command) {
        command.current_dir(self.folder());
        let variables = self.variables.iter();
        command.envs(variables.map(|(name, value)| (name, value)));
    }

    /// Returns the program with the words of a line.
    pub(crate) fn command(&self, line: &str) -> Command {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = satchel(&words);
        self.place(&mut command);
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::of(self.command(line).output().unwrap())
    }

    /// Returns what is printed where the program ends with this code; fails where it does not.
    #[track_caller]
    pub(crate) fn ends(&self, line: &str, exit: i32) -> String {
        let Ran {
            exit: ended,
            stdout,
            stderr,
        } = self.run(line);
        assert_eq!(ended, exit, "{line}: {stdout}{stderr}");
        stdout
    }

    #[track_caller]
    pub(crate) fn done(&self, line: &str) -> String {
        self.ends(line, 0)
    }

    /// Returns the JSON object that is printed where the program ends with this code.
    #[track_caller]
    pub(crate) fn told(&self, line: &str, exit: i32) -> Value {
        let ran = self.run(&format!("{line} --json"));
        assert_eq!(ran.exit, exit, "{line}: {}{}", ran.stdout, ran.stderr);
        ran.json()
    }

    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        self.told(line, 0)
    }

    /// Returns the code of the exit and of the error.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str) -> (i32, String) {
        let ran = self.run(&format!("{line} --json"));
        (ran.exit, ran.error_code())
    }

    /// Returns the text of a repository's JSON listing of who holds a role.
    pub(crate) fn keys_of(&self, role: &str) -> Vec<String> {
        let listed = self.json("keys list repo");
        let roles = listed["roles"].as_array().unwrap();
        let role = roles.iter().find(|listed| listed["role"] == role).unwrap();
        let keys = role["keys"].as_array().unwrap().iter();
        keys.map(|key| key["key"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// A program that serves until it is ended.
pub(crate) struct Running {
    child: Child,
    pub url: String,
}

impl Running {
    /// Starts it and waits until it says where it listens.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
        match url {
            Some(url) => Running { child, url },
            None => {
                let _ = child.kill();
                panic!("it does not listen: {line:?}: {:?}", child.wait())
            }
        }
    }

    /// Asks it to end, as systems do, and shows that it ends by itself and well.
    #[cfg(unix)]
    pub(crate) fn terminate(mut self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every key that a program may come to rely on stands in the book.
#[track_caller]
fn assert_documented(value: &Value) {
    match value {
        Value::Array(values) => values.iter().for_each(assert_documented),
        Value::Object(members) => {
            for (key, value) in members {
                let page = include_str!("../../../../docs/src/json.md");
                let is_there = page.contains(&format!("`{key}`"));
                assert!(is_there, "{key} is not documented");
                // Those of a catalogue, and of what a demo measured, have pages of their own.
                if !(key == "figures" || key == "releases" && value.is_array()) {
                    assert_documented(value);
                }
            }
        }
        _ => {}
    }
}
