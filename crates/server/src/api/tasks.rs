//! `/tasks`: long operations that nobody has to wait for.

use tintype_app::types::{Empty, TaskInfo};

use super::operation::{Value, named};
use super::pages::Listed;
use super::resource::Resource;

impl Listed for TaskInfo {
    const NAMED: bool = false;

    /// The oldest first.
    fn key(&self) -> String {
        format!("{:022}.{}", self.started.as_nanosecond().max(0), self.id)
    }
}

pub fn resource() -> Resource {
    Resource::new("tasks", "Long operations, each with its progress and its end")
        .list(
            "/tasks",
            named("list_tasks", "Tasks, the oldest first")
                .query("state", Value::Text, "only those: running, done, failed or cancelled")
                .query("operation", Value::Text, "only of this operation"),
            |call| {
                let mut list = call.app.task_list(call.caller()?);
                let (state, operation) = (call.asked.text("state"), call.asked.text("operation"));
                list.retain(|task| {
                    state.is_none_or(|state| state == task.state.name())
                        && operation.is_none_or(|operation| operation == task.operation)
                });
                Ok(list)
            },
        )
        .get("/tasks/{id}", named("show_task", "One task"), |call| {
            call.app.task_show(call.asked.id(), call.caller()?)
        })
        .post(
            "/tasks/{id}/cancel",
            named("cancel_task", "Ask a task to end; what changes something is done to its end"),
            |call, Empty {}| call.app.task_cancel(call.asked.id(), call.caller()?),
        )
        .delete(
            "/tasks/{id}",
            named("delete_task", "Acknowledge the end of a task: it is listed no more"),
            |call| call.app.task_delete(call.asked.id(), call.caller()?),
        )
}
