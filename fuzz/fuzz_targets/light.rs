//! Any bytes that are taken for a frame of the method light decode to what was announced, or are refused.
#![no_main]

mod container_tree;
mod forged;
mod made;

use forged::{LIGHT, only_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| only_frame(LIGHT, bytes));
