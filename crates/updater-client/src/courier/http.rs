use std::io::Read;

use release_format::{Receipted, SignedReceipt};

use super::Courier;
use crate::UpdateError;
use crate::transport::{HttpTransport, TransportError};

/// Sends receipts to a collector, or to a neighbour who hands them on, over HTTP or HTTPS.
pub struct HttpCourier {
    transport: HttpTransport,
    token: Option<String>,
}

impl HttpCourier {
    /// Returns the courier to the collector behind `transport`.
    pub fn new(transport: HttpTransport) -> HttpCourier {
        HttpCourier {
            transport,
            token: None,
        }
    }

    /// Shows `token` to the collector, where it asks for one.
    pub fn token(mut self, token: impl Into<String>) -> HttpCourier {
        self.token = Some(token.into());
        self
    }
}

/// One document of JSON a line.
const LINES: &str = "application/x-ndjson";

impl Courier for HttpCourier {
    fn carry(&self, receipts: &[SignedReceipt]) -> Result<Receipted, UpdateError> {
        let mut body = Vec::new();
        for receipt in receipts {
            body.extend_from_slice(&receipt.encode());
            body.push(b'\n');
        }
        let token = self.token.as_deref();
        let answered = self
            .transport
            .post(Receipted::LOCATION, LINES, token, body)?;
        let mut bytes = Vec::new();
        let reader = answered.reader;
        reader
            .take(Receipted::MAX_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|failed| TransportError::from_body(Receipted::LOCATION, failed))?;
        let address = self.address();
        Receipted::decode(&bytes).ok_or_else(|| {
            let reason = "it does not answer as a collector of receipts does".to_owned();
            TransportError::Unreachable { address, reason }.into()
        })
    }

    fn address(&self) -> String {
        crate::transport::Transport::address(&self.transport)
    }
}
