//! THE LIST of roles: what one process can be. Together they talk as they do apart, by standard messages.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Identity,
    Entitlement,
    Management,
    Gateway,
}

/// In starting order: a role starts after those whose answers it asks for. They stop in the reverse order,
/// so that nothing that is still being served misses its peer.
const ROLES: [Role; 4] = [Role::Entitlement, Role::Identity, Role::Management, Role::Gateway];

impl Role {
    pub fn all() -> Vec<Self> {
        ROLES.to_vec()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Entitlement => "entitlement",
            Self::Management => "management",
            Self::Gateway => "gateway",
        }
    }
}

/// As given, once each, in starting order.
pub fn in_order(given: &[Role]) -> Vec<Role> {
    ROLES.into_iter().filter(|role| given.contains(role)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_start_in_the_order_of_the_list() {
        assert_eq!(in_order(&[Role::Gateway, Role::Identity, Role::Gateway]), [Role::Identity, Role::Gateway]);
        let given = [Role::Gateway, Role::Management, Role::Identity];
        assert_eq!(in_order(&given), [Role::Identity, Role::Management, Role::Gateway]);
        assert_eq!(in_order(&[Role::Identity, Role::Entitlement]), [Role::Entitlement, Role::Identity]);
    }
}
