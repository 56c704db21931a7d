//! A person changes their own password: the current one is proven as at a login, within the same budgets.

use base::Secret;
use http::HeaderMap;
use web::Fields;

use crate::Cx;
use crate::accounts::passwords::{self, Weak};
use crate::accounts::{self, User, devices};
use crate::login::{Attempt, Verdict, prove};
use crate::pages::PageError;
use crate::sessions::{self, Session};

/// What is wrong, as names of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    pub current: Option<&'static str>,
    pub new: Option<&'static str>,
}

/// Changes the password and signs out all other browsers; or says what is wrong.
pub async fn change(
    cx: Cx,
    headers: &HeaderMap,
    session: &Session,
    user: &User,
    form: &Fields,
) -> Result<(Cx, Option<Faults>), PageError> {
    let new = Secret::from(form.text("new_password"));
    let new_fault = match passwords::check(new.expose()) {
        Ok(()) => None,
        Err(Weak::Short) => Some("password_short"),
        Err(Weak::Long) => Some("password_long"),
    };
    if new_fault.is_some() {
        return Ok((cx, Some(Faults { current: None, new: new_fault })));
    }
    let attempt = Attempt {
        username: user.spec.username.clone(),
        password: Secret::from(form.text("current_password")),
        device: cx.identity.kit.cookies().read(headers, devices::COOKIE),
    };
    let (mut cx, verdict) = prove(cx, attempt).await?;
    let fault = |current| Some(Faults { current: Some(current), new: None });
    match verdict {
        Verdict::Wrong => return Ok((cx, fault("password_wrong"))),
        Verdict::Busy => return Ok((cx, fault("password_busy"))),
        Verdict::Right(_) => {}
    }
    let proven = accounts::password_of(&mut cx, &user.user_id).await?;
    // What `prove` wrote is committed before the next hash: nothing waits with a transaction open.
    let identity = cx.identity.clone();
    let after = cx.again();
    cx.commit().await?;
    cx = after;
    let Ok(hash) = identity.passwords.hash(new).await else {
        return Ok((cx, fault("password_busy")));
    };
    // Who has set another one meanwhile, or disabled the user, had the last word.
    let still = match &proven {
        Some(proven) => accounts::hold(&mut cx, &user.user_id, proven).await?,
        None => false,
    };
    if !still {
        return Ok((cx, fault("password_wrong")));
    }
    accounts::store_password(&mut cx, &user.user_id, &hash).await?;
    let device = identity.kit.cookies().read(headers, devices::COOKIE);
    devices::forget_others(&mut cx, &user.user_id, device.as_deref()).await?;
    sessions::end_of_user(&mut cx, &user.user_id, Some(&session.session_id), "password changed").await?;
    Ok((cx, None))
}
