/// Returns a hash of what makes a context.
#[inline]
pub(crate) fn hash(salt: u32, a: u32, b: u32) -> u32 {
    let mixed = (a ^ salt.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ mixed >> 15 ^ b.wrapping_mul(0x27d4_eb2f)).wrapping_mul(0xc2b2_ae35);
    mixed ^ mixed >> 16
}
