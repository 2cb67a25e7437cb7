//! Users, tokens and sessions over a real store.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::open::AppOptions;
use crate::port::NoMounter;
use crate::types::{LoginRequest, RefreshRequest, TokenCreate, UserCreate, UserUpdate};

struct World {
    dir: tempfile::TempDir,
    app: Arc<App>,
}

fn open(dir: &tempfile::TempDir) -> Arc<App> {
    let store = dir.path().join("store");
    let options = AppOptions { store, create: true, snapshot_limits: None, user: "u".into() };
    App::open(options, Arc::new(NoMounter)).unwrap()
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = open(&dir);
        Self { dir, app }
    }

    fn again(mut self) -> Self {
        self.app.close().unwrap();
        let Self { dir, app } = self;
        drop(app);
        self = Self { app: open(&dir), dir };
        self
    }

    fn user(&self, name: &str, role: Role) {
        let password = Secret(format!("password of {name}"));
        self.app.user_create(&UserCreate { name: name.parse().unwrap(), role, password }).unwrap();
    }

    fn login(&self, name: &str, password: &str) -> AppResult<crate::types::SessionMade> {
        let request =
            LoginRequest { user: name.parse().unwrap(), password: Secret(password.into()) };
        self.app.login(&request, "here")
    }

    fn who(&self, token: &Secret) -> AppResult<Caller> {
        self.app.identify(token, Timestamp::now())
    }
}

fn token(name: &str, role: Role) -> TokenCreate {
    TokenCreate { name: name.parse().unwrap(), role, expires_after: None }
}

#[test]
fn sessions_survive_a_restart_end_in_time_and_rotate() {
    let world = World::new();
    world.user("a", Role::Operator);
    assert_eq!(world.login("a", "wrong").unwrap_err().kind, ErrorKind::Unauthenticated);
    assert_eq!(world.login("b", "wrong").unwrap_err(), world.login("a", "wrong").unwrap_err());
    let first = world.login("a", "password of a").unwrap();
    let world = world.again();
    let caller = world.who(&first.access_token).unwrap();
    assert_eq!((caller.role(), caller.user().unwrap().as_str()), (Role::Operator, "a"));
    let later = Timestamp::now() + jiff::SignedDuration::from_secs(3600);
    assert!(world.app.identify(&first.access_token, later).is_err());
    assert!(world.who(&first.refresh_token).is_err());
    let refresh =
        |token: &Secret| world.app.refresh(&RefreshRequest { refresh_token: token.clone() });
    assert!(refresh(&first.access_token).is_err());
    let second = refresh(&first.refresh_token).unwrap();
    assert!(world.who(&first.access_token).is_err());
    assert!(world.who(&second.access_token).is_ok());
    // Whoever only knows the session's id does not end it.
    let id = second.access_token.0.split('_').nth(1).unwrap();
    for forged in [format!("ttr_{id}_0_0"), format!("ttr_{id}_0"), format!("ttr_{id}_")] {
        assert!(refresh(&Secret(forged)).is_err());
    }
    assert!(world.who(&second.access_token).is_ok());
    // The old one comes again: both ends of the session are cut.
    assert!(refresh(&first.refresh_token).is_err());
    assert!(world.who(&second.access_token).is_err());
    let third = world.login("a", "password of a").unwrap();
    let caller = world.who(&third.access_token).unwrap();
    assert!(world.app.logout(&caller).unwrap().ended);
    assert!(world.who(&third.access_token).is_err());
}

#[test]
fn tokens_do_no_more_than_their_user_and_go_with_it() {
    let world = World::new();
    world.user("root", Role::Admin);
    world.user("a", Role::Operator);
    let session = world.login("a", "password of a").unwrap();
    let caller = world.who(&session.access_token).unwrap();
    assert_eq!(
        world.app.token_create(&caller, &token("t", Role::Admin)).unwrap_err().kind,
        ErrorKind::Forbidden
    );
    let made = world.app.token_create(&caller, &token("t", Role::Operator)).unwrap();
    let local = world.app.token_create(&Caller::local(), &token("l", Role::Reader)).unwrap();
    assert_eq!(world.app.token_list(&caller).unwrap().len(), 1);
    assert_eq!(world.app.token_list(&Caller::local()).unwrap().len(), 2);
    assert!(world.app.token_delete(&caller, &"l".parse().unwrap()).is_err());
    let world = world.again();
    assert_eq!(world.who(&made.token).unwrap().role(), Role::Operator);
    assert_eq!(world.who(&local.token).unwrap().role(), Role::Reader);
    let update = UserUpdate { role: Some(Role::Reader), password: None };
    world.app.user_update(&"a".parse().unwrap(), &update).unwrap();
    assert_eq!(world.who(&made.token).unwrap().role(), Role::Reader);
    world.app.user_delete(&"a".parse().unwrap()).unwrap();
    assert!(world.who(&made.token).is_err() && world.who(&session.access_token).is_err());
    let mut short = token("s", Role::Reader);
    short.expires_after = Some("1h".parse().unwrap());
    let short = world.app.token_create(&Caller::local(), &short).unwrap();
    assert!(world.who(&short.token).is_ok());
    let later = Timestamp::now() + jiff::SignedDuration::from_secs(3601);
    assert!(world.app.identify(&short.token, later).is_err());
}

