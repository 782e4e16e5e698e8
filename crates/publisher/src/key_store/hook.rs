use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use release_format::{PublicKey, Signer, SignerError};
use serde_json::{Value, json};

/// A key that a program holds for us: a KMS, an HSM, a smart card.
///
/// The program is started for each request, without a shell. It reads one line of JSON from stdin and
/// prints one to stdout:
///
/// | request | answer |
/// |---|---|
/// | `{"schema":1,"operation":"public-key"}` | `{"schema":1,"scheme":"ed25519","public":"<64 hexadecimal digits>"}` |
/// | `{"schema":1,"operation":"sign","public":"..","message":"<hexadecimal>"}` | `{"schema":1,"signature":"<128 hexadecimal digits>"}` |
///
/// It may answer `{"schema":1,"error":"..."}` instead, or exit with another code than 0. Its stderr is
/// ours, for whatever it has to say to a person. No signature is used that does not verify.
pub struct HookSigner {
    command: HookCommand,
    public: PublicKey,
    public_hex: String,
}

impl HookSigner {
    /// Asks the program and arguments in `line`, which spaces part, for its public key.
    ///
    /// # Errors
    /// [`SignerError`] when it gives none in time.
    pub fn open(line: &str, timeout: Duration) -> Result<HookSigner, SignerError> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().ok_or_else(|| SignerError {
            reason: "exec: expected a program, found nothing".to_owned(),
        })?;
        let command = HookCommand {
            program,
            arguments: words.collect(),
            timeout,
        };
        let request = json!({ "schema": SCHEMA, "operation": "public-key" });
        let public_hex = command.ask(&request, "public", "public-key")?;
        let key = json!({
            "keytype": "ed25519",
            "scheme": "ed25519",
            "keyval": { "public": public_hex },
        });
        match PublicKey::from_json(&key) {
            public @ PublicKey::Ed25519(_) => Ok(HookSigner {
                command,
                public,
                public_hex,
            }),
            _ => Err(command.failed(format!(
                "expected an Ed25519 key of 64 hexadecimal digits, found {:?}",
                shortened(&public_hex)
            ))),
        }
    }
}

impl Signer for HookSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let request = json!({
            "schema": SCHEMA,
            "operation": "sign",
            "public": self.public_hex,
            "message": hex::encode(message),
        });
        let text = self.command.ask(&request, "signature", "sign")?;
        // A slot, a label or a PIN that leads to another key shows here, and not on the devices.
        match hex::decode(&text) {
            Ok(signature) if self.public.verifies(message, &signature) => Ok(signature),
            _ => Err(self.command.failed(format!(
                "expected a signature by the key {}, found {:?}",
                shortened(&self.public_hex),
                shortened(&text)
            ))),
        }
    }
}

impl fmt::Debug for HookSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookSigner({:?})", self.command.program)
    }
}

struct HookCommand {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
}

impl HookCommand {
    /// Returns the text `member` of the answer to `request`.
    fn ask(&self, request: &Value, member: &str, operation: &str) -> Result<String, SignerError> {
        let answer = self.run(request, operation)?;
        let wrong = |found: String| {
            let expected = format!("expected one line of JSON with schema {SCHEMA} and {member:?}");
            self.failed(format!("{operation}: {expected}, found {found}"))
        };
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| wrong(format!("{:?} ({error})", told(&answer))))?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            return Err(self.failed(format!("{operation}: {}", shortened(error))));
        }
        let text = answer.get(member).and_then(Value::as_str);
        match (answer.get("schema").and_then(Value::as_u64), text) {
            (Some(SCHEMA), Some(text)) => Ok(text.to_owned()),
            _ => Err(wrong(shortened(&answer.to_string()))),
        }
    }

    fn run(&self, request: &Value, operation: &str) -> Result<Vec<u8>, SignerError> {
        let failed = |error: io::Error| self.failed(format!("{operation}: {error}"));
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let deadline = Instant::now() + self.timeout;
        let answer = self.exchange(&mut child, request, deadline);
        let ended = match answer {
            Ok(_) => wait_until(&mut child, deadline).map_err(failed)?,
            Err(_) => None,
        };
        if ended.is_none() {
            // It may have ended by itself meanwhile, which is as good.
            let _ = child.kill();
            child.wait().map_err(failed)?;
        }
        let (answer, is_whole) = answer?;
        match ended {
            Some(status) if !status.success() => {
                Err(self.failed(format!("{operation}: expected exit code 0, found {status}")))
            }
            None => Err(self.late(operation)),
            Some(_) if !is_whole => Err(self.failed(format!(
                "{operation}: expected at most {MAX_ANSWER_BYTES} bytes, found more"
            ))),
            Some(_) => Ok(answer),
        }
    }

    /// Writes the request and reads the answer, each on a thread of its own: a program that reads
    /// nothing, or never ends, holds up nothing but itself.
    fn exchange(
        &self,
        child: &mut Child,
        request: &Value,
        deadline: Instant,
    ) -> Result<(Vec<u8>, bool), SignerError> {
        let operation = "the answer";
        if let Some(mut stdin) = child.stdin.take() {
            let line = format!("{request}\n");
            // One that answers without reading is as good as any other.
            thread::spawn(move || {
                stdin
                    .write_all(line.as_bytes())
                    .and_then(|()| stdin.flush())
            });
        }
        let stdout = child.stdout.take();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut answer = Vec::new();
            let read = stdout.map_or(Ok(0), |stdout| {
                stdout.take(MAX_ANSWER_BYTES + 1).read_to_end(&mut answer)
            });
            // Nobody waits for it any longer once the time is over.
            let _ = sender.send(read.map(|_| answer));
        });
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(Ok(answer)) => {
                let is_whole = answer.len() as u64 <= MAX_ANSWER_BYTES;
                Ok((answer, is_whole))
            }
            Ok(Err(error)) => Err(self.failed(format!("{operation}: {error}"))),
            Err(_) => Err(self.late(operation)),
        }
    }

    fn late(&self, operation: &str) -> SignerError {
        let limit = self.timeout.as_secs_f32();
        self.failed(format!(
            "{operation}: expected within {limit} s, found nothing"
        ))
    }

    fn failed(&self, what: String) -> SignerError {
        SignerError {
            reason: format!("exec:{}: {what}", self.program),
        }
    }
}

/// Returns how the program ended, or nothing where it has not in time.
fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        // Its stdout is closed: it is as good as gone.
        thread::park_timeout(POLL);
    }
}

fn told(bytes: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(bytes))
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(160).collect()
}

/// The version of the protocol.
const SCHEMA: u64 = 1;
/// A signature needs two hundred bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
const POLL: Duration = Duration::from_millis(2);
/// Time for a person to touch a card or to type a PIN.
pub(crate) const HOOK_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
