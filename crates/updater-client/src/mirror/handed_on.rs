use release_format::{Receipted, Refusal, receipts_of};

use super::Mirror;
use crate::UpdateError;
use crate::library::outbox::Outbox;

impl Mirror {
    /// Takes receipts of neighbours, one a line, to hand them on when this device reports.
    ///
    /// They are kept with the device's own until whoever counts them has them. What this mirror answers
    /// is what a collector would: the neighbour need not send them again.
    ///
    /// # Errors
    /// [`UpdateError`] when they cannot be kept: none is then acknowledged.
    pub fn take_receipts(&self, body: &[u8]) -> Result<Receipted, UpdateError> {
        let (receipts, mut answer) = receipts_of(body);
        let names: Vec<String> = receipts.iter().map(|receipt| receipt.name()).collect();
        let _taking = self.taking();
        let kept = Outbox::new(&*self.disk, &self.layout).take(receipts)?;
        answer
            .accepted
            .extend(kept.iter().map(|receipt| receipt.name()));
        for name in names.into_iter().skip(kept.len()) {
            answer.refuse(name, Refusal::Room);
        }
        Ok(answer)
    }
}
