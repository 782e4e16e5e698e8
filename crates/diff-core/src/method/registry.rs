use super::bsdiff::Bsdiff;
use super::light::Light;
use super::solid::Solid;
use super::store::Store;
use super::zstd::Zstd;
use super::{Codec, Method};

/// Returns the encoder and decoder of `method`.
pub(crate) fn codec(method: Method) -> &'static dyn Codec {
    match method {
        Method::Store => &Store,
        Method::Zstd => &Zstd,
        Method::Bsdiff => &Bsdiff,
        Method::Solid => &Solid,
        Method::Light => &Light,
    }
}
