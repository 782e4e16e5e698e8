/// Codes row after row.
pub(super) trait Picture<C> {
    /// Codes the number of the next row's filter, or reads and returns another.
    fn filter(&mut self, filter: u8) -> u8;

    /// Codes the next row, without its filter, or reads another in its place.
    fn row(&mut self, row: &mut [u8]);

    /// Returns the row that was coded last and the one above it.
    fn last(&self) -> [&[u8]; 2];

    /// Returns what the decisions went to or came from.
    fn coder(&self) -> &C;

    fn into_coder(self: Box<Self>) -> C;
}
