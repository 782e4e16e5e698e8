//! What a release consists of: its tree, and the containers that its bytes travel in.

pub(crate) mod archive;
mod binary;
pub(crate) mod chunk;
pub(crate) mod chunk_map;
pub(crate) mod cutting;
pub(crate) mod manifest;
mod zip_member;
