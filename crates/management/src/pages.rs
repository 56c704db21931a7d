//! What all pages of portal and console share: who visits, the frame around the page, forms, errors for people.

use axum::extract::FromRequestParts;
use axum::response::Response;
use base::problem::FieldError;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use store::StoreError;
use web::{Browser, Fields, Kit, Language, Page, Scripts};

use crate::actor::{Actor, Membership, Right, Share};
use crate::cx::Cx;
use crate::error::Refused;
use crate::session::{self, Session, Way};
use crate::{PROVIDER, SharedManagement};

/// One request for a page: its context, whose it is, and what the browser sent.
pub(crate) struct Visit {
    pub cx: Cx,
    pub browser: Browser,
    pub session: Option<Session>,
    pub headers: HeaderMap,
    pub query: Fields,
    /// Only the head of the answer is asked for.
    pub is_head: bool,
    /// Path and query, to come back to after signing in.
    pub address: String,
    /// Organisations of the person, by name, when somebody is signed in.
    pub organisations: Vec<Home>,
    /// Why the visitor is not known though they might be: the database does not answer.
    broken: Option<Refused>,
}

/// An organisation that the person belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Home {
    pub id: String,
    pub name: String,
    pub role: String,
    pub current: bool,
}

/// Why a page is not shown.
pub(crate) enum Halt {
    /// Nobody is signed in, and somebody has to be.
    SignIn,
    Forged,
    Refused(Refused),
}

impl From<Refused> for Halt {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// A page that says one thing.
pub(crate) struct Notice<'a> {
    pub status: StatusCode,
    pub title: &'a str,
    pub text: &'a str,
    pub link: Option<(&'a str, &'a str)>,
    /// Faults, each at its place.
    pub errors: &'a [FieldError],
}

/// What stands around every page.
#[derive(Serialize)]
struct Frame<'a> {
    signed_in: bool,
    name: &'a str,
    provider: bool,
    may_publish: bool,
    may_administer: bool,
    by_link: bool,
    organisations: &'a [Home],
    organisation: Option<&'a Home>,
    /// Path without query, to mark where one is.
    path: &'a str,
    address: &'a str,
    sign_in: String,
    request_id: &'a str,
    gateway: &'a str,
}

#[derive(Serialize)]
struct Framed<'a, T> {
    frame: Frame<'a>,
    #[serde(flatten)]
    content: T,
}

impl FromRequestParts<SharedManagement> for Visit {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, management: &SharedManagement) -> Result<Self, Self::Rejection> {
        let mut cx = Cx::from_request_parts(parts, management).await?;
        // A guard in front does not decide who visits a page; the session does.
        cx.actor = Actor::Nobody;
        let headers = std::mem::take(&mut parts.headers);
        let browser = management.kit.browser(&headers);
        let entered = async {
            let session = session::enter(&mut cx, &headers).await?;
            let organisations = match &session {
                Some(session) => homes(&mut cx, session).await?,
                None => Vec::new(),
            };
            Ok::<_, Refused>((session, organisations))
        };
        let ((session, organisations), broken) = match entered.await {
            Ok(found) => (found, None),
            Err(refused) => ((None, Vec::new()), Some(refused)),
        };
        let query = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
        let address = parts.uri.path_and_query().map_or("/", |both| both.as_str()).to_owned();
        let is_head = parts.method == http::Method::HEAD;
        Ok(Self { cx, browser, session, headers, query, is_head, address, organisations, broken })
    }
}

/// The person's organisations that consume, the chosen one marked: the first, until another is chosen.
async fn homes(cx: &mut Cx, session: &Session) -> Result<Vec<Home>, Refused> {
    let Actor::Person(person) = &cx.actor else { return Ok(Vec::new()) };
    let memberships: Vec<Membership> =
        person.memberships.iter().filter(|member| member.organisation != PROVIDER).cloned().collect();
    let chosen = session.organisation.as_deref();
    let chosen = memberships.iter().find(|member| Some(member.organisation.as_str()) == chosen);
    let chosen = chosen.or(memberships.first()).map(|member| member.organisation.clone());
    let mut homes = Vec::new();
    for member in memberships {
        let name = crate::people::organisation_name(cx, &member.organisation).await?;
        homes.push(Home {
            current: Some(&member.organisation) == chosen.as_ref(),
            name: name.unwrap_or_else(|| member.organisation.clone()),
            role: member.role.as_str().to_owned(),
            id: member.organisation,
        });
    }
    Ok(homes)
}

