//! Policy information: entities that are stored, and one service that knows more about subjects.
//!
//! Stored facts outrank those of the service, and these outrank what the asking side says.

pub mod http;
mod source;
mod store;

use ::store::StoreError;
use policy::{Directory, EntityRef, EntitySpec, Question};
use serde::{Deserialize, Serialize};

pub use source::HttpAttributes;
pub use store::all;

use crate::error::Refused;
use crate::live::TOPIC;
use crate::{Cx, SharedEntitlement, policies};

/// Entities to write and to remove, all or none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    #[serde(default)]
    pub put: Vec<EntitySpec>,
    #[serde(default)]
    pub delete: Vec<EntityRef>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub written: usize,
    pub deleted: usize,
    pub revision: i64,
}

/// Changes entities. Each must fit the schema of the policies in force.
pub async fn apply(cx: &mut Cx, change: &Change) -> Result<Changed, Refused> {
    // Checked against what is in force now, and written only if that is still in force then.
    let live = cx.entitlement.live.get(&cx.entitlement).await?;
    let fitting = Directory::new(live.engine.policies(), &change.put).map_err(Refused::Entities)?;
    let room = policy::Limits::default().entities;
    if store::count(cx).await?.saturating_add(fitting.len()) > room {
        return Err(Refused::Entities(vec![format!("at most {room} entities are kept")]));
    }
    let revision = policies::touch_entities(&mut cx.tx, live.activation).await?;
    let revision = revision.ok_or(Refused::Conflict("the policies were changed at the same moment; try again"))?;
    for spec in &change.put {
        store::put(cx, spec, revision).await?;
    }
    let mut deleted = 0;
    for entity in &change.delete {
        deleted += usize::from(store::delete(cx, entity, revision).await?);
    }
    cx.tx.notify(TOPIC);
    Ok(Changed { written: change.put.len(), deleted, revision })
}

pub async fn find(cx: &mut Cx, entity: &EntityRef) -> Result<EntitySpec, Refused> {
    store::find(cx, entity).await?.ok_or(Refused::NotFound("entity"))
}

/// By type and id, at most 1000 after the entity `after`.
pub async fn list(cx: &mut Cx, after: Option<&EntityRef>) -> Result<Vec<EntitySpec>, StoreError> {
    store::page(cx, after).await
}

/// Adds what the service knows of the subject.
///
/// # Errors
/// If it does not answer and the rule is to deny then; the text is for the decision's errors.
pub async fn enrich(entitlement: &SharedEntitlement, question: &mut Question) -> Result<(), String> {
    let Some(source) = &entitlement.source else { return Ok(()) };
    let subject = &mut question.subject;
    let known = source.attributes(&subject.kind, &subject.id, &entitlement.metrics).await;
    match known {
        Ok(known) => {
            for (name, value) in known.iter() {
                subject.properties.insert(name.clone(), value.clone());
            }
            Ok(())
        }
        Err(_) if source.ignores_failure() => Ok(()),
        Err(why) => Err(format!("the attributes of the subject are not known: {why}")),
    }
}
