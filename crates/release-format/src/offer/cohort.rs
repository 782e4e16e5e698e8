use diff_core::Digest;

use crate::offer::device_id::DeviceId;

/// The buckets that devices are dealt into; a share takes the lowest.
pub(crate) const BUCKETS: u16 = 10_000;
/// The longest salt, in bytes.
pub(crate) const MAX_SALT_BYTES: usize = 64;

/// Returns the bucket that `salt` deals `device` into, 0 to 9999.
///
/// It is the first eight bytes of the BLAKE3 digest of salt and device id, as a little-endian number,
/// modulo 10,000.
pub(crate) fn bucket(salt: &str, device: &DeviceId) -> u16 {
    let digest = Digest::of(&[salt.as_bytes(), device.as_bytes()].concat());
    let (first, _) = digest
        .as_bytes()
        .split_first_chunk::<8>()
        .expect("a digest has 32 bytes");
    let bucket = u64::from_le_bytes(*first) % u64::from(BUCKETS);
    u16::try_from(bucket).expect("a remainder of 10,000 is below it")
}

/// Whether `text` has one spelling alone in JSON, and is short enough to be a salt.
pub(crate) fn is_salt(text: &str) -> bool {
    let printable = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    text.len() <= MAX_SALT_BYTES && text.bytes().all(printable)
}
