//! A device that serves its neighbours, without HTTP between.

use std::sync::Arc;

use updater_client::{Body, Mirror, Missing, Transport, TransportError};

/// A mirror as its neighbours see it.
pub struct Near(Arc<Mirror>);

impl Near {
    /// Returns the transport to `mirror`.
    pub fn of(mirror: &Arc<Mirror>) -> Near {
        Near(Arc::clone(mirror))
    }
}

impl Transport for Near {
    fn open(&self, location: &str, from: u64) -> Result<Body, TransportError> {
        let failed = |why: Missing| match why {
            Missing::Absent => TransportError::Absent {
                location: location.to_owned(),
            },
            why => TransportError::Unreadable {
                location: location.to_owned(),
                reason: why.to_string(),
            },
        };
        let served = self.0.open_at(location, from).map_err(failed)?;
        let total = served.length().map_err(failed)?;
        Ok(Body {
            reader: served.reader(from).unwrap(),
            starts_at: from,
            total,
            content_type: None,
        })
    }

    fn address(&self) -> String {
        "the laptop".to_owned()
    }
}
