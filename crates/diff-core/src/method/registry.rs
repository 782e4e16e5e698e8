use super::bsdiff::Bsdiff;
use super::light::LIGHT;
use super::solid::SOLID;
use super::store::Store;
use super::zstd::Zstd;
use super::{Codec, Method};

/// Returns the encoder and decoder of `method`.
pub(crate) fn codec(method: Method) -> &'static dyn Codec {
    match method {
        Method::Store => &Store,
        Method::Zstd => &Zstd,
        Method::Bsdiff => &Bsdiff,
        Method::Solid => &SOLID,
        Method::Light => &LIGHT,
    }
}