#[test]
fn a_token_of_nobody_signs_with_its_name_and_has_no_power_over_others() {
    let world = World::new();
    let make = |name, role| world.app.token_create(&Caller::local(), &token(name, role)).unwrap();
    let (reader, admin) = (make("r", Role::Reader), make("a", Role::Admin));
    let caller = world.who(&reader.token).unwrap();
    assert_eq!(caller.signature().unwrap(), "token r");
    assert_eq!(Caller::local().signature(), None);
    let listed = world.app.token_list(&caller).unwrap();
    assert_eq!(listed, [reader.info]);
    let refused = world.app.token_delete(&caller, &"a".parse().unwrap()).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotFound);
    let refused = world.app.token_create(&caller, &token("more", Role::Reader)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Forbidden);
    world.app.token_delete(&caller, &"r".parse().unwrap()).unwrap();
    assert!(world.who(&reader.token).is_err());
    let admin = world.who(&admin.token).unwrap();
    assert!(world.app.token_create(&admin, &token("more", Role::Reader)).is_ok());
}

#[test]
fn a_new_password_ends_sessions_and_the_last_admin_stays() {
    let world = World::new();
    world.user("a", Role::Admin);
    let name: UserName = "a".parse().unwrap();
    let session = world.login("a", "password of a").unwrap();
    let update = UserUpdate { role: None, password: Some(Secret("another one".into())) };
    world.app.user_update(&name, &update).unwrap();
    assert!(world.who(&session.access_token).is_err());
    assert!(world.login("a", "password of a").is_err() && world.login("a", "another one").is_ok());
    assert_eq!(world.app.user_delete(&name).unwrap_err().kind, ErrorKind::Protected);
    let update = UserUpdate { role: Some(Role::Reader), password: None };
    assert_eq!(world.app.user_update(&name, &update).unwrap_err().kind, ErrorKind::Protected);
    world.user("b", Role::Admin);
    world.app.user_delete(&name).unwrap();
}

#[test]
fn the_first_admin_gets_a_secret_that_only_the_server_can_read() {
    let world = World::new();
    let path = world.app.first_admin().unwrap().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&path).unwrap();
    assert!(world.login("admin", secret.trim()).is_ok());
    let world = world.again();
    assert_eq!(world.app.first_admin().unwrap(), None);
}

#[test]
fn guessing_is_slowed_down() {
    let world = World::new();
    world.user("a", Role::Reader);
    let kinds: Vec<ErrorKind> =
        (0..6).map(|_| world.login("a", "wrong").unwrap_err().kind).collect();
    assert_eq!(kinds.last(), Some(&ErrorKind::TooMany));
    assert_eq!(world.login("a", "password of a").unwrap_err().kind, ErrorKind::TooMany);
}

#[test]
fn no_secret_is_in_the_store() {
    let world = World::new();
    world.user("a", Role::Admin);
    let session = world.login("a", "password of a").unwrap();
    let made = world.app.token_create(&Caller::local(), &token("t", Role::Reader)).unwrap();
    let store = world.app.store().unwrap();
    for kind in ["user", "token", "session"] {
        for (_, text) in store.documents(kind).unwrap() {
            let text = String::from_utf8(text.to_vec()).unwrap();
            for secret in [&session.access_token, &session.refresh_token, &made.token] {
                assert!(!text.contains(secret.0.rsplit('_').next().unwrap()), "{kind}");
            }
            assert!(!text.contains("password of a"), "{kind}");
        }
    }
}
