//! The tables `people`, `organisations` and `members`.

use base::ids::UserId;
use store::{StoreError, params};

use crate::actor::{Membership, Person, Role};
use crate::{Cx, PROVIDER};

pub(crate) async fn person(cx: &mut Cx, id: &str) -> Result<Option<Person>, StoreError> {
    let Some(row) = cx.tx.read_one("SELECT name FROM people WHERE person = $1", &params![id]).await? else {
        return Ok(None);
    };
    let name = row.string("name")?;
    let sql = "SELECT organisation, role FROM members WHERE person = $1 ORDER BY since, organisation";
    let mut memberships = Vec::new();
    for row in cx.tx.read(sql, &params![id]).await? {
        if let Some(role) = Role::parse(row.text("role")?) {
            memberships.push(Membership { organisation: row.string("organisation")?, role });
        }
    }
    Ok(Some(Person { id: id.to_owned(), name, memberships }))
}

pub(crate) async fn organisation_name(cx: &mut Cx, id: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT name FROM organisations WHERE organisation = $1";
    cx.tx.read_one(sql, &params![id]).await?.map(|row| row.string("name")).transpose()
}

/// The person's id, and whether they are here for the first time.
pub(super) async fn arrive(
    cx: &mut Cx,
    issuer: &str,
    subject: &str,
    name: &str,
    email: Option<&str>,
) -> Result<(String, bool), StoreError> {
    let sql = "INSERT INTO people (person, issuer, subject, name, email, created_at, seen_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        ON CONFLICT (issuer, subject) DO UPDATE SET name = $4, email = $5, seen_at = $6 RETURNING person";
    let id = UserId::random();
    let row = cx.tx.one(sql, &params![id.as_str(), issuer, subject, name, email, cx.now]).await?;
    let row = row.ok_or_else(|| StoreError::Bug("an insert that gives no row".into()))?;
    let found = row.string("person")?;
    let is_new = found == id.as_str();
    Ok((found, is_new))
}

pub(super) async fn make_organisation(cx: &mut Cx, name: &str) -> Result<String, StoreError> {
    let id = UserId::random().as_str().to_owned();
    let sql = "INSERT INTO organisations (organisation, name, created_at) VALUES ($1, $2, $3)";
    cx.tx.execute(sql, &params![&id, name, cx.now]).await?;
    Ok(id)
}

pub(super) async fn set_member(cx: &mut Cx, organisation: &str, person: &str, role: Role) -> Result<(), StoreError> {
    if organisation == PROVIDER {
        let sql = "INSERT INTO organisations (organisation, name, created_at) VALUES ($1, 'Provider', $2)
            ON CONFLICT (organisation) DO NOTHING";
        cx.tx.execute(sql, &params![PROVIDER, cx.now]).await?;
    }
    let sql = "INSERT INTO members (organisation, person, role, since) VALUES ($1, $2, $3, $4)
        ON CONFLICT (organisation, person) DO UPDATE SET role = $3";
    cx.tx.execute(sql, &params![organisation, person, role.as_str(), cx.now]).await?;
    Ok(())
}
