//! The tables `people`, `organisations`, `members` and `invitations`.

use base::Time;
use store::{Row, StoreError, params};

use crate::Cx;
use crate::actor::{Membership, Role};

/// A person as the identity system told of them last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Human {
    pub id: String,
    pub name: String,
    pub email: Option<String>,
    pub created_at: Time,
    pub seen_at: Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    pub id: String,
    pub name: String,
    pub created_at: Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub person: String,
    pub name: String,
    pub email: Option<String>,
    pub role: Role,
    pub since: Time,
    pub seen_at: Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub id: String,
    pub organisation: String,
    pub role: Role,
    /// For whom it is.
    pub note: String,
    pub invited_by: String,
    pub created_at: Time,
    pub expires_at: Time,
}

/// The id of the person, which is `new` if they had not been here. Others who insert the same wait here.
pub(super) async fn arrive(
    cx: &mut Cx,
    new: &str,
    (issuer, subject): (&str, &str),
    name: &str,
    email: Option<&str>,
) -> Result<String, StoreError> {
    let sql = "INSERT INTO people (person, issuer, subject, name, email, created_at, seen_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        ON CONFLICT (issuer, subject) DO UPDATE SET name = $4, email = $5, seen_at = $6 RETURNING person";
    let row = cx.tx.one(sql, &params![new, issuer, subject, name, email, cx.now]).await?;
    row.ok_or(StoreError::Invalid)?.string("person")
}

pub async fn human(cx: &mut Cx, id: &str) -> Result<Option<Human>, StoreError> {
    let sql = "SELECT person, name, email, created_at, seen_at FROM people WHERE person = $1";
    cx.tx.read_one(sql, &params![id]).await?.as_ref().map(read_human).transpose()
}

fn read_human(row: &Row) -> Result<Human, StoreError> {
    Ok(Human {
        id: row.string("person")?,
        name: row.string("name")?,
        email: row.opt_string("email")?,
        created_at: row.time("created_at")?,
        seen_at: row.time("seen_at")?,
    })
}

pub(super) async fn id_of(cx: &mut Cx, issuer: &str, subject: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT person FROM people WHERE issuer = $1 AND subject = $2";
    cx.tx.read_one(sql, &params![issuer, subject]).await?.map(|row| row.string("person")).transpose()
}

/// In the order in which they came; `after` is the id of the last one seen.
pub async fn list_people(cx: &mut Cx, after: &str, limit: i64) -> Result<Vec<Human>, StoreError> {
    let sql = "SELECT person, name, email, created_at, seen_at FROM people WHERE person > $1 ORDER BY person LIMIT $2";
    cx.tx.read(sql, &params![after, limit]).await?.iter().map(read_human).collect()
}

/// Roles that this version does not know are no memberships.
pub(super) async fn memberships(cx: &mut Cx, person: &str) -> Result<Vec<Membership>, StoreError> {
    let sql = "SELECT organisation, role FROM members WHERE person = $1 ORDER BY since, organisation";
    let mut found = Vec::new();
    for row in cx.tx.read(sql, &params![person]).await? {
        if let Some(role) = Role::parse(row.text("role")?) {
            found.push(Membership { organisation: row.string("organisation")?, role });
        }
    }
    Ok(found)
}

/// False if there is one of this id.
pub(super) async fn insert_organisation(cx: &mut Cx, id: &str, name: &str) -> Result<bool, StoreError> {
    let sql = "INSERT INTO organisations (organisation, name, created_at) VALUES ($1, $2, $3)
        ON CONFLICT (organisation) DO NOTHING";
    Ok(cx.tx.execute(sql, &params![id, name, cx.now]).await? == 1)
}

pub(super) async fn rename(cx: &mut Cx, id: &str, name: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE organisations SET name = $2 WHERE organisation = $1";
    Ok(cx.tx.execute(sql, &params![id, name]).await? == 1)
}

