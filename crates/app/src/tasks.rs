//! Long operations that nobody has to wait for: each with its progress, its end, and who asked for it.
//!
//! A task is listed until somebody has acknowledged its end, or for a day; a restart forgets it, and what it had done by then stays done. The
//! number of those that run and of those that are kept is bounded. The work itself runs on a thread of the edge: [`TaskRun::run`].

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::Value;
use tintype_store::stop::{Stop, until};

use crate::access::Caller;
use crate::convert::random_name;
use crate::error::{AppError, AppResult, ErrorKind};
use crate::events::Events;
use crate::open::App;
use crate::progress::{Progress, watched};
use crate::types::{Change, EventKind, Role, TaskInfo, TaskState};

/// Tasks that may run at a time.
const RUNNING_MAX: usize = 64;
/// Ended tasks that are kept.
const KEPT_MAX: usize = 1000;
/// How long they are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Bytes of an id, which is twice as many digits.
const ID: usize = 8;

/// All that are listed.
pub(crate) struct Tasks {
    table: Mutex<BTreeMap<String, Entry>>,
    events: Arc<Events>,
}

struct Entry {
    info: TaskInfo,
    by: Caller,
    /// The role that the operation needs.
    needs: Role,
    stop: Stop,
    progress: Progress,
}

/// What a task will do.
#[derive(Clone, Debug)]
pub struct TaskWish {
    /// The operation.
    pub operation: String,
    /// What it was asked of.
    pub object: String,
    /// The role that it needs.
    pub needs: Role,
    /// Who asks.
    pub by: Caller,
}

/// A task on its way. One that is dropped without an end has failed.
pub struct TaskRun {
    tasks: Arc<Tasks>,
    id: String,
    stop: Stop,
    progress: Progress,
    ended: bool,
}

impl Entry {
    /// As somebody may see it.
    fn told(&self, to: Option<Role>) -> TaskInfo {
        let (done, total) = self.progress.get();
        let mut info = self.info.clone();
        (info.done, info.total) = (done, total);
        info.cancelling = info.state == TaskState::Running && self.stop.is_asked();
        if to.is_none_or(|role| role < self.needs) {
            (info.result, info.failure) = (None, None);
        }
        info
    }

    fn runs(&self) -> bool {
        self.info.state == TaskState::Running
    }
}

impl Tasks {
    /// None yet.
    pub(crate) fn new(events: Arc<Events>) -> Self {
        Self { table: Mutex::default(), events }
    }

    fn begin(self: &Arc<Self>, wish: TaskWish, now: Timestamp) -> AppResult<TaskRun> {
        let id = random_name::<ID>()?;
        let (stop, progress) = (Stop::default(), Progress::default());
        let info = TaskInfo {
            id: id.clone(),
            operation: wish.operation,
            object: wish.object,
            state: TaskState::Running,
            cancelling: false,
            done: 0,
            total: 0,
            user: wish.by.signature(),
            started: now,
            ended: None,
            result: None,
            failure: None,
        };
        let entry = Entry {
            info,
            by: wish.by,
            needs: wish.needs,
            stop: stop.clone(),
            progress: progress.clone(),
        };
        let told = entry.told(None);
        let mut table = self.table.lock();
        if table.values().filter(|entry| entry.runs()).count() >= RUNNING_MAX {
            return Err(AppError::new(
                ErrorKind::Limit,
                "tasks",
                format!("{RUNNING_MAX} run already"),
                "Wait until one ends, or cancel one: `tintype task list`.",
            ));
        }
        forget_old(&mut table, now);
        table.insert(id.clone(), entry);
        drop(table);
        self.events.tell(EventKind::Task, Change::Created, id.clone(), Some(told));
        Ok(TaskRun { tasks: Arc::clone(self), id, stop, progress, ended: false })
    }