impl Visit {
    pub fn kit(&self) -> &Kit {
        &self.cx.management.kit
    }

    /// Refuses who has not signed in.
    pub fn person(&self) -> Result<&crate::actor::Person, Halt> {
        match &self.cx.actor {
            Actor::Person(person) => Ok(person),
            _ => Err(Halt::SignIn),
        }
    }

    /// Refuses who has not signed in, or has no right on the provider's side.
    pub fn need(&self, right: Right) -> Result<(), Halt> {
        self.person()?;
        Ok(self.cx.need(right)?)
    }

    /// The organisation that the person works for now, with this share in it.
    pub fn home(&self, share: Share) -> Result<String, Halt> {
        self.person()?;
        let home = self.organisations.iter().find(|home| home.current);
        let home = home.ok_or(Refused::NotFound("organisation that you belong to"))?;
        self.cx.need_for(&home.id, share)?;
        Ok(home.id.clone())
    }

    /// A form of ours that this browser sent, in this session, and not too many of them.
    pub fn form(&self, body: &[u8]) -> Result<Fields, Halt> {
        let fields = self.form_at_any_speed(body)?;
        let management = &self.cx.management;
        management.throttle.take(&self.cx.actor, management.clock.monotonic_ms())?;
        Ok(fields)
    }

    /// As [`Visit::form`], for what must always be possible: to sign out.
    pub fn form_at_any_speed(&self, body: &[u8]) -> Result<Fields, Halt> {
        let refused = |_| Refused::BadRequest("the form cannot be read".to_owned());
        let fields = Fields::parse(body).map_err(refused)?;
        self.guard(fields.text("csrf"))?;
        Ok(fields)
    }

    /// That a token was given to a page of this browser and session.
    pub fn guard(&self, csrf: &str) -> Result<(), Halt> {
        let guarded = self.kit().guard(&self.headers, &self.browser, &self.purpose(), csrf);
        guarded.map_err(|_| Halt::Forged)
    }

    fn sign_in(&self) -> String {
        let to = serde_urlencoded::to_string([("return_to", &self.address)]).unwrap_or_default();
        format!("/login?{to}")
    }

    fn purpose(&self) -> String {
        format!("visit {}", self.session.as_ref().map_or("", |session| session.id.as_str()))
    }

    pub fn show(&self, template: &'static str, content: impl Serialize) -> Response {
        self.show_with(StatusCode::OK, template, content)
    }

    pub fn show_with(&self, status: StatusCode, template: &'static str, content: impl Serialize) -> Response {
        let page = Page {
            template,
            status,
            language: Language::choose(None, &self.headers),
            browser: &self.browser,
            purpose: &self.purpose(),
            form_targets: Vec::new(),
            scripts: Scripts::Own,
        };
        let mut response = self.kit().page(page, Framed { frame: self.frame(), content });
        web::allow_connect(&mut response, None);
        response
    }

