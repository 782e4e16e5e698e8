use std::fs;
use std::io;
use std::path::Path;

use rusqlite::{Connection, params};

use super::prose::Prose;

/// Writes a database of questions to `path`; a `revised` one has some of them reworded.
pub(super) fn write(path: &Path, revised: bool) -> io::Result<()> {
    // A database that is there would be continued, and its bytes would tell.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fill(path, revised).map_err(io::Error::other),
    }
}

fn fill(path: &Path, revised: bool) -> rusqlite::Result<()> {
    let mut database = Connection::open(path)?;
    database.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         CREATE TABLE question (id INTEGER PRIMARY KEY, unit INTEGER, text TEXT, answer TEXT);
         CREATE INDEX question_by_unit ON question (unit);",
    )?;
    let rows = database.transaction()?;
    for id in 1..=QUESTIONS {
        let mut prose = Prose::new(&format!("question {id}"));
        rows.execute(
            "INSERT INTO question VALUES (?1, ?2, ?3, ?4)",
            params![id, id % 4 + 1, prose.sentence(), prose.sentence()],
        )?;
    }
    rows.commit()?;
    if revised {
        let rows = database.transaction()?;
        rows.execute(
            "UPDATE question SET answer = 'See lesson 3. ' || answer WHERE id % 50 = 7",
            [],
        )?;
        rows.commit()?;
    }
    database.close().map_err(|(_database, error)| error)
}

const QUESTIONS: u32 = 600;