    fn end(&self, id: &str, end: AppResult<Option<Value>>) {
        let mut table = self.table.lock();
        let Some(entry) = table.get_mut(id) else { return };
        entry.info.ended = Some(Timestamp::now());
        match end {
            Ok(result) => (entry.info.state, entry.info.result) = (TaskState::Done, result),
            Err(error) => {
                let asked = entry.stop.is_asked();
                entry.info.state = if asked { TaskState::Cancelled } else { TaskState::Failed };
                entry.info.failure = Some(error);
            }
        }
        let told = entry.told(None);
        drop(table);
        self.events.tell(EventKind::Task, Change::Ended, id.to_owned(), Some(told));
    }

    /// Asks all to end.
    pub(crate) fn stop_all(&self) {
        self.table.lock().values().for_each(|entry| entry.stop.ask());
    }

    /// How many run, and how many have ended.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let table = self.table.lock();
        let running = table.values().filter(|entry| entry.runs()).count() as u64;
        (running, table.len() as u64 - running)
    }
}

/// Makes room: those whose time is over, then the oldest.
fn forget_old(table: &mut BTreeMap<String, Entry>, now: Timestamp) {
    table.retain(|_, entry| entry.info.ended.is_none_or(|ended| now.duration_since(ended) < KEPT));
    let mut ended: Vec<(Timestamp, String)> =
        table.iter().filter_map(|(id, entry)| Some((entry.info.ended?, id.clone()))).collect();
    ended.sort();
    let surplus = ended.len().saturating_sub(KEPT_MAX - 1);
    for (_, id) in ended.into_iter().take(surplus) {
        table.remove(&id);
    }
}

impl TaskRun {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The wish that it ends.
    #[must_use]
    pub const fn stop(&self) -> &Stop {
        &self.stop
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Does the work, and notes how it ended; `tell` makes the result that the task shows.
    pub fn run<T>(
        mut self,
        work: impl FnOnce() -> AppResult<T>,
        tell: impl FnOnce(&T) -> Option<Value>,
    ) -> AppResult<T> {
        let done = until(&self.stop, || watched(&self.progress, work));
        self.ended = true;
        self.tasks.end(&self.id, done.as_ref().map(tell).map_err(Clone::clone));
        done
    }
}

impl Drop for TaskRun {
    fn drop(&mut self) {
        if !self.ended {
            let error = AppError::new(
                ErrorKind::Internal,
                format!("task {}", self.id),
                "ended in a defect",
                "Look into the log of the server, and report the defect.",
            );
            self.tasks.end(&self.id, Err(error));
        }
    }
}

impl App {
    /// Begins a task.
    ///
    /// # Errors
    /// Too many run.
    pub fn task_begin(&self, wish: TaskWish) -> AppResult<TaskRun> {
        self.tasks.begin(wish, Timestamp::now())
    }

    /// All tasks, the oldest first.
    pub fn task_list(&self, by: &Caller) -> Vec<TaskInfo> {
        let table = self.tasks.table.lock();
        let mut list: Vec<_> = table.values().map(|entry| entry.told(Some(by.role()))).collect();
        drop(table);
        list.sort_by(|a, b| (a.started, &a.id).cmp(&(b.started, &b.id)));
        list
    }

    /// One task.
    pub fn task_show(&self, id: &str, by: &Caller) -> AppResult<TaskInfo> {
        let table = self.tasks.table.lock();
        Ok(known(&table, id)?.told(Some(by.role())))
    }

    /// Asks for the end of a task: what only reads ends early, what changes something is done to its end.
    pub fn task_cancel(&self, id: &str, by: &Caller) -> AppResult<TaskInfo> {
        let table = self.tasks.table.lock();
        let entry = known(&table, id)?;
        entry.permit(by)?;
        if !entry.runs() {
            return Err(AppError::new(
                ErrorKind::Busy,
                format!("task {id}"),
                "has ended already",
                "`tintype task show` tells how.",
            ));
        }
        entry.stop.ask();
        let told = entry.told(Some(by.role()));
        let event = entry.told(None);
        drop(table);
        self.events.tell(EventKind::Task, Change::Updated, id.to_owned(), Some(event));
        Ok(told)
    }

