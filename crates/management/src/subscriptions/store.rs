//! The tables `subscriptions`, `subscription_apis` and `subscription_terms`.

use base::Time;
use catalog::published::PublishedSubscription;
use store::{Row, params};

use super::{NextPlan, State, Subscription};
use crate::Cx;
use crate::error::Refused;

/// What is looked for; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub organisation: Option<String>,
    pub application: Option<String>,
    pub plan: Option<String>,
    pub state: Option<State>,
    /// Those where the provider has to say something: requests, and requests for another plan.
    pub to_decide: Option<()>,
    /// The last one of the page before.
    pub after: Option<String>,
}

/// A plan of a subscription, for a time.
#[derive(Debug, Clone)]
pub struct Term {
    pub subscription: String,
    pub application: String,
    pub plan: String,
    pub since: Time,
    pub until: Option<Time>,
}

pub(super) async fn insert(cx: &mut Cx, new: &Subscription) -> Result<(), Refused> {
    let sql = "INSERT INTO subscriptions (subscription, organisation, application, client, plan, state, note,
            requested_at, requested_by, decided_at, decided_by, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let values = params![
        &new.id,
        &new.organisation,
        &new.application,
        new.client.as_ref(),
        &new.plan,
        new.state.as_str(),
        new.note.as_ref(),
        new.requested_at,
        &new.requested_by,
        new.decided_at,
        new.decided_by.as_ref(),
        new.changed_at
    ];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

/// False: another living subscription of the application has it.
pub(super) async fn claim(cx: &mut Cx, application: &str, api: &str, id: &str) -> Result<bool, Refused> {
    let sql = "INSERT INTO subscription_apis (application, api, subscription) VALUES ($1, $2, $3)
        ON CONFLICT (application, api) DO NOTHING";
    Ok(cx.tx.execute(sql, &params![application, api, id]).await? == 1)
}

pub(super) async fn release(cx: &mut Cx, id: &str) -> Result<(), Refused> {
    cx.tx.execute("DELETE FROM subscription_apis WHERE subscription = $1", &params![id]).await?;
    Ok(())
}

pub(super) async fn release_plan(cx: &mut Cx, plan: &str) -> Result<(), Refused> {
    let sql = "DELETE FROM subscription_apis WHERE subscription IN
        (SELECT subscription FROM subscriptions WHERE plan = $1)";
    cx.tx.execute(sql, &params![plan]).await?;
    Ok(())
}

/// How many claims were made.
pub(super) async fn claim_for_plan(cx: &mut Cx, plan: &str, api: &str) -> Result<u64, Refused> {
    let sql = "INSERT INTO subscription_apis (application, api, subscription)
        SELECT application, CAST($2 AS TEXT), subscription FROM subscriptions
        WHERE plan = $1 AND state IN ('requested', 'active', 'suspended')
        ON CONFLICT (application, api) DO NOTHING";
    Ok(cx.tx.execute(sql, &params![plan, api]).await?)
}

pub(super) async fn count_living(cx: &mut Cx, plan: &str) -> Result<u64, Refused> {
    let sql = "SELECT COUNT(*) AS many FROM subscriptions
        WHERE plan = $1 AND state IN ('requested', 'active', 'suspended')";
    let row = cx.tx.read_one(sql, &params![plan]).await?;
    let many = row.map_or(Ok(0), |row| row.int("many"))?;
    Ok(u64::try_from(many).unwrap_or(0))
}

/// The subscription as it is after the move; `None` if it was in none of these states.
pub(super) async fn move_to(
    cx: &mut Cx,
    id: &str,
    from: [Option<State>; 3],
    to: State,
    reason: Option<&str>,
) -> Result<Option<Subscription>, Refused> {
    let sql = "UPDATE subscriptions SET state = $5, reason = $6, decided_at = $7, decided_by = $8, changed_at = $7,
            next_plan = NULL, next_state = NULL, next_from = NULL
        WHERE subscription = $1 AND state IN ($2, $3, $4)
        RETURNING subscription, organisation, application, client, plan, state, note, requested_at, requested_by,
            decided_at, decided_by, reason, next_plan, next_state, next_from, changed_at";
    let [first, second, third] = from.map(|state| state.map(State::as_str));
    let by = cx.actor.to_string();
    let values = params![id, first, second, third, to.as_str(), reason, cx.now, by];
    cx.tx.one(sql, &values).await?.as_ref().map(subscription).transpose()
}

pub(super) async fn plan_next(
    cx: &mut Cx,
    id: &str,
    plan: &str,
    state: &'static str,
    from: Time,
) -> Result<Option<Subscription>, Refused> {
    let sql = "UPDATE subscriptions SET next_plan = $2, next_state = $3, next_from = $4, reason = NULL, changed_at = $5
        WHERE subscription = $1 AND state = 'active'
        RETURNING subscription, organisation, application, client, plan, state, note, requested_at, requested_by,
            decided_at, decided_by, reason, next_plan, next_state, next_from, changed_at";
    let row = cx.tx.one(sql, &params![id, plan, state, from, cx.now]).await?;
    row.as_ref().map(subscription).transpose()
}

pub(super) async fn drop_next(cx: &mut Cx, id: &str, reason: &str) -> Result<Option<Subscription>, Refused> {
    let sql = "UPDATE subscriptions SET next_plan = NULL, next_state = NULL, next_from = NULL, reason = $2,
            changed_at = $3
        WHERE subscription = $1 AND next_plan IS NOT NULL
        RETURNING subscription, organisation, application, client, plan, state, note, requested_at, requested_by,
            decided_at, decided_by, reason, next_plan, next_state, next_from, changed_at";
    let row = cx.tx.one(sql, &params![id, reason, cx.now]).await?;
    row.as_ref().map(subscription).transpose()
}

/// From one plan to another; `None` if it is not active on the first any more.
pub(super) async fn switch(cx: &mut Cx, id: &str, old: &str, new: &str) -> Result<Option<Subscription>, Refused> {
    let sql =
        "UPDATE subscriptions SET plan = $3, next_plan = NULL, next_state = NULL, next_from = NULL, reason = NULL,
            changed_at = $4
        WHERE subscription = $1 AND plan = $2 AND state = 'active'
        RETURNING subscription, organisation, application, client, plan, state, note, requested_at, requested_by,
            decided_at, decided_by, reason, next_plan, next_state, next_from, changed_at";
    let row = cx.tx.one(sql, &params![id, old, new, cx.now]).await?;
    row.as_ref().map(subscription).transpose()
}

/// Those whose agreed change of plan is due.
pub(super) async fn due(cx: &mut Cx) -> Result<Vec<String>, Refused> {
    let sql = "SELECT subscription FROM subscriptions
        WHERE next_plan IS NOT NULL AND next_state = 'agreed' AND next_from <= $1 AND state = 'active'
        ORDER BY next_from LIMIT 100";
    let rows = cx.tx.read(sql, &params![cx.now]).await?;
    Ok(rows.iter().map(|row| row.string("subscription")).collect::<Result<_, _>>()?)
}

pub(super) async fn begin_term(cx: &mut Cx, id: &str, plan: &str) -> Result<(), Refused> {
    let sql = "INSERT INTO subscription_terms (subscription, since, plan) VALUES ($1, $2, $3)
        ON CONFLICT (subscription, since) DO UPDATE SET plan = excluded.plan, until = NULL";
    cx.tx.execute(sql, &params![id, cx.now, plan]).await?;
    Ok(())
}

pub(super) async fn end_term(cx: &mut Cx, id: &str) -> Result<(), Refused> {
    let sql = "UPDATE subscription_terms SET until = $2 WHERE subscription = $1 AND until IS NULL";
    cx.tx.execute(sql, &params![id, cx.now]).await?;
    Ok(())
}

/// False: nothing had to be changed.
pub(super) async fn set_client(cx: &mut Cx, application: &str, client: &str) -> Result<bool, Refused> {
    let sql = "UPDATE subscriptions SET client = $2, changed_at = $3
        WHERE application = $1 AND (client IS NULL OR client <> $2)";
    Ok(cx.tx.execute(sql, &params![application, client, cx.now]).await? > 0)
}

pub(super) async fn find(cx: &mut Cx, id: &str) -> Result<Option<Subscription>, Refused> {
    let sql = "SELECT subscription, organisation, application, client, plan, state, note, requested_at, requested_by,
            decided_at, decided_by, reason, next_plan, next_state, next_from, changed_at
        FROM subscriptions WHERE subscription = $1";
    cx.tx.read_one(sql, &params![id]).await?.as_ref().map(subscription).transpose()
}

pub(super) async fn living_of_application(cx: &mut Cx, application: &str) -> Result<Vec<Subscription>, Refused> {
    let sql = "SELECT subscription, organisation, application, client, plan, state, note, requested_at, requested_by,
            decided_at, decided_by, reason, next_plan, next_state, next_from, changed_at
        FROM subscriptions WHERE application = $1 AND state IN ('requested', 'active', 'suspended')";
    cx.tx.read(sql, &params![application]).await?.iter().map(subscription).collect()
}

pub(super) async fn list(cx: &mut Cx, filter: &Filter, limit: i64) -> Result<Vec<Subscription>, Refused> {
    let sql = "SELECT subscription, organisation, application, client, plan, state, note, requested_at, requested_by,
            decided_at, decided_by, reason, next_plan, next_state, next_from, changed_at
        FROM subscriptions
        WHERE (CAST($1 AS TEXT) IS NULL OR organisation = $1) AND (CAST($2 AS TEXT) IS NULL OR application = $2)
        AND (CAST($3 AS TEXT) IS NULL OR plan = $3) AND (CAST($4 AS TEXT) IS NULL OR state = $4)
        AND (CAST($5 AS TEXT) IS NULL OR state = 'requested' OR next_state = 'requested')
        AND (CAST($6 AS TEXT) IS NULL OR subscription > $6)
        ORDER BY subscription LIMIT $7";
    let values = params![
        filter.organisation.as_ref(),
        filter.application.as_ref(),
        filter.plan.as_ref(),
        filter.state.map(State::as_str),
        filter.to_decide.map(|()| "yes"),
        filter.after.as_ref(),
        limit
    ];
    cx.tx.read(sql, &values).await?.iter().map(subscription).collect()
}

pub(super) async fn published(cx: &mut Cx) -> Result<Vec<PublishedSubscription>, Refused> {
    let sql = "SELECT subscription, client, plan, organisation FROM subscriptions
        WHERE state = 'active' AND client IS NOT NULL ORDER BY subscription";
    let published = |row: &Row| {
        Ok(PublishedSubscription {
            id: row.string("subscription")?,
            client: row.string("client")?,
            plan: row.string("plan")?,
            organisation: row.string("organisation")?,
        })
    };
    cx.tx.read(sql, &[]).await?.iter().map(published).collect()
}

pub(super) async fn terms(cx: &mut Cx, organisation: &str, from: Time, until: Time) -> Result<Vec<Term>, Refused> {
    let sql = "SELECT t.subscription, s.application, t.plan, t.since, t.until
        FROM subscription_terms t JOIN subscriptions s ON s.subscription = t.subscription
        WHERE s.organisation = $1 AND t.since < $3 AND (t.until IS NULL OR t.until > $2)
        ORDER BY t.subscription, t.since";
    let term = |row: &Row| {
        Ok(Term {
            subscription: row.string("subscription")?,
            application: row.string("application")?,
            plan: row.string("plan")?,
            since: row.time("since")?,
            until: row.opt_time("until")?,
        })
    };
    cx.tx.read(sql, &params![organisation, from, until]).await?.iter().map(term).collect()
}

fn subscription(row: &Row) -> Result<Subscription, Refused> {
    let state = row.text("state")?;
    let state = State::parse(state).ok_or_else(|| Refused::Broken(format!("a subscription is `{state}`")))?;
    let next = match (row.opt_string("next_plan")?, row.opt_text("next_state")?, row.opt_time("next_from")?) {
        (Some(plan), Some(word), Some(from)) => Some(NextPlan { plan, agreed: word == "agreed", from }),
        _ => None,
    };
    Ok(Subscription {
        id: row.string("subscription")?,
        organisation: row.string("organisation")?,
        application: row.string("application")?,
        client: row.opt_string("client")?,
        plan: row.string("plan")?,
        state,
        note: row.opt_string("note")?,
        requested_at: row.time("requested_at")?,
        requested_by: row.string("requested_by")?,
        decided_at: row.opt_time("decided_at")?,
        decided_by: row.opt_string("decided_by")?,
        reason: row.opt_string("reason")?,
        next,
        changed_at: row.time("changed_at")?,
    })
}

/// Remembered beyond the end of the subscription, until the provider says yes to another one.
pub(super) async fn mark_suspended(cx: &mut Cx, id: &str, suspended: bool) -> Result<(), Refused> {
    let sql = "UPDATE subscriptions SET suspended_at = $2 WHERE subscription = $1";
    cx.tx.execute(sql, &params![id, suspended.then_some(cx.now)]).await?;
    Ok(())
}

pub(super) async fn forgive(cx: &mut Cx, organisation: &str) -> Result<(), Refused> {
    let sql = "UPDATE subscriptions SET suspended_at = NULL
        WHERE organisation = $1 AND state = 'cancelled' AND suspended_at IS NOT NULL";
    cx.tx.execute(sql, &params![organisation]).await?;
    Ok(())
}

/// Plans at which the provider has suspended an organisation, whether it has ended the subscription since or not.
pub(super) async fn suspended_plans(cx: &mut Cx, organisation: &str) -> Result<Vec<String>, Refused> {
    let sql = "SELECT DISTINCT plan FROM subscriptions
        WHERE organisation = $1 AND suspended_at IS NOT NULL AND state IN ('suspended', 'cancelled')";
    let rows = cx.tx.read(sql, &params![organisation]).await?;
    Ok(rows.iter().map(|row| row.string("plan")).collect::<Result<_, _>>()?)
}

/// By id, or by `client_id`; an application has its client before it is subscribed to anything, and after it is
/// deleted.
pub(super) async fn organisation_of(cx: &mut Cx, id: &str) -> Result<Option<String>, Refused> {
    let sql = "SELECT organisation FROM subscriptions WHERE subscription = $1
        UNION SELECT organisation FROM applications WHERE client = $1
        UNION SELECT organisation FROM subscriptions WHERE client = $1 LIMIT 1";
    let row = cx.tx.read_one(sql, &params![id]).await?;
    Ok(row.map(|row| row.string("organisation")).transpose()?)
}

pub(super) async fn organisations(cx: &mut Cx) -> Result<Vec<String>, Refused> {
    let rows = cx.tx.read("SELECT DISTINCT organisation FROM subscriptions ORDER BY organisation", &[]).await?;
    Ok(rows.iter().map(|row| row.string("organisation")).collect::<Result<_, _>>()?)
}
