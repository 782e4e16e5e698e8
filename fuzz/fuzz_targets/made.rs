//! What applying makes, kept in memory.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use diff_core::{FileBytes, PlannedFile, Sink};

/// The files by their index in the plan.
#[derive(Default)]
pub struct Made(Mutex<BTreeMap<usize, Arc<Mutex<Vec<u8>>>>>);

impl Made {
    /// Returns the files in the order of their indices.
    pub fn into_files(self) -> Vec<Vec<u8>> {
        let files = self.0.into_inner().expect("nobody has panicked");
        let files = files.values();
        let bytes = files.map(|file| file.lock().expect("the same").clone());
        bytes.collect()
    }
}

impl Sink for Made {
    fn create(&self, index: usize, _file: &PlannedFile) -> io::Result<Box<dyn Write + Send>> {
        let file = Arc::<Mutex<Vec<u8>>>::default();
        let mut files = self.0.lock().expect("nobody has panicked");
        assert!(files.insert(index, Arc::clone(&file)).is_none());
        Ok(Box::new(File(file)))
    }

    fn read(&self, index: usize, _file: &PlannedFile) -> io::Result<FileBytes> {
        let files = self.0.lock().expect("nobody has panicked");
        let file = files.get(&index).expect("only what was made is read");
        let bytes = file.lock().expect("the same").clone();
        Ok(FileBytes::Owned(bytes))
    }
}

struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.0.lock().expect("nobody has panicked");
        file.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
