//! Who asks, and what they may do: the one place where rights are written.

/// An operator of the process, named by whoever stands guard at the operations listener. The program puts it
/// into the extensions of a request; [`crate::router::operator`] refuses where it is missing.
#[derive(Debug, Clone)]
pub struct Operator(pub String);

/// Who acts; what the audit log names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Nobody,
    System,
    /// A holder of the operator's token, by its name; may do everything.
    Operator(String),
    Gateway(String),
    Person(Person),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: String,
    pub name: String,
    pub memberships: Vec<Membership>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub organisation: String,
    pub role: Role,
}

/// Roles of members; the first three in the provider, the last two in any other organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Administrator,
    Publisher,
    Auditor,
    Owner,
    Developer,
}

/// What can be done on the provider's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// To see all APIs, plans, consumers, usage and the audit log.
    Read,
    /// To change APIs and plans, to publish, to approve.
    Publish,
    /// To change people, organisations and settings.
    Administer,
}

/// What can be done for an organisation that consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Share {
    /// To see its applications, subscriptions, usage and invoices.
    See,
    /// To change its applications and subscriptions.
    Develop,
    /// To change its members.
    Own,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Administrator, Self::Publisher, Self::Auditor, Self::Owner, Self::Developer];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Publisher => "publisher",
            Self::Auditor => "auditor",
            Self::Owner => "owner",
            Self::Developer => "developer",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether this role exists in the provider's organisation; the others exist everywhere else.
    pub fn is_provider(self) -> bool {
        matches!(self, Self::Administrator | Self::Publisher | Self::Auditor)
    }

    fn grants(self, right: Right) -> bool {
        match right {
            Right::Read => self.is_provider(),
            Right::Publish => matches!(self, Self::Administrator | Self::Publisher),
            Right::Administer => self == Self::Administrator,
        }
    }

    fn shares(self, share: Share) -> bool {
        match share {
            Share::See | Share::Develop => matches!(self, Self::Owner | Self::Developer),
            Share::Own => self == Self::Owner,
        }
    }
}

impl Actor {
    pub fn may(&self, right: Right) -> bool {
        match self {
            Self::Operator(_) | Self::System => true,
            Self::Person(person) => person
                .memberships
                .iter()
                .any(|member| member.organisation == crate::PROVIDER && member.role.grants(right)),
            Self::Nobody | Self::Gateway(_) => false,
        }
    }

    /// For an organisation of one's own; the provider's people see all, and its administrators do all.
    pub fn may_for(&self, organisation: &str, share: Share) -> bool {
        let by_right = match share {
            Share::See => Right::Read,
            Share::Develop | Share::Own => Right::Administer,
        };
        if self.may(by_right) {
            return true;
        }
        let Self::Person(person) = self else { return false };
        person.memberships.iter().any(|member| member.organisation == organisation && member.role.shares(share))
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::System => f.write_str("system"),
            Self::Operator(name) => write!(f, "operator:{name}"),
            Self::Gateway(name) => write!(f, "gateway:{name}"),
            Self::Person(person) => write!(f, "person:{}", person.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(organisation: &str, role: Role) -> Actor {
        let memberships = vec![Membership { organisation: organisation.to_owned(), role }];
        Actor::Person(Person { id: "p".to_owned(), name: "P".to_owned(), memberships })
    }

    #[test]
    fn rights_end_at_the_organisation() {
        let dev = member("acme", Role::Developer);

        assert!(dev.may_for("acme", Share::Develop));
        assert!(!dev.may_for("acme", Share::Own));
        assert!(!dev.may_for("other", Share::See));
        assert!(!dev.may(Right::Read));
        assert!(!member("acme", Role::Administrator).may(Right::Read), "a provider's role counts in the provider only");
        assert!(!member("acme", Role::Administrator).may_for("acme", Share::See));
    }

    #[test]
    fn the_provider_sees_all_and_its_administrator_does_all() {
        let auditor = member(crate::PROVIDER, Role::Auditor);
        let publisher = member(crate::PROVIDER, Role::Publisher);
        let administrator = member(crate::PROVIDER, Role::Administrator);

        assert!(auditor.may(Right::Read) && !auditor.may(Right::Publish));
        assert!(publisher.may(Right::Publish) && !publisher.may(Right::Administer));
        assert!(auditor.may_for("acme", Share::See) && !publisher.may_for("acme", Share::Develop));
        assert!(administrator.may_for("acme", Share::Own));
        assert!(!Actor::Gateway("g".to_owned()).may(Right::Read) && !Actor::Nobody.may(Right::Read));
    }
}