    fn frame(&self) -> Frame<'_> {
        let actor = &self.cx.actor;
        Frame {
            signed_in: self.session.is_some(),
            name: if let Actor::Person(person) = actor { &person.name } else { "" },
            provider: actor.may(Right::Read),
            may_publish: actor.may(Right::Publish),
            may_administer: actor.may(Right::Administer),
            by_link: self.session.as_ref().is_some_and(|session| session.way == Way::Link),
            organisations: &self.organisations,
            organisation: self.organisations.iter().find(|home| home.current),
            path: self.address.split('?').next().unwrap_or("/"),
            address: &self.address,
            sign_in: self.sign_in(),
            request_id: self.cx.request_id.as_str(),
            gateway: &self.cx.management.config.gateway_url,
        }
    }

    pub fn notice(&self, notice: &Notice<'_>) -> Response {
        #[derive(Serialize)]
        struct Content<'a> {
            title: &'a str,
            text: &'a str,
            link: Option<(&'a str, &'a str)>,
            errors: &'a [FieldError],
        }
        let content = Content { title: notice.title, text: notice.text, link: notice.link, errors: notice.errors };
        self.show_with(notice.status, "portal/notice.html", content)
    }

    /// The query with one parameter set, for links to the next page of the same list.
    pub fn with(&self, name: &str, value: &str) -> String {
        let kept = self.query.iter().filter(|(key, _)| *key != name);
        let pairs: Vec<(&str, &str)> = kept.chain([(name, value)]).collect();
        let path = self.address.split('?').next().unwrap_or("/");
        format!("{path}?{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
    }

    /// After a form: to a page of ours, with GET.
    pub fn go(&self, path: &str) -> Response {
        self.kit().redirect(path)
    }

    /// The page, or the one that says what went wrong.
    pub fn answer(&self, made: Result<Response, Halt>) -> Response {
        let made = match (&self.broken, made) {
            (Some(refused), Err(Halt::SignIn)) => return self.refusal(refused),
            (_, made) => made,
        };
        match made {
            Ok(response) => response,
            Err(Halt::SignIn) => self.kit().redirect(&self.sign_in()),
            Err(Halt::Forged) => self.notice(&Notice {
                status: StatusCode::FORBIDDEN,
                title: "This form cannot be used",
                text: "It was made for another sign-in or another browser, or your browser does not keep cookies for this site. Nothing has been changed. Go back, load the page again, and try once more.",
                link: None,
                errors: &[],
            }),
            Err(Halt::Refused(refused)) => self.refusal(&refused),
        }
    }

    fn refusal(&self, refused: &Refused) -> Response {
        let (status, _) = refused.status();
        let text = refused.to_string();
        let (title, text) = match refused {
            Refused::NotFound(_) => {
                ("There is no such thing here", "It may have been removed, or it is not yours to see.")
            }
            Refused::NoRight | Refused::Unauthenticated => {
                tracing::warn!(request.id = %self.cx.request_id, actor = %self.cx.actor, "somebody asked for what they have no right to");
                (
                    "You may not do this",
                    "Your role does not allow it. Ask an administrator (or the owner of your organisation) for another role.",
                )
            }
            // Nothing is called so, in no database.
            Refused::Store(StoreError::Invalid) => {
                ("There is no such thing here", "What was asked for holds characters that nothing here has.")
            }
            Refused::Store(cause) => {
                tracing::error!(request.id = %self.cx.request_id, %cause, "a page could not be made");
                (
                    "This cannot be done at the moment",
                    "The database does not answer. Nothing has been changed; try again in a minute.",
                )
            }
            Refused::Upstream(cause) => {
                tracing::error!(request.id = %self.cx.request_id, cause, "the identity system is needed and does not answer");
                ("The identity system does not answer", "Nothing has been changed. Try again in a minute.")
            }
            Refused::Broken(_) => {
                ("This cannot be done at the moment", "A part of the service does not work. Nothing has been changed.")
            }
            Refused::BadRequest(_) | Refused::Invalid(..) | Refused::Breaking(_) => {
                ("Please correct this", text.as_str())
            }
            Refused::TooMany { .. } => ("This was too fast", text.as_str()),
            Refused::Conflict(_) | Refused::Stale(_) => ("This does not fit any more", text.as_str()),
        };
        let errors: &[FieldError] = match refused {
            Refused::Invalid(_, errors) | Refused::Breaking(errors) => errors,
            _ => &[],
        };
        let mut response = self.notice(&Notice { status, title, text, link: None, errors });
        if let Refused::TooMany { seconds } = refused {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
