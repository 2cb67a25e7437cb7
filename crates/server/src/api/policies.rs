//! `/policies`, `/policies/{name}` with `/volumes/{volume}`, `/run` and `/forecast`.

use tintype_app::AppResult;
use tintype_app::types::{PolicyInfo, PolicyPatch, PolicyRunRequest, PolicyWish};
use tintype_model::policy::PolicyName;

use super::asked::Asked;
use super::operation::{Value, named};
use super::pages::Listed;
use super::resource::{NoBody, Resource};

/// How far a forecast goes when nobody says.
const DAYS: u32 = 7;

impl Listed for PolicyInfo {
    fn key(&self) -> String {
        self.name.to_string()
    }
}

fn name(asked: &Asked) -> AppResult<PolicyName> {
    Ok(PolicyName::new(asked.named())?)
}

pub fn resource() -> Resource {
    let resource = Resource::new("policies", "Snapshots that are made and removed by themselves")
        .list("/policies", named("list_policies", "All policies, by name"), |call| {
            call.app.policy_list()
        })
        .post(
            "/policies",
            named("create_policy", "Make a policy, attached to the volumes that it names").once(),
            |call, PolicyWish(document): PolicyWish| call.app.policy_create(&document),
        )
        .get("/policies/{name}", named("show_policy", "One policy"), |call| {
            call.app.policy_show(&name(call.asked)?)
        })
        .patch(
            "/policies/{name}",
            named("update_policy", "Change a policy by a JSON merge patch of its document"),
            |call, PolicyPatch(patch): PolicyPatch| {
                call.app.policy_update(&name(call.asked)?, &patch)
            },
        )
        .delete(
            "/policies/{name}",
            named("delete_policy", "Delete a policy; its snapshots stay").query(
                "force",
                Value::Flag,
                "also while it is attached",
            ),
            |call| call.app.policy_delete(&name(call.asked)?, call.asked.flag("force")),
        );
    more(resource)
}

fn more(resource: Resource) -> Resource {
    resource
        .put(
            "/policies/{name}/volumes/{volume}",
            named("attach_policy", "Attach a policy to a volume"),
            |call, NoBody| call.app.policy_attach(&name(call.asked)?, &call.asked.volume_beside()?),
        )
        .delete(
            "/policies/{name}/volumes/{volume}",
            named("detach_policy", "Detach a policy from a volume; its snapshots stay"),
            |call| call.app.policy_detach(&name(call.asked)?, &call.asked.volume_beside()?),
        )
        .post(
            "/policies/{name}/run",
            named("run_policy", "Make the snapshots of a policy now").once().long(),
            |call, request: PolicyRunRequest| call.app.policy_run(&name(call.asked)?, &request),
        )
        .get(
            "/policies/{name}/forecast",
            named("forecast_policy", "What policies would make and remove on its volumes").query(
                "days",
                Value::Number,
                "so many days from now, 7 when absent",
            ),
            |call| {
                let days = call.asked.parsed("days")?.unwrap_or(DAYS);
                call.app.policy_forecast(&name(call.asked)?, days)
            },
        )
}
