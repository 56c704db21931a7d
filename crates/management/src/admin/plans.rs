//! Plans in sets of resources.

use base::problem::FieldError;
use catalog::published::Document;

use crate::cx::Cx;
use crate::error::Refused;
use crate::plans;

/// Behind the APIs that they are for. A plan that is not named is retired, not removed: somebody may have it.
pub(super) async fn apply(cx: &mut Cx, resources: &[Document], prune: bool) -> Result<(), Refused> {
    let wanted = || resources.iter().enumerate().filter(|(_, one)| one.kind == "Plan");
    if wanted().next().is_none() {
        return Ok(());
    }
    for (at, plan) in wanted() {
        plans::put(cx, &plan.name, &plan.spec).await.map_err(|error| within(error, at))?;
    }
    if prune {
        for plan in plans::list(cx).await? {
            if plan.retired_at.is_none() && !wanted().any(|(_, one)| one.name == plan.name) {
                plans::retire(cx, &plan.name).await?;
            }
        }
    }
    Ok(())
}

/// Those in sale.
pub(super) async fn documents(cx: &mut Cx) -> Result<Vec<Document>, Refused> {
    let document = |plan: plans::Plan| Document {
        kind: "Plan".to_owned(),
        name: plan.name,
        spec: crate::registry::value(&plan.spec),
    };
    Ok(plans::list(cx).await?.into_iter().filter(|plan| plan.retired_at.is_none()).map(document).collect())
}

fn within(error: Refused, at: usize) -> Refused {
    let Refused::Invalid(title, errors) = error else { return error };
    let moved =
        errors.into_iter().map(|error| FieldError { pointer: format!("/resources/{at}{}", error.pointer), ..error });
    Refused::Invalid(title, moved.collect())
}
