//! The parallelism of each operator, and the workers of its instances.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Placement, Topology};
use crate::id::OperatorId;

/// Operator to parallelism, for every operator of a job; where instances share workers, also the
/// worker of each instance.
///
/// Written as an object with a number for each operator, and an entry `placement` if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    parallelism: BTreeMap<OperatorId, u32>,
    placement: Option<Placement>,
}

impl Configuration {
    /// Every operator of `topology` with one instance, without a placement.
    pub fn ones(topology: &Topology) -> Configuration {
        Configuration { parallelism: topology.operators().iter().map(|operator| (operator.id, 1)).collect(), placement: None }
    }

    /// Parallelism of `operator`.
    ///
    /// # Panics
    /// If the operator is not part of this configuration.
    pub fn parallelism(&self, operator: OperatorId) -> u32 {
        self.parallelism[&operator]
    }

    /// The same configuration with `instances` instances of `operator`. Where there is a placement,
    /// those that stay keep their workers, and new ones are [spread](Placement::spread).
    pub fn with(mut self, operator: OperatorId, instances: u32) -> Configuration {
        self.parallelism.insert(operator, instances);
        if let Some(placement) = &mut self.placement {
            placement.resize(operator, instances);
        }
        self
    }

    /// The same configuration on `workers` workers, [spread](Placement::spread) over them.
    ///
    /// # Panics
    /// Without workers, or if the configuration is of another topology.
    pub fn spread_over(mut self, topology: &Topology, workers: u32) -> Configuration {
        self.placement = Some(Placement::spread(topology, &self.parallelism, workers));
        self
    }

    /// The same configuration, placed like this.
    ///
    /// # Panics
    /// If an operator that the placement lists has another number of instances.
    pub fn placed(mut self, placement: Placement) -> Configuration {
        let fits = |(id, instances): (&OperatorId, &u32)| placement.of(*id).is_empty() || placement.of(*id).len() == *instances as usize;
        assert!(self.parallelism.iter().all(fits), "a placement has a worker for each instance");
        self.placement = Some(placement);
        self
    }

    /// Which worker hosts each instance; `None` where the host does not say, or instances have
    /// capacity of their own.
    pub fn placement(&self) -> Option<&Placement> {
        self.placement.as_ref()
    }

    /// All operators and their parallelism, by operator.
    pub fn iter(&self) -> impl Iterator<Item = (OperatorId, u32)> + '_ {
        self.parallelism.iter().map(|(&operator, &instances)| (operator, instances))
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parallelism.values().map(u32::to_string).collect();
        write!(f, "{}", parts.join("/"))
    }
}

/// The entry of the placement beside those of operators.
const PLACEMENT: &str = "placement";

impl Serialize for Configuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entries = self.parallelism.len() + usize::from(self.placement.is_some());
        let mut map = serializer.serialize_map(Some(entries))?;
        self.parallelism.iter().try_for_each(|(id, instances)| map.serialize_entry(&id.0.to_string(), instances))?;
        if let Some(placement) = &self.placement {
            map.serialize_entry(PLACEMENT, placement)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Configuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Configuration, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Configuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers of operators with their parallelism")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Configuration, A::Error> {
                let mut configuration = Configuration::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == PLACEMENT {
                        configuration.placement = Some(map.next_value()?);
                        continue;
                    }
                    let id = key.parse().map_err(|_| A::Error::custom(format!("expected the number of an operator, found '{key}'")))?;
                    configuration.parallelism.insert(OperatorId(id), map.next_value()?);
                }
                match &configuration.placement {
                    Some(placement) if !placement.fits(&configuration.parallelism) => {
                        Err(A::Error::custom(format!("expected one of {} workers for each instance", placement.workers())))
                    }
                    _ => Ok(configuration),
                }
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::Role;

    #[test]
    fn it_is_written_as_before_and_reads_back_with_its_placement() {
        let operators = [("source", Role::Source, 1), ("map", Role::Stateless, 4)];
        let topology = Topology::new(&operators, &[(0, 1)]).unwrap();
        let plain = Configuration::ones(&topology).with(OperatorId(1), 2);
        let json = |configuration: &Configuration| serde_json::to_string(configuration).unwrap();
        assert_eq!(json(&plain), r#"{"0":1,"1":2}"#);
        let placed = plain.clone().spread_over(&topology, 2);
        assert_eq!(json(&placed), r#"{"0":1,"1":2,"placement":{"workers":2,"places":{"0":[0],"1":[1,0]}}}"#);
        for configuration in [plain, placed] {
            assert_eq!(serde_json::from_str::<Configuration>(&json(&configuration)).unwrap(), configuration);
        }
        for places in [r#"{"1":[1,2]}"#, r#"{"1":[1]}"#, r#"{"2":[1]}"#] {
            let text = format!(r#"{{"0":1,"1":2,"placement":{{"workers":2,"places":{places}}}}}"#);
            let wrong = serde_json::from_str::<Configuration>(&text).unwrap_err().to_string();
            assert!(wrong.starts_with("expected one of 2 workers for each instance"), "{wrong}");
        }
        let wrong = serde_json::from_str::<Configuration>(r#"{"map":1}"#).unwrap_err().to_string();
        assert!(wrong.starts_with("expected the number of an operator, found 'map'"), "{wrong}");
    }
}
