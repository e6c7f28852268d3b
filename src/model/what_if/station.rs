//! How one operator would work under a configuration.

/// How one operator would work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Station {
    /// Its instances; at least 1.
    pub instances: u32,
    /// Seconds that one instance takes for a record, waits for something outside included.
    pub service_s: f64,
    /// Records per second that all of them are to process.
    pub demand_per_s: f64,
    /// Load of the fullest instance over an even share; at least 1.
    pub fullest: f64,
}

impl Station {
    /// Busy part of the fullest instance.
    pub fn utilisation(&self) -> f64 {
        self.demand_per_s * self.service_s * self.fullest / f64::from(self.instances.max(1))
    }
}
