//! Who may say what: The Update Framework's roles and client workflow, over bytes and a given time.

pub(crate) mod canonical;
pub(crate) mod canonical_form;
pub(crate) mod draft;
pub(crate) mod error;
pub(crate) mod grace;
pub(crate) mod key;
pub(crate) mod limits;
pub(crate) mod log_entry;
pub(crate) mod log_head;
pub(crate) mod meta_file;
pub(crate) mod patch;
pub(crate) mod pattern;
#[cfg(feature = "ecdsa-rsa")]
pub(crate) mod pem_key;
pub(crate) mod request;
pub(crate) mod role;
pub(crate) mod search;
pub(crate) mod sha256;
pub(crate) mod signed;
pub(crate) mod targets;
#[cfg(test)]
mod testing;
pub(crate) mod trusted;
