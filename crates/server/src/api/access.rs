//! `/login`, `/refresh`, `/logout`, `/whoami`, `/password`, `/users` and `/tokens`.

use tintype_app::AppResult;
use tintype_app::types::{
    Empty, LoginRequest, PasswordChange, RefreshRequest, TokenCreate, TokenInfo, UserCreate,
    UserInfo, UserUpdate,
};
use tintype_model::{TokenName, UserName};

use super::asked::Asked;
use super::operation::named;
use super::pages::Listed;
use super::resource::Resource;

impl Listed for UserInfo {
    fn key(&self) -> String {
        self.name.to_string()
    }
}

impl Listed for TokenInfo {
    fn key(&self) -> String {
        self.name.to_string()
    }
}

fn user(asked: &Asked) -> AppResult<UserName> {
    Ok(UserName::new(asked.named())?)
}

pub fn resource() -> Resource {
    Resource::new("access", "Users, tokens and sessions")
        .post("/login", named("login", "Begin a session"), |call, request: LoginRequest| {
            call.app.login(&request, &call.who.address)
        })
        .post(
            "/refresh",
            named("refresh", "Get the next tokens of a session"),
            |call, request: RefreshRequest| call.app.refresh(&request),
        )
        .post("/logout", named("logout", "End this session"), |call, Empty {}| {
            call.app.logout(call.caller()?)
        })
        .get("/whoami", named("whoami", "Who asks, and with which role"), |call| {
            Ok(call.caller()?.info())
        })
        .post(
            "/password",
            named("change_password", "Change the own password; all own sessions end"),
            |call, change: PasswordChange| {
                call.app.password_change(call.caller()?, &call.who.address, &change)
            },
        )
        .list("/users", named("list_users", "All users, by name"), |call| call.app.user_list())
        .post("/users", named("create_user", "Make a user"), |call, wish: UserCreate| {
            call.app.user_create(&wish)
        })
        .get("/users/{name}", named("show_user", "One user"), |call| {
            call.app.user_show(&user(call.asked)?)
        })
        .patch(
            "/users/{name}",
            named("update_user", "Change the role or the password of a user"),
            |call, update: UserUpdate| call.app.user_update(&user(call.asked)?, &update),
        )
        .delete(
            "/users/{name}",
            named("delete_user", "Delete a user, with all tokens and sessions"),
            |call| call.app.user_delete(&user(call.asked)?),
        )
        .list("/tokens", named("list_tokens", "The own tokens; all, for administrators"), |call| {
            call.app.token_list(call.caller()?)
        })
        .post(
            "/tokens",
            named("create_token", "Make a token, which is shown this once"),
            |call, wish: TokenCreate| call.app.token_create(call.caller()?, &wish),
        )
        .delete("/tokens/{name}", named("delete_token", "End a token"), |call| {
            call.app.token_delete(call.caller()?, &TokenName::new(call.asked.named())?)
        })
}