    /// Acknowledges the end of a task: it is listed no more.
    pub fn task_delete(&self, id: &str, by: &Caller) -> AppResult<TaskInfo> {
        let mut table = self.tasks.table.lock();
        let entry = known(&table, id)?;
        entry.permit(by)?;
        if entry.runs() {
            return Err(AppError::new(
                ErrorKind::Busy,
                format!("task {id}"),
                "still runs",
                format!("Wait for its end, or cancel it: `tintype task cancel {id}`."),
            ));
        }
        let told = entry.told(Some(by.role()));
        table.remove(id);
        Ok(told)
    }
}

impl Entry {
    /// Only whoever asked for it, or an administrator, ends it.
    fn permit(&self, by: &Caller) -> AppResult<()> {
        if by.is_same(&self.by) {
            return Ok(());
        }
        by.must_be(Role::Admin, &format!("task {} of somebody else", self.info.id))
    }
}

fn known<'a>(table: &'a BTreeMap<String, Entry>, id: &str) -> AppResult<&'a Entry> {
    let digits = id.len() == 2 * ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits {
        return Err(AppError::invalid(
            format!("task {id:?}"),
            "is no id of a task",
            "`tintype task list` shows the ids.",
        ));
    }
    table.get(id).ok_or_else(|| {
        AppError::new(
            ErrorKind::NotFound,
            format!("task {id}"),
            "does not exist",
            "`tintype task list` shows the tasks; those that have ended are kept for a day.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Arc<Tasks> {
        Arc::new(Tasks::new(Arc::new(Events::new().unwrap())))
    }

    fn wish() -> TaskWish {
        let (operation, object) = ("fsck".to_owned(), "/fsck".to_owned());
        TaskWish { operation, object, needs: Role::Admin, by: Caller::local() }
    }

    fn told(tasks: &Tasks, id: &str, role: Role) -> TaskInfo {
        tasks.table.lock().get(id).unwrap().told(Some(role))
    }

    #[test]
    fn a_task_tells_how_far_it_is_and_how_it_ended() {
        let tasks = tasks();
        let run = tasks.begin(wish(), Timestamp::now()).unwrap();
        let id = run.id().to_owned();
        let done = run.run(
            || {
                crate::progress::tell(|progress| {
                    progress.expect(7);
                    progress.step(3);
                });
                let told = told(&tasks, &id, Role::Reader);
                assert_eq!((told.done, told.total, told.state), (3, 7, TaskState::Running));
                Ok(5)
            },
            |n| Some(Value::from(*n)),
        );
        assert_eq!(done, Ok(5));
        assert_eq!(told(&tasks, &id, Role::Admin).result, Some(Value::from(5)));
        let reader = told(&tasks, &id, Role::Reader);
        assert_eq!((reader.state, reader.result), (TaskState::Done, None), "it is not theirs");
    }

    #[test]
    fn what_is_cancelled_or_lost_says_so() {
        let tasks = tasks();
        let run = tasks.begin(wish(), Timestamp::now()).unwrap();
        let id = run.id().to_owned();
        run.stop().ask();
        let failed = || Err::<(), _>(AppError::no_filesystem("x"));
        assert!(run.run(failed, |()| None).is_err());
        assert_eq!(told(&tasks, &id, Role::Admin).state, TaskState::Cancelled);
        let run = tasks.begin(wish(), Timestamp::now()).unwrap();
        let id = run.id().to_owned();
        drop(run);
        let lost = told(&tasks, &id, Role::Admin);
        assert_eq!(
            (lost.state, lost.failure.unwrap().kind),
            (TaskState::Failed, ErrorKind::Internal)
        );
    }

    #[test]
    fn neither_running_nor_ended_ones_grow_without_bound() {
        let tasks = tasks();
        let now = Timestamp::now();
        let running: Vec<_> = (0..RUNNING_MAX).map(|_| tasks.begin(wish(), now).unwrap()).collect();
        assert_eq!(tasks.begin(wish(), now).err().unwrap().kind, ErrorKind::Limit);
        drop(running);
        for _ in 0..KEPT_MAX + 50 {
            drop(tasks.begin(wish(), now).unwrap());
        }
        assert!(tasks.counts().1 <= KEPT_MAX as u64);
        drop(tasks.begin(wish(), now + SignedDuration::from_hours(25)).unwrap());
        assert_eq!(tasks.counts(), (0, 1));
    }
}