/// Who changes the members of one organisation does so one after the other.
pub(super) async fn lock(cx: &mut Cx, id: &str) -> Result<Option<()>, StoreError> {
    let sql = "UPDATE organisations SET name = name WHERE organisation = $1";
    Ok((cx.tx.execute(sql, &params![id]).await? == 1).then_some(()))
}

pub async fn organisation_name(cx: &mut Cx, id: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT name FROM organisations WHERE organisation = $1";
    cx.tx.read_one(sql, &params![id]).await?.map(|row| row.string("name")).transpose()
}

pub async fn organisation(cx: &mut Cx, id: &str) -> Result<Option<Organisation>, StoreError> {
    let sql = "SELECT organisation, name, created_at FROM organisations WHERE organisation = $1";
    cx.tx.read_one(sql, &params![id]).await?.as_ref().map(read_organisation).transpose()
}

fn read_organisation(row: &Row) -> Result<Organisation, StoreError> {
    Ok(Organisation { id: row.string("organisation")?, name: row.string("name")?, created_at: row.time("created_at")? })
}

/// By id; `after` is the id of the last one seen.
pub async fn list_organisations(cx: &mut Cx, after: &str, limit: i64) -> Result<Vec<Organisation>, StoreError> {
    let sql = "SELECT organisation, name, created_at FROM organisations WHERE organisation > $1
        ORDER BY organisation LIMIT $2";
    cx.tx.read(sql, &params![after, limit]).await?.iter().map(read_organisation).collect()
}

/// By a piece of the name, or by id.
pub async fn search_organisations(cx: &mut Cx, text: &str, limit: i64) -> Result<Vec<Organisation>, StoreError> {
    let sql = "SELECT organisation, name, created_at FROM organisations
        WHERE LOWER(name) LIKE $1 ESCAPE '!' OR organisation = $2 ORDER BY name, organisation LIMIT $3";
    let values = params![crate::registry::containing(text), text, limit];
    cx.tx.read(sql, &values).await?.iter().map(read_organisation).collect()
}

/// Those of a person, by id.
pub async fn organisations_of(
    cx: &mut Cx,
    person: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Organisation>, StoreError> {
    let sql = "SELECT o.organisation, o.name, o.created_at FROM organisations o
        JOIN members m ON m.organisation = o.organisation
        WHERE m.person = $1 AND o.organisation > $2 ORDER BY o.organisation LIMIT $3";
    cx.tx.read(sql, &params![person, after, limit]).await?.iter().map(read_organisation).collect()
}

pub(super) async fn set_member(cx: &mut Cx, organisation: &str, person: &str, role: Role) -> Result<(), StoreError> {
    let sql = "INSERT INTO members (organisation, person, role, since) VALUES ($1, $2, $3, $4)
        ON CONFLICT (organisation, person) DO UPDATE SET role = $3";
    cx.tx.execute(sql, &params![organisation, person, role.as_str(), cx.now]).await?;
    Ok(())
}

pub(super) async fn remove_member(cx: &mut Cx, organisation: &str, person: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM members WHERE organisation = $1 AND person = $2";
    cx.tx.execute(sql, &params![organisation, person]).await?;
    Ok(())
}

/// Behind the organisation's lock, so as a statement that may write.
pub(super) async fn role_of(cx: &mut Cx, organisation: &str, person: &str) -> Result<Option<Role>, StoreError> {
    let sql = "SELECT role FROM members WHERE organisation = $1 AND person = $2";
    let row = cx.tx.one(sql, &params![organisation, person]).await?;
    Ok(row.map(|row| row.string("role")).transpose()?.and_then(|role| Role::parse(&role)))
}

pub(super) async fn count(cx: &mut Cx, organisation: &str, role: Role) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) AS many FROM members WHERE organisation = $1 AND role = $2";
    cx.tx.one(sql, &params![organisation, role.as_str()]).await?.map_or(Ok(0), |row| row.int("many"))
}

