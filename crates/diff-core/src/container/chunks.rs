/// Goes through the IDAT chunks that follow one another from a place on: yields the body of each and
/// where the chunk ends.
pub(crate) struct Bodies<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Bodies<'a> {
    /// Returns the chunks of `file` from the one whose length field stands at `at`.
    pub(crate) fn new(file: &'a [u8], at: usize) -> Bodies<'a> {
        Bodies { file, at }
    }
}

impl<'a> Iterator for Bodies<'a> {
    type Item = (&'a [u8], usize);

    fn next(&mut self) -> Option<(&'a [u8], usize)> {
        let (length, rest) = self.file.get(self.at..)?.split_first_chunk()?;
        let body = rest.strip_prefix(b"IDAT")?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (body, crc) = body.split_at_checked(length)?;
        crc.first_chunk::<4>()?;
        self.at += 12 + length;
        Some((body, self.at))
    }
}