/// Those who have been here longest first.
pub async fn members(cx: &mut Cx, organisation: &str) -> Result<Vec<Member>, StoreError> {
    let sql = "SELECT m.person, p.name, p.email, m.role, m.since, p.seen_at FROM members m
        JOIN people p ON p.person = m.person WHERE m.organisation = $1 ORDER BY m.since, m.person";
    let mut found = Vec::new();
    for row in cx.tx.read(sql, &params![organisation]).await? {
        let Some(role) = Role::parse(row.text("role")?) else { continue };
        found.push(Member {
            person: row.string("person")?,
            name: row.string("name")?,
            email: row.opt_string("email")?,
            role,
            since: row.time("since")?,
            seen_at: row.time("seen_at")?,
        });
    }
    Ok(found)
}

pub(super) async fn insert_invitation(cx: &mut Cx, new: &Invitation, hash: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO invitations
        (invitation, organisation, role, note, token_hash, invited_by, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let role = new.role.as_str();
    let values = params![
        new.id.as_str(),
        new.organisation.as_str(),
        role,
        new.note.as_str(),
        hash,
        new.invited_by.as_str(),
        new.created_at,
        new.expires_at
    ];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

/// What can still be taken, the newest first.
pub async fn invitations(cx: &mut Cx, organisation: &str) -> Result<Vec<Invitation>, StoreError> {
    let sql = "SELECT invitation, organisation, role, note, invited_by, created_at, expires_at FROM invitations
        WHERE organisation = $1 AND used_at IS NULL AND expires_at > $2 ORDER BY created_at DESC, invitation DESC";
    let rows = cx.tx.read(sql, &params![organisation, cx.now]).await?;
    rows.iter().map(read_invitation).collect()
}

pub(super) async fn find_invitation(cx: &mut Cx, hash: &str) -> Result<Option<Invitation>, StoreError> {
    let sql = "SELECT invitation, organisation, role, note, invited_by, created_at, expires_at FROM invitations
        WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2";
    cx.tx.read_one(sql, &params![hash, cx.now]).await?.as_ref().map(read_invitation).transpose()
}

/// Once: of two who come at the same moment one gets it.
pub(super) async fn take_invitation(cx: &mut Cx, hash: &str, person: &str) -> Result<Option<Invitation>, StoreError> {
    let sql = "UPDATE invitations SET used_at = $2, used_by = $3
        WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2
        RETURNING invitation, organisation, role, note, invited_by, created_at, expires_at";
    cx.tx.one(sql, &params![hash, cx.now, person]).await?.as_ref().map(read_invitation).transpose()
}

fn read_invitation(row: &Row) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        id: row.string("invitation")?,
        organisation: row.string("organisation")?,
        role: Role::parse(row.text("role")?).ok_or(StoreError::Invalid)?,
        note: row.string("note")?,
        invited_by: row.string("invited_by")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}

pub(super) async fn remove_invitation(cx: &mut Cx, organisation: &str, id: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM invitations WHERE organisation = $1 AND invitation = $2 AND used_at IS NULL";
    Ok(cx.tx.execute(sql, &params![organisation, id]).await? == 1)
}

/// Those that somebody made and nobody has taken; how many.
pub(super) async fn withdraw_of(cx: &mut Cx, organisation: &str, by: &str) -> Result<u64, StoreError> {
    let sql = "DELETE FROM invitations WHERE organisation = $1 AND invited_by = $2 AND used_at IS NULL";
    cx.tx.execute(sql, &params![organisation, by]).await
}

pub(super) async fn count_owned(cx: &mut Cx, person: &str) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) AS many FROM members WHERE person = $1 AND role = 'owner'";
    cx.tx.one(sql, &params![person]).await?.map_or(Ok(0), |row| row.int("many"))
}

pub(super) async fn forget_invitations(cx: &mut Cx, before: Time) -> Result<(), StoreError> {
    let sql = "DELETE FROM invitations WHERE expires_at < $1";
    cx.tx.execute(sql, &params![before]).await?;
    Ok(())
}
